"""The messages between the front and a replica of the model: an order one way, steps and the result back."""

from dataclasses import dataclass, field
from typing import cast

from PIL import Image

from v4e.editing.settings import EditSettings, Preserve
from v4e.wan import Solver


@dataclass(frozen=True, kw_only=True)
class Order:
    """One edit, complete: the same order gives the same edit on any replica."""

    image: Image.Image  # RGB, of the size that the result is to have
    instruction: str
    seed: int
    height: int  # of the model's grid, pixels
    width: int
    frames: int
    steps: int
    guidance: float
    solver: str
    middle_steps: int = 0
    negative: str | None = None
    lora: str | None = None
    shift: float | None = None
    mask: Image.Image | None = None  # L, of the image's size, 255 where to edit
    preserve: Preserve = "off"  # this and the next three as in EditSettings and v4e.editing.crop
    hold: bool = False
    strength: float = 1.0
    crop: bool = False
    clip: bool = False  # whether the evolution is wanted, not only where it ends
    told: bool = False  # whether what made it is wanted, for content credentials
    tell: bool = False  # whether each step is reported
    preview_at: frozenset[int] = field(default_factory=frozenset)  # steps, from 0, that are reported with a preview

    @property
    def settings(self) -> EditSettings:
        """The part of the order that is not about pictures, words and noise."""
        return EditSettings(
            height=self.height,
            width=self.width,
            frames=self.frames,
            steps=self.steps,
            guidance=self.guidance,
            shift=self.shift,
            solver=cast(Solver, self.solver),
            middle_steps=self.middle_steps,
            preserve=self.preserve,
            hold=self.hold,
            strength=self.strength,
        )

    @property
    def all_steps(self) -> int:
        """The steps of all passes: a crop without a mask has a first one, of the whole picture."""
        return self.steps * (2 if self.crop and self.mask is None else 1)


@dataclass(frozen=True, kw_only=True)
class Wait:
    """The place of a request that waits, and whether anything would make it."""

    place: int  # from 1; 0: it is given out
    waiting: int
    replicas: int  # warm ones


@dataclass(frozen=True, kw_only=True)
class Step:
    """A completed step of the model."""

    step: int  # from 1
    steps: int
    preview: Image.Image | None = None  # of the model's grid
    index: int = 0  # of the edit among those of its request


@dataclass(frozen=True, kw_only=True)
class Maker:
    """The model that made an edit, and where."""

    weights_sha256: str
    lora_sha256: str | None
    on: str  # versions and device


@dataclass(frozen=True, kw_only=True)
class Done:
    """The completed edit."""

    image: Image.Image  # of the order's size
    clip: list[Image.Image]  # of the model's grid; empty where the order does not want it
    how: tuple[str, ...]  # inexact options in use
    notes: tuple[str, ...]  # sentences on what had no effect
    seconds: float  # of the model
    region: Image.Image | None = None  # L, of the order's size, 255 where edited; None: all of it is
    maker: Maker | None = None  # if the order wants it told


Event = Step | Done
