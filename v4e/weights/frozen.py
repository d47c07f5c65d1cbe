"""The frozen parts of a diffusers pipeline folder or hub id: VAE, text and image encoders; safetensors only.

Names of transformers are looked up where they are used, because transformers imports a model's code at the first look.
A teacher or a student that encodes nothing is spared it.
"""

from dataclasses import dataclass

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


def load_vae(folder: str, dtype: torch.dtype) -> AutoencoderKLWan:
    """The pipeline's VAE alone, frozen and in evaluation mode."""
    vae = AutoencoderKLWan.from_pretrained(folder, subfolder="vae", torch_dtype=dtype, use_safetensors=True)
    return vae.eval().requires_grad_(False)


def load_frozen(folder: str, dtype: torch.dtype) -> Frozen:
    """VAE, text and image encoders, frozen and in evaluation mode."""
    check_folder(folder)
    frozen = Frozen(
        vae=load_vae(folder, dtype),
        text_encoder=transformers.UMT5EncoderModel.from_pretrained(folder, subfolder="text_encoder", dtype=dtype),
        tokenizer=transformers.AutoTokenizer.from_pretrained(folder, subfolder="tokenizer"),
        image_encoder=transformers.CLIPVisionModel.from_pretrained(folder, subfolder="image_encoder", dtype=dtype),
        image_processor=transformers.AutoImageProcessor.from_pretrained(folder, subfolder="image_processor"),
    )
    for model in (frozen.text_encoder, frozen.image_encoder):
        model.eval().requires_grad_(False)
    return frozen


def empty_prompt(folder: str, dtype: torch.dtype) -> Tensor:
    """Text states (T, D) of the empty prompt, which guidance leads away from. Its encoder is let go again."""
    frozen = load_frozen(folder, dtype)
    [text_TD] = encode_text(frozen.text_encoder, frozen.tokenizer, [""])
    return text_TD
