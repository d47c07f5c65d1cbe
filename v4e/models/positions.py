"""The places of latent frames in time, as Wan's rotary embedding counts them.

Wan numbers latent frames 0, 1, 2, ... A clip of two may put its second one elsewhere. ChronoEdit's 0 and 7 say that the
edit is seen seven latent frames after the source, as at the end of 29 pixel frames.

Shapes: F latent frames, N DiT tokens.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from diffusers import WanTransformer3DModel
from diffusers.models.transformers.transformer_wan import WanRotaryPosEmbed
from torch import Tensor

CHRONOEDIT = "ChronoEditTransformer3DModel"  # diffusers' class that places the second of two frames
SKIP = "rope_temporal_skip_len"  # in its config: that frame's place, plus 1


class PlacedRope(WanRotaryPosEmbed):
    """The same tables as its base. Clips whose number of latent frames is in `placed` are there, others at 0, 1, ..."""

    placed: dict[int, tuple[int, ...]]  # places by the number of latent frames

    def forward(self, hidden_states: Tensor) -> tuple[Tensor, Tensor]:
        *batch, frames, height, width = hidden_states.shape
        places = self.placed.get(frames)
        if places is None:
            return cast(tuple[Tensor, Tensor], super().forward(hidden_states))
        # The base reads nothing but the shape: a clip that is long enough, of which the frames at `places` are kept.
        length = places[-1] + 1
        long = super().forward(hidden_states.new_empty(*batch, length, height, width, device="meta"))
        cos_1N1D, sin_1N1D = (_frames_of(table_1N1D, length, places) for table_1N1D in long)
        return cos_1N1D, sin_1N1D


def _frames_of(table_1N1D: Tensor, length: int, places: tuple[int, ...]) -> Tensor:
    """The tokens of the frames at `places` of a clip of `length` frames."""
    by_frame = table_1N1D.unflatten(1, (length, -1))
    return torch.cat([by_frame[:, place] for place in places], 1)


def place_frames(dit: WanTransformer3DModel, places: tuple[int, ...] = ()) -> WanTransformer3DModel:
    """`dit` with its latent frames at `places`; where none are given, at those of the folder that it was loaded from.

    Raises:
        ValueError: a place lies beyond the model's tables.
    """
    skip = dit.config.get(SKIP)
    places = places or ((0, skip - 1) if skip else ())
    if places:
        if places[-1] >= dit.rope.max_seq_len:
            raise ValueError(
                f"models.positions={','.join(map(str, places))}: this model has positions 0 to "
                f"{dit.rope.max_seq_len - 1}: set the last one lower"
            )
        _place(dit, {len(places): places})
    return dit


@contextmanager
def keeping_ends(dit: WanTransformer3DModel, frames: int) -> Iterator[None]:
    """Puts clips of two latent frames where the first and the last of `frames` lie, for the body of ``with``."""
    own: dict[int, tuple[int, ...]] = getattr(dit.rope, "placed", {})
    places = own.get(frames, (0, frames - 1))
    _place(dit, own | {2: (places[0], places[-1])})
    try:
        yield
    finally:
        _place(dit, own)


def _place(dit: WanTransformer3DModel, placed: dict[int, tuple[int, ...]]) -> None:
    dit.rope.__class__ = PlacedRope  # one method differs; tables, names and saved files do not
    dit.rope.placed = placed  # pyright: ignore[reportArgumentType]
