"""The sampler, the evaluation of its edits, the ablations."""

from dataclasses import dataclass
from typing import Literal

from v4e.config.checks import AT_LEAST_1, NOT_NEGATIVE, check, require


@dataclass(frozen=True, kw_only=True)
class Sample:
    """How the student edits: the settings of samples, evaluation and serving."""

    steps: int = 8
    guidance: float = 1.0  # 1 = no CFG (ours)
    solver: Literal["euler", "unipc"] = "euler"

    def __post_init__(self):
        check(self, AT_LEAST_1, "steps")
        check(self, NOT_NEGATIVE, "guidance")


@dataclass(frozen=True, kw_only=True)
class Eval:
    """Evaluation on triplets with a ground truth."""

    limit: int = 0  # triplets; 0 = all
    batch: int = 20
    actors: int = 2
    preserve_db: float = 20.0  # an edit that leaves the rest below this PSNR is no success

    def __post_init__(self):
        check(self, NOT_NEGATIVE, "limit")
        check(self, AT_LEAST_1, "batch", "actors")


@dataclass(frozen=True, kw_only=True)
class Ablate:
    """Ablations: every variant with several seeds."""

    seeds: int = 3  # run.seed, run.seed + 1, ...; with fewer than 2 there is no verdict
    sizes: tuple[int, ...] = (50, 100, 200, 400, 800)  # of pipelines/efficiency.py: numbers of training triplets

    def __post_init__(self):
        check(self, AT_LEAST_1, "seeds")
        require(
            len(self.sizes) > 0 and tuple(sorted(set(self.sizes))) == self.sizes and self.sizes[0] >= 1,
            f"ablate.sizes={self.sizes} must be distinct numbers in rising order, e.g. ablate.sizes=50,100,200",
        )
