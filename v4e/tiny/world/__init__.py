"""The evolution world: a procedural place where each of the 11 edits has a ground-truth clip.

>>> record = next(make_triplets("train", per_task=1, seed=0))
>>> record.instruction, record.caption, record.frames.shape
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import numpy as np

from v4e.language.tasks import TASKS
from v4e.tiny.world.edits import WorldEdit, make_edit
from v4e.tiny.world.language import caption, instruction

SPLITS = ("pretrain", "train", "val", "heldout")
SIZE = 32  # pixels
FRAMES = 5


@dataclass(frozen=True)
class Record:
    """One edit of the world. Images are uint8 RGB; frame 0 is the source, the last frame the edit."""

    id: str
    task: str
    instruction: str
    caption: str  # the ground truth's evolution caption, one of many phrasings
    frames: np.ndarray  # (P, S, S, 3)
    held_out: bool  # is about a combination of color and shape never seen in training

    @property
    def source(self) -> np.ndarray:
        return self.frames[0]

    @property
    def edit(self) -> np.ndarray:
        return self.frames[-1]

    @property
    def mask(self) -> np.ndarray:
        """Bool (S, S): the pixels that the edit changes."""
        return np.abs(self.source.astype(int) - self.edit).max(-1) > 2


def scene_rng(split: str, task: str, index: int, seed: int) -> Random:
    """The scene's own random stream: splits never share one."""
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}: expected one of {', '.join(SPLITS)}")
    return Random(hashlib.blake2b(f"{split}/{task}/{index}/{seed}".encode()).digest())


def visible_edit(rng: Random, task: str, *, novel: bool, size: int = SIZE) -> tuple[WorldEdit, np.ndarray]:
    """An edit that can be seen, and its frames: draws again while fewer than 1 % of the pixels change clearly."""
    while True:
        edit = make_edit(rng, task, novel=novel)
        frames = edit.frames(FRAMES, size)
        changed = np.abs(frames[0].astype(int) - frames[-1]).max(-1) > 24
        if changed.mean() > 0.01:
            return edit, frames


def make_record(split: str, task: str, index: int, seed: int, size: int = SIZE) -> Record:
    """Record `index` of `task`: a pure function of its arguments. Every other held-out record is `novel`."""
    rng = scene_rng(split, task, index, seed)
    novel = split == "heldout" and index % 2 == 1
    edit, frames = visible_edit(rng, task, novel=novel, size=size)
    return Record(
        id=f"{split}-{seed}-{task}-{index:05d}",
        task=task,
        instruction=instruction(edit.kind, edit.slots, rng),
        caption=caption(edit.kind, task, edit.slots, rng),
        frames=frames,
        held_out=novel,
    )


def make_triplets(split: str, per_task: int, seed: int = 0, size: int = SIZE) -> Iterator[Record]:
    """`per_task` records of each of the 11 tasks, tasks interleaved."""
    for index in range(per_task):
        for task in TASKS:
            yield make_record(split, task, index, seed, size)
