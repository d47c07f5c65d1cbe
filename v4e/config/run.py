"""The place, the seed and the models of a run."""

import os
from dataclasses import dataclass
from typing import Literal

from v4e.config.checks import require
from v4e.config.setting import NOTHING, setting


@dataclass(frozen=True, kw_only=True)
class Run:
    """The place and the seed of a run."""

    dir: str = setting("runs/demo", "Folder or fsspec URI that holds everything the run writes", decides=NOTHING)
    seed: int = setting(
        0,
        "Seed of the run: initial adapters, sample order, noise, the choice of triplets",
        decides=("triplets", "training", "edits", "benchmark edits", "foreign edits"),
    )
    overwrite: bool = setting(
        False, "Whether to drop the results of earlier stages instead of keeping what is finished", decides=NOTHING
    )

    def __post_init__(self):
        object.__setattr__(self, "dir", os.path.expanduser(self.dir))  # once, for all who read it
        require(bool(self.dir.strip()), "run.dir= is empty: expected a folder or URI, e.g. run.dir=runs/demo")


@dataclass(frozen=True, kw_only=True)
class Models:
    """The weights, as diffusers pipeline folders or hub ids (``WanImageToVideoPipeline`` layout)."""

    student: str = setting(
        "v4e/assets/tiny-wan-i2v",
        "Image-to-video base: where the student starts, and the native baseline; a diffusers pipeline folder "
        "or a hub id",
        decides=("features", "training", "edits", "benchmark edits"),
    )
    lora: tuple[str, ...] = setting(
        (),
        "LoRAs that are merged into models.student before training starts, each FILE or FILE:WEIGHT, in the names of "
        "diffusers, ComfyUI, kohya or musubi. The native baseline is without them",
        decides="training",
        before=(),
    )
    teacher: str = setting(
        "v4e/assets/tiny-wan-flf2v",
        "First-and-last-frame model, frozen; a diffusers pipeline folder or a hub id",
        decides=("rollouts", "training", "edits"),
    )
    dtype: Literal["float32", "bfloat16"] = setting(
        "float32",
        "Precision that frozen DiTs and text encoders compute in; VAE and image encoder are float32",
        decides=("features", "rollouts", "training", "edits", "benchmark edits", "foreign edits"),
    )
    attention: str = setting(
        "native",
        "Attention backend of diffusers, such as native (PyTorch's SDPA) or flash; the same but for rounding",
        decides=NOTHING,
    )
    positions: tuple[int, ...] = setting(
        (),
        "Places in time of a clip's two latent frames, for student and teacher: 0,7 puts the edit where ChronoEdit "
        "does; empty = 0,1, or those of the student's or teacher's own folder",
        decides=("rollouts", "training", "edits", "benchmark edits"),
        before=(),
    )
    fold_pad: bool = setting(
        True,
        "Whether to compute identical text padding tokens once; exact, but needs a backend with masks (ours)",
        decides=NOTHING,
    )

    def __post_init__(self):
        require(
            not (self.fold_pad and self.attention != "native"),
            f"models.fold_pad needs an attention mask, which backend {self.attention!r} has not: "
            "set models.fold_pad=false or models.attention=native",
        )
        require(
            not self.positions or (len(self.positions) == 2 and self.positions[0] == 0 < self.positions[1]),
            f"models.positions={','.join(map(str, self.positions))}: expected two places, the first 0, such as "
            "models.positions=0,7; diffusers has a class for no others",
        )
