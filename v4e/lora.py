"""Low-rank adapters on a frozen student (LoRA): the other mode of the same trainer.

A chosen linear layer of weight W computes ``W x + scale B A x``; only A and B are trained. They are modules inside the
model, put there from outside, so that sharding, clipping, optimizer and checkpoints see weights like any others.

Shape letters: R rank, I O inputs and outputs of a layer.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping
from typing import Any, cast

import torch
from accelerate import init_empty_weights
from diffusers import WanTransformer3DModel
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor, nn

from v4e.config import Lora
from v4e.models.dtype import dtype_of

PARTS = ("lora_A", "lora_B")


def start_dtype(lora: Lora, dtype: torch.dtype) -> torch.dtype:
    """In which the start weights are best read: masters are float32, a frozen base is kept in `dtype`."""
    return dtype if lora.rank else torch.float32


def trainable(dit: WanTransformer3DModel, lora: Lora, dtype: torch.dtype, seed: int) -> WanTransformer3DModel:
    """`dit` with float32 masters of all that is to be trained: its weights, or with ``lora.rank`` > 0 its adapters.

    Then its own weights are frozen and kept in `dtype`, but for those that diffusers keeps in float32.
    """
    if lora.rank == 0:
        return dit.float().requires_grad_(True)
    dit.requires_grad_(False)
    for name, parameter in dit.named_parameters():
        parameter.data = parameter.data.to(dtype_of(name, dtype))
    device = dit.patch_embedding.weight.device
    for name, parameter in add_adapters(dit, lora).items():
        value = start_value(name, tuple(parameter.shape), seed).to(device)
        path, _, leaf = name.rpartition(".")
        setattr(dit.get_submodule(path), leaf, nn.Parameter(value))
    return dit


def add_adapters(dit: WanTransformer3DModel, lora: Lora) -> dict[str, nn.Parameter]:
    """Puts adapters on the layers of `dit` that ``lora.targets`` name; their weights, on the meta device, by name.

    A layer's own weight is called ``<layer>.base_layer.weight`` from now on.

    Raises:
        ValueError: a target names no linear layer.
    """
    check_targets(lora, linear_layers(dit))
    alpha = lora.alpha or lora.rank
    # No dropout: it would be noise that is no function of the seed and the step.
    settings = LoraConfig(r=lora.rank, lora_alpha=alpha, target_modules=list(lora.targets), lora_dropout=0.0)
    inject_adapter_in_model(settings, dit, low_cpu_mem_usage=True)
    return {name: parameter for name, parameter in dit.named_parameters() if is_adapter(name)}


def start_value(name: str, shape: tuple[int, ...], seed: int) -> Tensor:
    """Where the adapter weight `name` starts: A (R, I) uniform in +-1 / sqrt(I) as peft draws it, B (O, R) zero.

    A pure function of its arguments: any worker makes the same, alone and in any order.
    """
    if ".lora_B." in name:
        return torch.zeros(shape)
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest) >> 1)
    bound = 1 / math.sqrt(shape[1])
    return torch.empty(shape).uniform_(-bound, bound, generator=generator)


def is_adapter(name: str) -> bool:
    """Whether a weight of this name belongs to an adapter."""
    return any(f".{part}." in name for part in PARTS)


def adapter_names(weight: str) -> tuple[str, str]:
    """Of A and B on the layer whose own weight diffusers calls `weight`."""
    layer = weight.removesuffix(".weight")
    a, b = (f"{layer}.{part}.default.weight" for part in PARTS)
    return a, b


def merged(weight_OI: Tensor, a_RI: Tensor, b_OR: Tensor, scale: float) -> Tensor:
    """The weight (O, I) in float32 of a layer that computes what this layer and its adapter do."""
    return torch.addmm(weight_OI.float(), b_OR.float(), a_RI.float(), alpha=scale)


def linear_layers(dit: nn.Module) -> list[str]:
    """Names of the layers that can have an adapter."""
    return [name for name, module in dit.named_modules() if isinstance(module, nn.Linear)]


def check_targets(lora: Lora, layers: Iterable[str]) -> None:
    """Refuses a target that is the end of no name in `layers`.

    Raises:
        ValueError: naming the targets that there are.
    """
    layers = list(layers)
    for target in lora.targets:
        if not any(layer == target or layer.endswith(f".{target}") for layer in layers):
            ends = sorted({name.split(".", 2)[2] for name in layers if name.startswith("blocks.")})
            raise ValueError(
                f"lora.targets: {target} names no linear layer of the student: expected among {', '.join(ends)}, "
                "or the end of such a name"
            )


def check_config_targets(lora: Lora, dit_config: Mapping[str, Any]) -> None:
    """:func:`check_targets` on a transformer's config.json: one block says it for all.

    Raises:
        ValueError: naming the targets that there are.
    """
    with init_empty_weights():
        dit = cast(nn.Module, WanTransformer3DModel.from_config(dict(dit_config) | {"num_layers": 1}))
    check_targets(lora, linear_layers(dit))
