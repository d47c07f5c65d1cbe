"""Wan2.1-14B's parts on the pretended device, at their true sizes with as many blocks as asked for, and their inputs.

Import it in a process of ``server`` only, and call it inside of ``watched``.

Shape letters: B batch, C latent channels, F latent frames, H W latent height and width. K taps. Tokens: N of the DiT,
T of text, I of images. D is the width.
"""

import gc
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import diffusers
import torch
import torch.distributed as dist
import torch.distributed.fsdp._fully_shard._fsdp_init as fsdp_init
from accelerate import init_empty_weights
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from torch import Tensor, nn
from torch._subclasses.fake_tensor import unset_fake_temporarily
from torch.testing._internal.distributed.fake_pg import FakeStore
from transformers import (
    AutoTokenizer,
    CLIPImageProcessor,
    CLIPVisionConfig,
    CLIPVisionModel,
    UMT5Config,
    UMT5EncoderModel,
)

import v4e.parallel.fsdp as fsdp
from benchmarks.support.ledger import UMT5_XXL, VIT_H
from benchmarks.support.pretended.device import replaced
from v4e.config import Config, parse
from v4e.models import sizes
from v4e.models.dtype import dtype_of
from v4e.training.student import Batch
from v4e.types import Sample, TeacherTarget
from v4e.weights import load, shard
from v4e.weights.frozen import Frozen
from v4e.weights.load import set_attention
from v4e.weights.lora_names import LoraFile

CUDA = torch.device("cuda")
TOKENIZER = "v4e/assets/tiny-wan-i2v"
TEXT, CAPTION, IMAGE = 12, 27, 257  # tokens
EXPLAIN = bool(os.environ.get("PRETENDED_EXPLAIN"))  # at the cost of time, the notes tell what was there at each peak


def config_of(arguments: tuple[str, ...], layers: int) -> Config:
    """The recipe of `arguments` with taps that `layers` blocks have."""
    config = parse(list(arguments))
    return replace(config, kd=replace(config.kd, taps=tuple(range(layers))[-4:]))


def ranks(size: int) -> None:
    """Makes this process one of `size` ranks, whose collectives do nothing."""
    dist.init_process_group("fake", rank=0, world_size=size, store=FakeStore())
    dist.get_backend_config = lambda *_: "cpu:gloo,cuda:nccl"


def transformer(kind: str, layers: int) -> dict[str, Any]:
    """The config.json of an "i2v" or "flf2v" transformer of `layers` blocks."""
    return {**(sizes.WAN14B_I2V if kind == "i2v" else sizes.WAN14B_FLF2V), "num_layers": layers}


def made_dit(config: Config, kind: str, layers: int) -> WanTransformer3DModel:
    """A frozen transformer in ``models.dtype``, as :func:`v4e.weights.load.load_dit` gives it."""
    dit = WanTransformer3DModel(**transformer(kind, layers))
    for name, parameter in dit.named_parameters():
        parameter.data = parameter.data.to(dtype_of(name, load.DTYPES[config.models.dtype]))
    return set_attention(dit, config.models.attention, config.models.fold_pad).eval().requires_grad_(False)


def made_vae(dtype: torch.dtype = torch.float32) -> AutoencoderKLWan:
    return AutoencoderKLWan().to(dtype).eval().requires_grad_(False)


def made_frozen(dtype: torch.dtype) -> Frozen:
    """Wan2.1's VAE, UMT5-XXL in `dtype` and CLIP ViT-H; words are cut by the tiny family's tokenizer."""
    text = UMT5EncoderModel(UMT5Config(**UMT5_XXL, feed_forward_proj="gated-gelu")).eval().to(dtype)
    image = CLIPVisionModel(CLIPVisionConfig(**VIT_H, image_size=224, patch_size=14, hidden_act="gelu")).eval()
    return Frozen(
        vae=made_vae(),
        text_encoder=text.requires_grad_(False),
        tokenizer=AutoTokenizer.from_pretrained(TOKENIZER, subfolder="tokenizer"),
        image_encoder=image.requires_grad_(False),
        image_processor=CLIPImageProcessor(),
    )


def lora_of(dit: WanTransformer3DModel, rank: int = 32) -> LoraFile:
    """A LoRA on the attention of every block, as a file of it is read."""
    state = {}
    for n in range(len(dit.blocks)):
        for layer in ("to_q", "to_k", "to_v", "to_out.0"):
            place = f"transformer.blocks.{n}.attn1.{layer}.lora_"
            state[f"{place}A.weight"] = torch.empty(rank, 5120)
            state[f"{place}B.weight"] = torch.empty(5120, rank)
    return LoraFile(state, None)


def unipc(shift: float = 5.0) -> diffusers.UniPCMultistepScheduler:
    return diffusers.UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, num_train_timesteps=1000, flow_shift=shift
    )


def grid_of(config: Config) -> tuple[int, int, int]:
    """F H W of a clip's latents."""
    return config.data.latent_frames, config.data.height // 8, config.data.width // 8


def sample_of(config: Config) -> Sample:
    """A sample as the store gives it, in host memory."""
    grid, half = grid_of(config), torch.bfloat16
    return Sample(
        id="a",
        task="color",
        z_i2v_CFHW=torch.empty(16, *grid),
        z_flf_CFHW=torch.empty(16, *grid),
        z_tail_CHW=torch.empty(16, *grid[1:]),
        instruction_TD=torch.empty(TEXT, 4096, dtype=half),
        evolution_TD=torch.empty(CAPTION, 4096, dtype=half),
        source_ID=torch.empty(IMAGE, 1280, dtype=half),
        edit_ID=torch.empty(IMAGE, 1280, dtype=half),
    )


def batch_of(config: Config) -> Batch:
    """A batch as a worker gets it, in host memory."""
    count, (frames, height, width) = config.optim.batch, grid_of(config)
    tokens = (frames if config.teacher.tokens == "all" else 1) * height * width // 4
    target = None
    if config.kd.weight > 0:
        taps_KBND = torch.empty(len(config.kd.taps), count, tokens, 5120, dtype=torch.bfloat16)
        target = TeacherTarget(taps_KBND=taps_KBND)
    return Batch(
        samples=(sample_of(config),) * count,
        seeds=tuple(range(count)),
        z_clip_BCFHW=torch.empty(count, 16, frames, height, width),
        target=target,
    )


def store_of(value: object) -> Any:
    """A store whose every entry is `value`."""
    return SimpleNamespace(open=lambda _config: SimpleNamespace(read=lambda _key: value))


@contextmanager
def reading_nothing(config: dict[str, Any]) -> Iterator[None]:
    """Loads of a transformer of this config.json get shapes in place of a file's numbers.

    What torch cannot do with fake tensors is done around them. FSDP2 pins host memory and moves buffers to the device:
    here buffers are there from the start, and nothing is pinned. Adapters are put on the model while it is on the meta
    device alone.
    """
    with unset_fake_temporarily(), init_empty_weights():
        whole = WanTransformer3DModel(**config)
    shapes = {name: tuple(parameter.shape) for name, parameter in whole.named_parameters()}
    trainable, policy = load.trainable, fsdp.CPUOffloadPolicy

    def read(path: Path, name: str, index) -> Tensor:
        return torch.empty(shapes[name])[index(list(shapes[name]))].clone()

    def empty(_folder: str) -> WanTransformer3DModel:
        with unset_fake_temporarily(), init_empty_weights():
            dit = WanTransformer3DModel(**config)
        for module, name, buffer in buffers(dit):
            module._buffers[name] = torch.empty_like(buffer, device=CUDA)
        return dit

    def trained(dit: WanTransformer3DModel, *settings: Any) -> WanTransformer3DModel:
        held = buffers(dit)
        for module, name, _ in held:
            module._buffers[name] = None
        with unset_fake_temporarily():
            dit = trainable(dit, *settings)
        for module, name, buffer in held:
            module._buffers[name] = buffer
        return dit

    with ExitStack() as stack:
        files = {"weight_files": lambda _folder: {}, "file_of": lambda _files, name: Path(name), "read_slice": read}
        stack.enter_context(replaced(shard, empty_dit=empty, **files))
        stack.enter_context(replaced(load, empty_dit=empty, trainable=trained, check_folder=lambda _folder: None))
        stack.enter_context(replaced(fsdp, CPUOffloadPolicy=lambda pin_memory: policy(pin_memory=False)))
        stack.enter_context(replaced(fsdp_init, _move_states_to_device=lambda *_: None))
        yield


def buffers(model: nn.Module) -> list[tuple[nn.Module, str, Tensor]]:
    return [(m, name, b) for m in model.modules() for name, b in m._buffers.items() if b is not None]


def collected() -> None:
    """Frees what only cycles hold, so that the next peak does not count it."""
    gc.collect()
