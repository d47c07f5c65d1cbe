"""One forward's inputs, built the same way on the teacher's and on the student's side.

Shape letters: B batch, C latent channels, F latent frames, H W latent height and width, T text tokens,
I image tokens, D width.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from v4e.method.conditioning import condition
from v4e.method.flow import add_noise, draw
from v4e.models.dit import DitInputs
from v4e.types import Sample


@dataclass(frozen=True, kw_only=True)
class Noised:
    """A rollout on its way to noise."""

    t_B: Tensor  # in [0, 1]
    eps_BCFHW: Tensor
    x_t_BCFHW: Tensor


def noised(seeds: Sequence[int], z_clip_BCFHW: Tensor, shift: float) -> Noised:
    """``x_t = (1 - t) z_clip + t eps``, with t and eps drawn on the CPU from each sample's seed.

    So a teacher and a student that agree on the seed agree on ``x_t``, wherever they run.
    """
    drawn = [draw(seed, z_CFHW.shape, shift) for seed, z_CFHW in zip(seeds, z_clip_BCFHW, strict=True)]
    device = z_clip_BCFHW.device
    t_B = torch.tensor([t for t, _ in drawn], dtype=torch.float32, device=device)
    eps_BCFHW = torch.stack([eps for _, eps in drawn]).to(device)
    return Noised(t_B=t_B, eps_BCFHW=eps_BCFHW, x_t_BCFHW=add_noise(z_clip_BCFHW, eps_BCFHW, t_B))


def placed(noise: Noised, x_t: bytes, t: float) -> Noised:
    """Puts the student's own states at `t`, as a request carries them, in the place of the first noised rollouts."""
    if not x_t:
        return noise
    own_BCFHW = torch.frombuffer(bytearray(x_t), dtype=torch.bfloat16).view(-1, *noise.x_t_BCFHW.shape[1:])
    count = len(own_BCFHW)
    return replace(
        noise,
        t_B=torch.cat([torch.full_like(noise.t_B[:count], t), noise.t_B[count:]]),
        x_t_BCFHW=torch.cat([own_BCFHW.to(noise.x_t_BCFHW), noise.x_t_BCFHW[count:]]),
    )


def student_inputs(samples: Sequence[Sample], device: torch.device, dtype: torch.dtype) -> DitInputs:
    """I2V: the source is the first frame; text is the instruction."""
    z_BCFHW = torch.stack([sample.z_i2v_CFHW for sample in samples])
    return DitInputs(
        y_BCFHW=condition(z_BCFHW, last=False).to(device, dtype),
        text=[sample.instruction_TD.to(device, dtype) for sample in samples],
        image_BID=torch.stack([sample.source_ID for sample in samples]).to(device, dtype),
    )


def teacher_inputs(
    samples: Sequence[Sample],
    text: Literal["evolution", "instruction"],
    device: torch.device,
    dtype: torch.dtype,
) -> DitInputs:
    """FLF2V: the source is the first frame and the edit the last; text is the caption or the instruction."""
    z_BCFHW = torch.stack([sample.z_flf_CFHW for sample in samples])
    texts = [s.evolution_TD if text == "evolution" else s.instruction_TD for s in samples]
    images = [torch.cat([sample.source_ID, sample.edit_ID]) for sample in samples]
    return DitInputs(
        y_BCFHW=condition(z_BCFHW, last=True).to(device, dtype),
        text=[text_TD.to(device, dtype) for text_TD in texts],
        image_BID=torch.stack(images).to(device, dtype),
    )
