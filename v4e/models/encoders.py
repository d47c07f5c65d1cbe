"""The frozen encoders: VAE, text and image, as the stock Wan pipeline calls them.

Shapes: B batch, P pixel frames, h w pixels, C latent channels, F latent frames, H W latent height and width. Tokens:
T of text, I of images. D is the width. Pixels are in [-1, 1]; latents are normalised by the VAE's own mean and std.
"""

import html
from collections.abc import Iterator

import ftfy
import numpy as np
import torch
from diffusers import AutoencoderKLWan
from PIL import Image
from torch import Tensor

from v4e.wan import TEXT_LEN, pixel_frames, vae_clips


def _stats(vae: AutoencoderKLWan, like: Tensor) -> tuple[Tensor, Tensor]:
    names = ("latents_mean", "latents_std")
    mean, std = (torch.tensor(vae.config[name]).view(1, -1, 1, 1, 1) for name in names)
    return mean.to(like, non_blocking=True), std.to(like, non_blocking=True)  # nothing waits for 64 bytes


def encode_clip(vae: AutoencoderKLWan, x_BCPHW: Tensor) -> Tensor:
    """Clip (B, 3, P, h, w) to its normalised latent (B, C, F, H, W): the posterior's mode.

    It comes to the VAE's device in parts of some clips: see :func:`v4e.wan.vae_clips`.
    """
    clips = vae_clips(x_BCPHW[0, 0].numel())
    parts = [vae.encode(x.to(vae.device, vae.dtype), return_dict=False)[0].mode() for x in x_BCPHW.split(clips)]
    z = torch.cat(parts)
    mean, std = _stats(vae, z)
    return (z - mean) / std


def decode_clip(vae: AutoencoderKLWan, z_BCFHW: Tensor) -> Tensor:
    """Normalised latent to clip (B, 3, P, h, w), clamped to [-1, 1]."""
    return torch.cat(list(decoded(vae, z_BCFHW)))


def decoded(vae: AutoencoderKLWan, z_BCFHW: Tensor) -> Iterator[Tensor]:
    """Yields what :func:`decode_clip` returns in parts of some clips: see :func:`v4e.wan.vae_clips`."""
    z = z_BCFHW.to(vae.dtype)
    mean, std = _stats(vae, z)
    _, _, frames, height, width = z.shape
    stride = vae.config["scale_factor_spatial"]
    clips = vae_clips(pixel_frames(frames) * height * width * stride * stride)
    for part in (z * std + mean).split(clips):
        yield vae.decode(part, return_dict=False)[0].clamp(-1, 1)


def clean(text: str) -> str:
    """Returns `text` as the stock Wan pipeline reads it: mended, without HTML entities, one space between words."""
    return " ".join(html.unescape(html.unescape(ftfy.fix_text(text))).split())


def encode_text(text_encoder, tokenizer, texts: list[str], max_length: int = TEXT_LEN) -> list[Tensor]:
    """Encoder states of each text after :func:`clean`, (T_i, D), pad tokens removed."""
    tokens = tokenizer(
        [clean(t) for t in texts],
        padding=True,
        max_length=max_length,
        truncation=True,
        add_special_tokens=True,
        return_attention_mask=True,
        return_tensors="pt",
    )
    lengths, mask = tokens.attention_mask.sum(1).tolist(), tokens.attention_mask.to(text_encoder.device)
    states = text_encoder(tokens.input_ids.to(text_encoder.device), mask).last_hidden_state
    return [s[:length] for s, length in zip(states, lengths, strict=True)]


def beyond(tokenizer, text: str, max_length: int = TEXT_LEN) -> int:
    """Returns how many tokens of a text :func:`encode_text` cuts off at its end."""
    return max(0, len(tokenizer(clean(text), add_special_tokens=True, verbose=False).input_ids) - max_length)


def encode_images(image_encoder, image_processor, images: list[Image.Image]) -> Tensor:
    """CLIP's penultimate states (B, I, D)."""
    pixels = image_processor(images=images, return_tensors="pt").pixel_values
    pixels = pixels.to(image_encoder.device, image_encoder.dtype)
    return image_encoder(pixel_values=pixels, output_hidden_states=True).hidden_states[-2]


def to_pixels(images: list[Image.Image], height: int, width: int) -> Tensor:
    """Images resized to (B, 3, height, width) in [-1, 1]."""
    arrays = [np.asarray(i.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)) for i in images]
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_images(x_BCHW: Tensor) -> list[Image.Image]:
    """(B, 3, h, w) in [-1, 1] to PIL images."""
    arrays = ((x_BCHW.float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    return [Image.fromarray(a) for a in arrays]
