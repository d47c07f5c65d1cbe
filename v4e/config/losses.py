"""The losses of the method, and the noise schedule they share."""

from dataclasses import dataclass
from typing import Literal

from v4e.config.checks import NOT_NEGATIVE, POSITIVE, check, require


@dataclass(frozen=True, kw_only=True)
class KD:
    """Block-wise distillation, Eq. 2."""

    weight: float = 1.0
    taps: tuple[int, ...] = (1, 3, 5)  # DiT blocks, counted from 0
    reduction: Literal["relative", "mean", "sum"] = "relative"  # sum is Eq. 2 to the letter

    def __post_init__(self):
        check(self, NOT_NEGATIVE, "weight")
        require(
            self.weight == 0 or len(self.taps) > 0,
            "kd.weight > 0 without kd.taps: name blocks, e.g. kd.taps=1,3,5, or set kd.weight=0",
        )
        require(
            tuple(sorted(set(self.taps))) == self.taps and all(b >= 0 for b in self.taps),
            f"kd.taps={self.taps} must be distinct block numbers in rising order",
        )


@dataclass(frozen=True, kw_only=True)
class Tail:
    """Tail-frame supervision, Eq. 4 to 6."""

    weight: float = 20.0  # lambda_tail; 20 because relative kd has 30 to 50 times its gradient (ours)
    space: Literal["latent", "pixel"] = "latent"  # pixel = Eq. 4 to the letter: decode, tile, re-encode
    context: Literal["source", "edit", "fade"] = "source"  # before Eq. 4's 4 tiled edits; fade (ours): a cross-fade
    power: float = 3.0  # exponent of w(t) in Eq. 5
    beta: float = 0.1  # weight of the gradient term in Eq. 6

    def __post_init__(self):
        check(self, NOT_NEGATIVE, "weight", "power", "beta")


@dataclass(frozen=True, kw_only=True)
class Flow:
    """The noise schedule that teacher, student and sampler share."""

    shift: float = 3.0
    weight: float = 0.0  # of a plain flow-matching loss beside Eq. 1: a control, not the method

    def __post_init__(self):
        check(self, POSITIVE, "shift")
        check(self, NOT_NEGATIVE, "weight")
