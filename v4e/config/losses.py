"""The losses of the method, and the noise schedule they share."""

from dataclasses import dataclass
from typing import Literal

from v4e.config.checks import NOT_NEGATIVE, POSITIVE, check, require
from v4e.config.setting import setting
from v4e.config.times import parse_times


@dataclass(frozen=True, kw_only=True)
class KD:
    """Block-wise distillation, Eq. 2."""

    weight: float = setting(1.0, "Weight of block-wise distillation; 0 = none", decides="training")
    taps: tuple[int, ...] = setting(
        (1, 3, 5), "DiT blocks whose outputs are compared, counted from 0", decides="training"
    )
    reduction: Literal["relative", "mean", "sum"] = setting(
        "relative", "How a block's squared error becomes a number; sum is Eq. 2 to the letter", decides="training"
    )

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
class Distill:
    """The states at which teacher and student are compared."""

    states: Literal["rollout", "mixed", "student"] = setting(
        "rollout",
        "Noised rollouts, states of the student's own sampling, or mixed: half of each batch at its own. There it has "
        "block-wise distillation alone (ours)",
        decides="training",
        before="rollout",
    )
    steps: int = setting(
        8,
        "Steps of Euler of the student's own sampling, at one of which a training step asks the teacher",
        decides="training",
        before=8,
    )
    shown: Literal["recorded", "posterior", "hindsight"] = setting(
        "recorded",
        "Edit that the teacher is shown at a state of the student's own: the recorded one; or, of all that were "
        "recorded for this source and instruction, one drawn by how likely it is given the state, or the nearest to "
        "where the student ends (ours)",
        decides="training",
        before="recorded",
    )

    def __post_init__(self):
        check(self, POSITIVE, "steps")
        require(
            self.shown == "recorded" or self.states != "rollout",
            f"distill.shown={self.shown} is of the student's own states: set distill.states=mixed or student",
        )

    def own(self, batch: int) -> int:
        """Returns how many samples of a batch are at states of the student's own sampling: its first ones."""
        return {"rollout": 0, "mixed": batch // 2, "student": batch}[self.states]


@dataclass(frozen=True, kw_only=True)
class Tail:
    """Tail-frame supervision, Eq. 4 to 6."""

    weight: float = setting(
        20.0,
        "lambda_tail, the weight of tail-frame supervision; 20 because relative KD has 30 to 50 times its "
        "gradient (ours)",
        decides="training",
    )
    space: Literal["latent", "pixel"] = setting(
        "latent", "Space of the loss; pixel is Eq. 4 to the letter: decode, tile and encode again", decides="training"
    )
    context: Literal["source", "edit", "fade"] = setting(
        "source",
        "Frames before the 4 tiled edits of Eq. 4: source, edit, or fade, a cross-fade between them (ours)",
        decides=("features", "training"),
    )
    power: float = setting(3.0, "Exponent of w(t) in Eq. 5", decides="training")
    beta: float = setting(0.1, "Weight of the gradient term in Eq. 6", decides="training")
    times: str = setting(
        "all",
        "Timesteps T_tail of Eq. 6: all, those up to a bound such as 0.25, or those of some of the sampler's steps, "
        "such as 7,8/8 for the last two of 8",
        decides="training",
        before="all",
    )

    def __post_init__(self):
        check(self, NOT_NEGATIVE, "weight", "power", "beta")
        parse_times(self.times)


@dataclass(frozen=True, kw_only=True)
class Flow:
    """The noise schedule that teacher, student and sampler share."""

    shift: float = setting(
        3.0, "Timestep shift of the noise schedule", decides=("rollouts", "training", "edits", "benchmark edits")
    )
    weight: float = setting(
        0.0, "Weight of a plain flow-matching loss added to Eq. 1: a control, not the method", decides="training"
    )

    def __post_init__(self):
        check(self, POSITIVE, "shift")
        check(self, NOT_NEGATIVE, "weight")


def objective(kd: KD, tail: Tail, flow: Flow) -> str:
    """Returns Eq. 1 in words: the weight of each term, and the timesteps of the tail where not all count."""
    return f"{kd.weight} kd + {tail.weight} tail{parse_times(tail.times).words(flow.shift)} + {flow.weight} flow"
