"""The settings of an edit: everything but the picture, the words and the noise."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from v4e.config import Config
from v4e.wan import Solver, check_frames, latent_frames

Preserve = Literal["off", "auto"]


@dataclass(frozen=True, kw_only=True)
class EditSettings:
    """The size, length and sampling of an edit.

    Raises:
        ValueError: a value that no edit can be made with.
    """

    height: int | None = None  # pixels in the model; both sides are given, or `max_pixels` decides
    width: int | None = None
    max_pixels: int | None = None  # area in the model, of the picture's aspect, where no sides are given
    frames: int = 5  # pixel frames P of the clip: 4k + 1
    steps: int = 8
    guidance: float = 1.0  # 1: no guidance, one pass a step in place of two
    shift: float | None = None  # of the timesteps; None: the scheduler's own
    solver: Solver = "euler"
    middle_steps: int = 0  # after these the latent frames between source and edit are dropped; 0: never
    preserve: Preserve = "off"  # auto: outside the region that the edit changes, the source's pixels to the bit
    hold: bool = False  # the latents outside a given mask are the source's at each step
    strength: float = 1.0  # how far the evolution goes: 0 is the source, 1 the edit

    def __post_init__(self):
        check_frames("frames", self.frames)
        if self.steps < 1:
            raise ValueError(f"steps={self.steps}: expected at least 1")
        if not 0 <= self.middle_steps < self.steps:
            raise ValueError(f"middle_steps={self.middle_steps}: expected less than steps={self.steps}, or 0 for all")
        if self.middle_steps and latent_frames(self.frames) < 3:
            raise ValueError(
                f"middle_steps={self.middle_steps} with frames={self.frames}: no frame lies between source and edit: "
                "set frames=9 or more"
            )
        if self.middle_steps and self.solver != "euler":
            raise ValueError(f"middle_steps={self.middle_steps} needs solver=euler, got {self.solver}")
        if not 0 <= self.guidance < math.inf:
            raise ValueError(f"guidance={self.guidance}: expected a number, not negative, such as 1 or 5")
        if self.shift is not None and not 0 < self.shift < math.inf:
            raise ValueError(f"shift={self.shift}: expected a number above 0, such as 3")
        if self.preserve not in get_args(Preserve):
            raise ValueError(f"preserve={self.preserve!r}: expected {' or '.join(get_args(Preserve))}")
        if not 0 <= self.strength <= 1:
            raise ValueError(f"strength={self.strength}: expected 0, the source, to 1, the edit")

    @classmethod
    def of(cls, config: Config, height: int, width: int) -> "EditSettings":
        """Returns what a run's samples, evaluation and model card edit with, at `height` x `width` pixels."""
        sample = config.sample
        return cls(
            height=height,
            width=width,
            frames=config.data.frames,
            steps=sample.steps,
            guidance=sample.guidance,
            shift=config.flow.shift,
            solver=sample.solver,
            middle_steps=sample.middle_steps,
        )


def check_seed(seed: int) -> None:
    """Refuses a seed that torch's generators do not take.

    Raises:
        ValueError: it is below 0 or of more than 63 bits.
    """
    if not 0 <= seed < 2**63:
        raise ValueError(f"seed={seed}: expected a whole number from 0 to {2**63 - 1}")
