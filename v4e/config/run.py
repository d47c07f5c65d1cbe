"""The place, the seed and the weights of a run."""

from dataclasses import dataclass
from typing import Literal

from v4e.config.checks import require


@dataclass(frozen=True, kw_only=True)
class Run:
    """Where a run lives and what seeds it."""

    dir: str = "runs/demo"  # folder or fsspec URI: everything the run writes is below it
    seed: int = 0
    overwrite: bool = False  # drop the results of earlier stages instead of going on with them

    def __post_init__(self):
        require(bool(self.dir.strip()), "run.dir= is empty: expected a folder or URI, e.g. run.dir=runs/demo")


@dataclass(frozen=True, kw_only=True)
class Models:
    """Weights, as diffusers pipeline folders or hub ids (``WanImageToVideoPipeline`` layout)."""

    student: str = "v4e/assets/tiny-wan-i2v"  # I2V base: the student's start and the native baseline
    teacher: str = "v4e/assets/tiny-wan-flf2v"  # FLF2V, frozen
    dtype: Literal["float32", "bfloat16"] = "float32"  # compute dtype of the frozen models
    attention: str = "native"  # a diffusers attention backend: native (SDPA), flash, ...
    fold_pad: bool = True  # ours: compute identical text pad tokens once (exact); off for backends without masks

    def __post_init__(self):
        require(
            not (self.fold_pad and self.attention != "native"),
            f"models.fold_pad needs an attention mask, which backend {self.attention!r} has not: "
            "set models.fold_pad=false or models.attention=native",
        )
