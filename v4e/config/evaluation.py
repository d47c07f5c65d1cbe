"""The sampler, the evaluation of its edits, the ablations."""

from dataclasses import dataclass
from typing import Literal

from v4e.config.checks import AT_LEAST_1, NOT_NEGATIVE, check, require
from v4e.config.setting import NOTHING, setting


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The sampler of the student, for samples, evaluation and serving."""

    steps: int = setting(8, "Sampling steps of an edit", decides=("edits", "benchmark edits"))
    guidance: float = setting(1.0, "Guidance scale; 1 = none (ours)", decides=("edits", "benchmark edits"))
    solver: Literal["euler", "unipc"] = setting(
        "euler", "Solver of the sampling ODE", decides=("edits", "benchmark edits")
    )

    middle_steps: int = setting(
        0,
        "Steps after which the latent frames between source and edit are dropped, for an edit in less time; 0 = never",
        decides=("edits", "benchmark edits"),
        before=0,
    )

    def __post_init__(self):
        check(self, AT_LEAST_1, "steps")
        check(self, NOT_NEGATIVE, "guidance", "middle_steps")
        require(
            self.middle_steps < self.steps and (self.solver == "euler" or not self.middle_steps),
            f"sample.middle_steps={self.middle_steps}: expected less than sample.steps={self.steps}, and "
            f"sample.solver=euler, got {self.solver}",
        )


@dataclass(frozen=True, kw_only=True)
class Eval:
    """The evaluation on triplets with a ground truth."""

    limit: int = setting(0, "Most triplets to evaluate; 0 = all", decides="scores")
    batch: int = setting(20, "Edits in one forward", decides=NOTHING)
    actors: int = setting(2, "Actors that edit", decides=NOTHING)
    preserve_db: float = setting(
        20.0, "PSNR in dB outside the edit below which an edit is no success", decides="scores"
    )

    def __post_init__(self):
        check(self, NOT_NEGATIVE, "limit")
        check(self, AT_LEAST_1, "batch", "actors")


@dataclass(frozen=True, kw_only=True)
class Ablate:
    """The ablations: every variant with several seeds."""

    seeds: int = setting(
        3, "Seeds of every variant: run.seed, run.seed + 1, and so on; a verdict needs at least 2", decides=NOTHING
    )
    sizes: tuple[int, ...] = setting(
        (50, 100, 200, 400, 800), "Numbers of training triplets that v4e efficiency compares", decides=NOTHING
    )

    def __post_init__(self):
        check(self, AT_LEAST_1, "seeds")
        require(
            len(self.sizes) > 0 and tuple(sorted(set(self.sizes))) == self.sizes and self.sizes[0] >= 1,
            f"ablate.sizes={self.sizes} must be distinct numbers in rising order, e.g. ablate.sizes=50,100,200",
        )
