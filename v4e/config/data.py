"""The triplets of a run and what is computed from them once."""

import math
from dataclasses import dataclass
from typing import Literal

from v4e.config.checks import AT_LEAST_1, NOT_NEGATIVE, check, require
from v4e.config.mixture import parse_weights
from v4e.config.setting import NOTHING, Outcome, setting
from v4e.wan import GRID, check_frames, latent_frames, on_grid

SIZE: tuple[Outcome, ...] = ("features", "training", "edits", "benchmark edits", "foreign edits")


@dataclass(frozen=True, kw_only=True)
class Data:
    """The triplets, and the clip grid that each of them is resized to."""

    train: str = setting(
        "",
        "Parquet file or folder of training triplets in OmniEdit's schema; empty = <run.dir>/triplets/train.parquet",
        decides="samples",
    )
    heldout: str = setting(
        "",
        "Parquet file or folder of triplets for evaluation; empty = <run.dir>/triplets/heldout.parquet",
        decides="samples",
    )
    captions: str = setting(
        "", "Parquet file of evolution captions; empty = <run.dir>/captions.parquet", decides="captions"
    )
    store: str = setting(
        "",
        "Folder or URI of the feature store; empty = <run.dir>/store. Runs with the same frozen models may share one",
        decides=NOTHING,
    )
    frames: int = setting(
        5, "Pixel frames P of a clip, 4k + 1 (ours)", decides=("features", "training", "edits", "benchmark edits")
    )
    height: int = setting(
        32, "Height of a clip in pixels; with aspect=buckets, height x width is the area of every bucket", decides=SIZE
    )
    width: int = setting(32, "Width of a clip in pixels", decides=SIZE)
    aspect: Literal["fixed", "buckets"] = setting(
        "fixed",
        "fixed stretches every image to height x width; buckets keeps each image's aspect",
        decides=("features", "training", "edits"),
    )
    max_aspect: float = setting(
        4.0,
        "Largest ratio of long to short side; longer images are rejected (ours)",
        decides=("features", "training", "edits"),
        only="aspect=buckets",
    )
    resolutions: int = setting(
        1,
        "Number of resolutions, each with half the sides of the one before, so that small images are not enlarged",
        decides=("features", "training", "edits"),
        only="aspect=buckets",
    )
    weights: str = setting(
        "",
        "Draws an epoch of each sample of a task or corpus, such as color=2,tone=0.5; 1 where not named",
        decides="training",
    )
    limit: int = setting(0, "Largest number of training triplets to use; 0 = all", decides="training")
    cache_mib: int = setting(
        1024, "Part of the store that each reading process keeps in memory, in MiB", decides=NOTHING
    )
    max_pixels: int = setting(
        64_000_000, "Pixels of an image above which it is rejected before it is decoded", decides="triplets"
    )

    def __post_init__(self):
        check_frames("data.frames", self.frames)
        for name in ("height", "width"):
            size = getattr(self, name)
            require(
                size >= GRID and size % GRID == 0,
                f"data.{name}={size} is not on the 16-pixel grid: set data.{name}={on_grid(size)}",
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
            most = (min(self.height, self.width) // GRID).bit_length()
            require(
                self.resolutions <= most,
                f"data.resolutions={self.resolutions}: {self.height} x {self.width} can be halved {most - 1} times on "
                f"the 16-pixel grid: set data.resolutions={most}",
            )

    @property
    def latent_frames(self) -> int:
        """The number F of latent frames of a clip of P = ``frames`` pixel frames."""
        return latent_frames(self.frames)


@dataclass(frozen=True, kw_only=True)
class Precompute:
    """The encoding of everything frozen, done once."""

    readers: int = setting(2, "Tasks that read, decode and resize images", decides=NOTHING)
    actors: int = setting(2, "Actors that encode", decides=NOTHING)
    batch: int = setting(32, "Triplets encoded together", decides=NOTHING)
    gpus_per_actor: int = setting(
        0, "GPUs of an encoding actor; at least 1 where train.gpus_per_worker is set", decides=NOTHING
    )

    def __post_init__(self):
        check(self, AT_LEAST_1, "readers", "actors", "batch")
        check(self, NOT_NEGATIVE, "gpus_per_actor")
