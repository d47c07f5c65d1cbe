"""Weights from diffusers pipeline folders or hub ids; safetensors only."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from torch import nn
from torch.distributed import ProcessGroup
from transformers import (
    AutoImageProcessor,
    AutoTokenizer,
    BaseImageProcessor,
    CLIPVisionModel,
    PreTrainedTokenizerBase,
    UMT5EncoderModel,
)

from v4e.models.attention import fold_pads
from v4e.models.shard import load_shard

M = TypeVar("M", bound=nn.Module)


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
    if fold_pad:
        fold_pads(dit)
    if attention != "native":
        dit.set_attention_backend(attention)
    return dit


def load_frozen(folder: str, dtype: torch.dtype) -> Frozen:
    """VAE, text and image encoders, frozen and in evaluation mode."""
    check_folder(folder)
    frozen = Frozen(
        vae=AutoencoderKLWan.from_pretrained(folder, subfolder="vae", torch_dtype=dtype, use_safetensors=True),
        text_encoder=UMT5EncoderModel.from_pretrained(folder, subfolder="text_encoder", dtype=dtype),
        tokenizer=AutoTokenizer.from_pretrained(folder, subfolder="tokenizer"),
        image_encoder=CLIPVisionModel.from_pretrained(folder, subfolder="image_encoder", dtype=dtype),
        image_processor=AutoImageProcessor.from_pretrained(folder, subfolder="image_processor"),
    )
    for model in (frozen.vae, frozen.text_encoder, frozen.image_encoder):
        model.eval().requires_grad_(False)
    return frozen
