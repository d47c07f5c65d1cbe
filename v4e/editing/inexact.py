"""Options that make edits faster and a little different: off by default, and named in every result."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import torch
from diffusers import AutoencoderKLWan, FirstBlockCacheConfig, WanTransformer3DModel

FP8_CAPABILITY = (8, 9)  # of CUDA devices, from Ada and Hopper on


@dataclass(frozen=True, kw_only=True)
class Inexact:
    """Each field is an option of its own.

    Raises:
        ValueError: a value that means nothing.
    """

    step_cache: float = 0.0  # skip all blocks after the first where its residual moved by less than this share; 0: off
    weights: Literal["", "int8", "fp8"] = ""  # linear layers of the blocks, by torchao
    gguf: str = ""  # file of the DiT's weights, quantized as it says; the folder has the rest
    compile: bool = False  # the blocks, one at a time, by torch.compile
    bf16_decode: bool = False  # the VAE's decoder; encoding stays in float32
    tiles: bool = False  # the VAE, in tiles of 256 x 256 pixels that overlap

    def __post_init__(self):
        if not 0 <= self.step_cache < 1:
            raise ValueError(f"step_cache={self.step_cache}: expected a share of at least 0 and below 1, such as 0.05")
        if self.weights not in ("", "int8", "fp8"):
            raise ValueError(f"weights={self.weights!r}: expected int8, fp8 or nothing")
        if self.weights and self.gguf:
            raise ValueError(f"gguf={self.gguf} has quantized weights, and weights={self.weights} too: choose one")

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the options in use."""
        named = {
            f"step_cache={self.step_cache:g}": self.step_cache > 0,
            f"weights={self.weights}": bool(self.weights),
            f"gguf={Path(self.gguf).name}": bool(self.gguf),
            "compile": self.compile,
            "bf16_decode": self.bf16_decode,
            "tiles": self.tiles,
        }
        return tuple(name for name, on in named.items() if on)


def check(options: Inexact, device: torch.device) -> None:
    """Refuses, before a model is read, what this machine cannot do.

    Raises:
        ValueError: naming what is missing and how to get it.
    """
    if not options.weights:
        return
    if device.type != "cuda":
        raise ValueError(f"weights={options.weights} needs a CUDA GPU, this machine has none: leave it out")
    if find_spec("torchao") is None:
        raise ValueError(f"weights={options.weights} needs torchao: pip install -e '.[quantize]', or leave it out")
    if options.weights == "fp8" and torch.cuda.get_device_capability(device) < FP8_CAPABILITY:
        name = torch.cuda.get_device_name(device)
        raise ValueError(f"weights=fp8 needs a GPU of compute capability 8.9, {name} is older: use weights=int8")


def apply(dit: WanTransformer3DModel, options: Inexact) -> None:
    """Quantizes and compiles the blocks of `dit`, where asked for."""
    if options.weights:
        from torchao.quantization import (  # pyright: ignore[reportMissingImports]
            Float8DynamicActivationFloat8WeightConfig,
            Int8DynamicActivationInt8WeightConfig,
            quantize_,
        )

        int8 = options.weights == "int8"
        config = Int8DynamicActivationInt8WeightConfig() if int8 else Float8DynamicActivationFloat8WeightConfig()
        quantize_(dit.blocks, config)
    if options.compile:
        dit.compile_repeated_blocks()


def tiled(vae: AutoencoderKLWan, options: Inexact) -> AutoencoderKLWan:
    """The VAE, in tiles where asked for: it holds as little of any picture as of a small one."""
    if options.tiles:
        vae.enable_tiling()
    return vae


def decoder_of(vae: AutoencoderKLWan, options: Inexact) -> AutoencoderKLWan:
    """The VAE that decodes: `vae` itself, or a copy in bfloat16."""
    return copy.deepcopy(vae).to(torch.bfloat16) if options.bf16_decode else vae  # pyright: ignore


@contextmanager
def step_cache(dit: WanTransformer3DModel, options: Inexact) -> Iterator[None]:
    """Turns diffusers' first-block cache on for one edit, if `options` ask for it."""
    if not options.step_cache:
        yield
        return
    dit.enable_cache(FirstBlockCacheConfig(threshold=options.step_cache))
    try:
        yield
    finally:
        dit.disable_cache()
