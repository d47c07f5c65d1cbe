"""Weights from diffusers pipeline folders or hub ids; safetensors only."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from torch import Tensor, nn
from torch.distributed import ProcessGroup
from torch.distributed.device_mesh import DeviceMesh
from transformers import (
    AutoImageProcessor,
    AutoTokenizer,
    BaseImageProcessor,
    CLIPVisionModel,
    PreTrainedTokenizerBase,
    UMT5EncoderModel,
)

from v4e.config import Config
from v4e.models.attention import fold_pads
from v4e.models.encoders import encode_text
from v4e.parallel.fsdp import shard_student
from v4e.weights.hub import is_original
from v4e.weights.lora import start_dtype, trainable
from v4e.weights.shard import empty_dit, fill_shards, load_shard

M = TypeVar("M", bound=nn.Module)
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}  # as configs spell them


@dataclass(frozen=True, kw_only=True)
class Frozen:
    """Everything of a Wan pipeline but the DiT."""

    vae: AutoencoderKLWan
    text_encoder: UMT5EncoderModel
    tokenizer: PreTrainedTokenizerBase
    image_encoder: CLIPVisionModel
    image_processor: BaseImageProcessor


def move(model: M, device: torch.device) -> M:
    """`model` on `device`. Said to any ``nn.Module``, since what decorates diffusers' own ``to`` hides its type."""
    return model.to(device)


def check_folder(folder: str) -> None:
    """Refuse what looks like a local path but is no pipeline folder.

    Raises:
        FileNotFoundError: naming the folder and what belongs there.
    """
    path = Path(folder)
    local = path.is_absolute() or folder.startswith(".") or folder.count("/") != 1 or path.exists()
    if local and is_original(path):
        raise FileNotFoundError(
            f"{folder} is a model in Wan's original layout: v4e convert {folder} "
            "Wan-AI/Wan2.1-I2V-14B-480P-Diffusers OUT makes a diffusers pipeline folder of it"
        )
    if local and not (path / "model_index.json").exists():
        raise FileNotFoundError(
            f"{folder} is no diffusers pipeline folder (no model_index.json there): "
            "expected a folder that save_pretrained wrote, or a hub id such as Wan-AI/Wan2.1-I2V-14B-480P-Diffusers"
        )


def load_dit(
    folder: str,
    dtype: torch.dtype,
    attention: str = "native",
    fold_pad: bool = True,
    group: ProcessGroup | None = None,
) -> WanTransformer3DModel:
    """The pipeline's transformer in `dtype`, with diffusers' `attention` backend, pad folding where asked for.

    With a process `group` it is split over its ranks, for inference; each reads its own part only.
    """
    check_folder(folder)
    if group is None:
        dit = WanTransformer3DModel.from_pretrained(
            folder, subfolder="transformer", torch_dtype=dtype, use_safetensors=True
        )
    else:
        dit = load_shard(folder, dtype, group)
    return set_attention(dit, attention, fold_pad)


def load_student(config: Config, device: torch.device, mesh: DeviceMesh | None) -> WanTransformer3DModel:
    """The student with its start weights, ready to be trained and sharded over `mesh` where there is one.

    With a mesh the whole model exists on the meta device only: each rank reads its own rows.
    """
    models, dtype = config.models, DTYPES[config.train.dtype]
    if mesh is None:
        kept = start_dtype(config.lora, dtype)
        return move(load_dit(models.student, kept, models.attention, models.fold_pad), device)
    check_folder(models.student)
    dit = set_attention(empty_dit(models.student), models.attention, models.fold_pad)
    dit = trainable(dit, config.lora, dtype, config.run.seed)
    offload = config.train.offload == "all"
    shard_student(dit, mesh, dtype, offload=offload)
    fill_shards(dit, models.student, torch.device("cpu") if offload else device, config.run.seed)
    return dit


def set_attention(dit: WanTransformer3DModel, attention: str, fold_pad: bool) -> WanTransformer3DModel:
    """`dit` with diffusers' `attention` backend, and pad folding where asked for.

    Raises:
        ValueError: the backend is none, or its package is not here.
    """
    if fold_pad:
        fold_pads(dit)
    if attention != "native":
        try:
            dit.set_attention_backend(attention)
        except (RuntimeError, ValueError) as error:
            raise ValueError(
                f"models.attention={attention} cannot be used here ({error}): install what it needs, or set "
                "models.attention=native"
            ) from error
    return dit


def load_vae(folder: str, dtype: torch.dtype) -> AutoencoderKLWan:
    """The pipeline's VAE alone, frozen and in evaluation mode."""
    vae = AutoencoderKLWan.from_pretrained(folder, subfolder="vae", torch_dtype=dtype, use_safetensors=True)
    return vae.eval().requires_grad_(False)


def load_frozen(folder: str, dtype: torch.dtype) -> Frozen:
    """VAE, text and image encoders, frozen and in evaluation mode."""
    check_folder(folder)
    frozen = Frozen(
        vae=load_vae(folder, dtype),
        text_encoder=UMT5EncoderModel.from_pretrained(folder, subfolder="text_encoder", dtype=dtype),
        tokenizer=AutoTokenizer.from_pretrained(folder, subfolder="tokenizer"),
        image_encoder=CLIPVisionModel.from_pretrained(folder, subfolder="image_encoder", dtype=dtype),
        image_processor=AutoImageProcessor.from_pretrained(folder, subfolder="image_processor"),
    )
    for model in (frozen.text_encoder, frozen.image_encoder):
        model.eval().requires_grad_(False)
    return frozen


def empty_prompt(folder: str, dtype: torch.dtype) -> Tensor:
    """Text states (T, D) of the empty prompt, which guidance leads away from. Its encoder is let go again."""
    frozen = load_frozen(folder, dtype)
    [text_TD] = encode_text(frozen.text_encoder, frozen.tokenizer, [""])
    return text_TD
