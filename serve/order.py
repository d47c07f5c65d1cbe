"""The messages between the front and a replica of the model: an order one way, steps and the result back."""

from dataclasses import dataclass, field

from PIL import Image


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
    negative: str | None = None
    lora: str | None = None
    shift: float | None = None
    clip: bool = False  # whether the evolution is wanted, not only where it ends
    tell: bool = False  # whether each step is reported
    preview_at: frozenset[int] = field(default_factory=frozenset)  # steps, from 0, that are reported with a preview


@dataclass(frozen=True, kw_only=True)
class Step:
    """A completed step of the model."""

    step: int  # from 1
    steps: int
    preview: Image.Image | None = None  # of the model's grid


@dataclass(frozen=True, kw_only=True)
class Done:
    """The completed edit."""

    image: Image.Image  # of the order's size
    clip: list[Image.Image]  # of the model's grid; empty where the order does not want it
    how: tuple[str, ...]  # inexact options in use
    seconds: float  # of the model


Event = Step | Done
