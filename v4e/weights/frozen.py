"""The frozen parts of a diffusers pipeline folder or hub id: VAE, text and image encoders; safetensors only.

Names of transformers are looked up where they are used, because transformers imports a model's code at the first look.
A teacher or a student that encodes nothing is spared it.
"""

from dataclasses import dataclass
from typing import Any, cast

import torch
import transformers
from diffusers import AutoencoderKLWan
from torch import Tensor

from v4e.models.encoders import encode_text
from v4e.weights.hub import check_folder


@dataclass(frozen=True, kw_only=True)
class Frozen:
    """Everything of a Wan pipeline but the DiT."""

    vae: AutoencoderKLWan
    text_encoder: "transformers.UMT5EncoderModel"
    tokenizer: "transformers.PreTrainedTokenizerBase"
    image_encoder: "transformers.CLIPVisionModel"
    image_processor: "transformers.BaseImageProcessor"


def load_vae(folder: str) -> AutoencoderKLWan:
    """The pipeline's VAE alone, float32 as upstream has it, frozen and in evaluation mode."""
    vae = AutoencoderKLWan.from_pretrained(folder, subfolder="vae", torch_dtype=torch.float32, use_safetensors=True)
    return vae.eval().requires_grad_(False)


def load_text(
    folder: str, dtype: torch.dtype
) -> "tuple[transformers.UMT5EncoderModel, transformers.PreTrainedTokenizerBase]":
    """The pipeline's text encoder, frozen and in evaluation mode, and its tokenizer."""
    encoder = transformers.UMT5EncoderModel.from_pretrained(folder, subfolder="text_encoder", dtype=dtype)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, subfolder="tokenizer")
    return encoder.eval().requires_grad_(False), tokenizer


def load_frozen(folder: str, dtype: torch.dtype) -> Frozen:
    """VAE, text and image encoders, frozen and in evaluation mode.

    The text encoder is in `dtype`. The two that look at pixels are float32 in any case: all conditions and targets
    carry their error, and they are small.
    """
    check_folder(folder)
    text_encoder, tokenizer = load_text(folder, dtype)
    exact = torch.float32
    images = transformers.CLIPVisionModel.from_pretrained(folder, subfolder="image_encoder", dtype=exact)
    return Frozen(
        vae=load_vae(folder),
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        image_encoder=images.eval().requires_grad_(False),
        image_processor=transformers.AutoImageProcessor.from_pretrained(folder, subfolder="image_processor"),
    )


@torch.no_grad()
def empty_prompt(folder: str, dtype: torch.dtype, text: str = "", device: torch.device | None = None) -> Tensor:
    """Text states (T, D) of the prompt that guidance leads away from, empty or `text`, on `device` or the CPU.

    Loads the text encoder alone, and lets it go again.
    """
    check_folder(folder)
    encoder, tokenizer = load_text(folder, dtype)
    [text_TD] = encode_text(cast(Any, encoder).to(device or "cpu"), tokenizer, [text])
    return text_TD
