"""The images as the models see them: mask channels and condition latents in Wan's layout, and Eq. 4's target.

Shapes: B batch, C latent channels, F latent frames, H W latent height and width, P pixel frames. Pixels are in [-1, 1].
"""

from typing import Literal

import torch
from diffusers import AutoencoderKLWan
from torch import Tensor

from v4e.models.encoders import decode_clip, encode_clip
from v4e.wan import TEMPORAL

Context = Literal["source", "edit", "fade"]


def i2v_video(source_BCHW: Tensor, frames: int) -> Tensor:
    """[source, 0, ...]: the clip whose encoding conditions I2V. (B, 3, P, h, w)"""
    clip = source_BCHW.new_zeros(*source_BCHW.shape[:2], frames, *source_BCHW.shape[2:])
    clip[:, :, 0] = source_BCHW
    return clip


def flf_video(source_BCHW: Tensor, edit_BCHW: Tensor, frames: int) -> Tensor:
    """[source, 0, ..., edit]: the clip whose encoding conditions FLF2V. (B, 3, P, h, w)"""
    clip = i2v_video(source_BCHW, frames)
    clip[:, :, -1] = edit_BCHW
    return clip


def tail_video(source_BCHW: Tensor, edit_BCHW: Tensor, frames: int, context: Context = "source") -> Tensor:
    """The clip whose last latent frame is Eq. 4's target: `context` first, then the edit, tiled.

    One frame must precede the 4 tiled edits, because Wan's causal VAE encodes frame 0 by itself. Alone they would
    encode to one latent that sees only the first of them. In a very short clip the last latent frame holds the
    evolution itself, and four tiled edits are not the teacher's tail. There ``fade`` (ours) is the nearer target: a
    linear cross-fade from source to edit.
    """
    if context == "fade":
        f_P = torch.linspace(0, 1, frames, dtype=edit_BCHW.dtype, device=edit_BCHW.device).view(-1, 1, 1)
        return source_BCHW.unsqueeze(2) + f_P * (edit_BCHW - source_BCHW).unsqueeze(2)
    clip = edit_BCHW.unsqueeze(2).repeat(1, 1, frames, 1, 1)
    if context == "source":
        clip[:, :, 0] = source_BCHW
    return clip


def condition(z_cond_BCFHW: Tensor, *, last: bool) -> Tensor:
    """Mask channels and condition latents, (B, 4 + C, F, H, W): what is concatenated to x_t.

    The mask says which pixel frames are given: the first, and with `last` (FLF2V) the last one too. A latent frame
    has 4 mask channels, one a pixel frame; the first latent frame repeats its only one.
    """
    b, _, f, h, w = z_cond_BCFHW.shape
    mask = z_cond_BCFHW.new_zeros(b, TEMPORAL, f, h, w)
    mask[:, :, 0] = 1
    if last:
        mask[:, -1, -1] = 1
    return torch.cat([mask, z_cond_BCFHW], 1)


def tail_of_x0(
    x0_hat_BCFHW: Tensor,
    *,
    vae: AutoencoderKLWan | None = None,
    space: Literal["latent", "pixel"] = "latent",
    context: Context = "source",
) -> Tensor:
    """The student's tail z_tail_stu (Eq. 4) of a predicted clip, (B, C, H, W).

    ``latent``: the last latent frame of x0_hat. ``pixel``, the paper's letter: decode, tile the last pixel frame after
    its context, encode again; gradients pass through the frozen `vae` twice.
    """
    if space == "latent":
        return x0_hat_BCFHW[:, :, -1]
    if vae is None:
        raise ValueError("tail.space=pixel needs the VAE, got none")
    clip_BCPHW = decode_clip(vae, x0_hat_BCFHW)
    tiled = tail_video(clip_BCPHW[:, :, 0], clip_BCPHW[:, :, -1], clip_BCPHW.shape[2], context)
    return encode_clip(vae, tiled)[:, :, -1]
