"""The triplets of a run and what is computed from them once."""

import math
from dataclasses import dataclass
from typing import Literal

from v4e.config.checks import AT_LEAST_1, NOT_NEGATIVE, check, require
from v4e.config.mixture import parse_weights


@dataclass(frozen=True, kw_only=True)
class Data:
    """Triplets and the clip grid every one of them is brought to."""

    train: str = ""  # Parquet file or folder in OmniEdit's schema; "" = <run.dir>/triplets/train.parquet
    heldout: str = ""  # the same, for evaluation; "" = <run.dir>/triplets/heldout.parquet
    captions: str = ""  # "" = <run.dir>/captions.parquet
    store: str = ""  # feature store; "" = <run.dir>/store. Runs with the same frozen settings may share one
    frames: int = 5  # pixel frames P of a clip (ours); P = 4k + 1
    height: int = 32  # pixels; with aspect=buckets, what an image keeps is its aspect, and these give the area
    width: int = 32
    aspect: Literal["fixed", "buckets"] = "fixed"  # fixed: every image is stretched to height x width
    max_aspect: float = 4.0  # of buckets: the long side over the short one; longer images are rejected (ours)
    resolutions: int = 1  # of buckets, each of half the sides of the one before: small images are not blown up
    weights: str = ""  # draws an epoch of a task's or a corpus's samples, e.g. color=2,tone=0.5; the others' are 1
    limit: int = 0  # use at most this many triplets of `train`; 0 = all
    cache_mib: int = 1024  # of the store kept in memory, per process that reads samples
    max_pixels: int = 64_000_000  # larger source files are rejected before they are decoded

    def __post_init__(self):
        require(
            self.frames >= 5 and self.frames % 4 == 1,
            f"data.frames={self.frames}: Wan's VAE needs 4k+1 frames and an edit needs at least 5: "
            f"set data.frames={max(5, self.frames // 4 * 4 + 1)}",
        )
        for name in ("height", "width"):
            size = getattr(self, name)
            require(
                size >= 16 and size % 16 == 0,
                f"data.{name}={size} is not on the 16-pixel grid: set data.{name}={max(16, size // 16 * 16)}",
            )
        check(self, NOT_NEGATIVE, "limit", "cache_mib")
        check(self, AT_LEAST_1, "max_pixels", "max_aspect", "resolutions")
        parse_weights(self.weights)
        if self.aspect == "buckets":
            aspect = max(self.height, self.width) / min(self.height, self.width)
            require(
                aspect <= self.max_aspect,
                f"data.max_aspect={self.max_aspect} is below that of {self.height} x {self.width}: "
                f"set data.max_aspect={math.ceil(aspect)}",
            )
            most = (min(self.height, self.width) // 16).bit_length()
            require(
                self.resolutions <= most,
                f"data.resolutions={self.resolutions}: {self.height} x {self.width} can be halved {most - 1} times on "
                f"the 16-pixel grid: set data.resolutions={most}",
            )

    @property
    def latent_frames(self) -> int:
        """F, latent frames of a clip of P = ``frames`` pixel frames."""
        return (self.frames - 1) // 4 + 1


@dataclass(frozen=True, kw_only=True)
class Precompute:
    """All that is frozen, encoded once."""

    readers: int = 2  # tasks that read, decode and resize
    actors: int = 2  # that encode
    batch: int = 32  # triplets encoded together
    gpus_per_actor: int = 0  # at least 1 where train.gpus_per_worker is set

    def __post_init__(self):
        check(self, AT_LEAST_1, "readers", "actors", "batch")
        check(self, NOT_NEGATIVE, "gpus_per_actor")
