"""The encoding of triplets to samples: everything about them that training needs and that stays frozen.

Shape letters: B batch, C latent channels, F latent frames, H W latent height and width, P pixel frames,
I image tokens, D width.
"""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from v4e.data.store.header import Texts
from v4e.method.conditioning import Context, flf_video, i2v_video, tail_video
from v4e.models.encoders import encode_clip, encode_images, encode_text, to_pixels
from v4e.types import Sample
from v4e.weights.frozen import Frozen


@torch.inference_mode()
def encode_samples(
    frozen: Frozen,
    ids: Sequence[str],
    texts: Sequence[Texts],
    source_BHWC: np.ndarray,
    edit_BHWC: np.ndarray,
    *,
    frames: int,
    context: Context,
) -> list[Sample]:
    """Encodes B triplets to samples on the CPU.

    Latents are float32. Image states are computed in float32 and kept in the text encoder's dtype, which is the DiT's.

    Args:
        source_BHWC, edit_BHWC: uint8 RGB, all of one size.
        frames: P of a clip.
        context: the frame before Eq. 4's edits (``tail.context``).
    """
    height, width = source_BHWC.shape[1:3]
    sources = [Image.fromarray(array) for array in source_BHWC]
    edits = [Image.fromarray(array) for array in edit_BHWC]
    source_BCHW, edit_BCHW = to_pixels(sources, height, width), to_pixels(edits, height, width)
    z_i2v_BCFHW = _encode(frozen, i2v_video(source_BCHW, frames))
    z_flf_BCFHW = _encode(frozen, flf_video(source_BCHW, edit_BCHW, frames))
    z_tail_BCFHW = _encode(frozen, tail_video(source_BCHW, edit_BCHW, frames, context))
    dtype = frozen.text_encoder.dtype
    source_BID, edit_BID = (
        encode_images(frozen.image_encoder, frozen.image_processor, images).to("cpu", dtype)
        for images in (sources, edits)
    )
    instruction, evolution = (
        encode_text(frozen.text_encoder, frozen.tokenizer, said)
        for said in ([text.instruction for text in texts], [text.caption for text in texts])
    )
    return [
        Sample(
            id=sample_id,
            task=texts[b].task,
            z_i2v_CFHW=z_i2v_BCFHW[b],
            z_flf_CFHW=z_flf_BCFHW[b],
            z_tail_CHW=z_tail_BCFHW[b, :, -1],
            instruction_TD=instruction[b].cpu(),
            evolution_TD=evolution[b].cpu(),
            source_ID=source_BID[b],
            edit_ID=edit_BID[b],
        )
        for b, sample_id in enumerate(ids)
    ]


def is_finite(sample: Sample) -> bool:
    """Returns True if no feature of `sample` overflowed."""
    return all(value.isfinite().all() for value in vars(sample).values() if isinstance(value, Tensor))


def _encode(frozen: Frozen, x_BCPHW: Tensor) -> Tensor:
    return encode_clip(frozen.vae, x_BCPHW).float().cpu()
