"""The settings of an edit: everything but the picture, the words and the noise."""

from dataclasses import dataclass

from v4e.config import Config
from v4e.wan import Solver, check_frames


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

    def __post_init__(self):
        check_frames("frames", self.frames)
        if self.steps < 1:
            raise ValueError(f"steps={self.steps}: expected at least 1")

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
        )
