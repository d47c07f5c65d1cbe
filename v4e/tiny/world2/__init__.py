"""World 2: a procedural place where an instruction may have several right answers, all of which can be listed.

>>> record = next(make_triplets("train", per_task=1, seed=0))
>>> record.instruction, record.prior, record.outcomes.shape, record.frames.shape
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import numpy as np

from v4e.language.tasks import TASKS
from v4e.tiny.world2.draw import clip, render, to_bytes
from v4e.tiny.world2.drawing import OPEN, draw_edit
from v4e.tiny.world2.edits import WorldEdit
from v4e.tiny.world2.words import caption, instruction

SPLITS = ("pretrain", "train", "val", "heldout")
SIZE = 32  # pixels
FRAMES = 9  # of a clip: the source, four on the way, and four at rest, which are the last latent frame
RECORDINGS = 3  # recorded edits of a source that has several
SEVERAL = 5  # every so many-th open edit of a task has several


@dataclass(frozen=True)
class Record:
    """One recorded edit of World 2. Images are uint8 RGB; frame 0 is the source, the last frame the edit."""

    id: str
    task: str
    kind: str  # of the instruction, with what it leaves open behind a slash
    instruction: str
    caption: str  # of the evolution, as open as the instruction
    resolving: str  # of the evolution, saying which outcome is shown
    frames: np.ndarray  # (P, S, S, 3)
    outcomes: np.ndarray  # every valid result, (n, S, S, 3)
    prior: tuple[float, ...]  # of each outcome
    shown: int  # index of the outcome that the clip shows
    held_out: bool  # is about a combination of color and shape never seen in training

    @property
    def source(self) -> np.ndarray:
        return self.frames[0]

    @property
    def edit(self) -> np.ndarray:
        return self.frames[-1]

    @property
    def open(self) -> bool:
        """True where the instruction leaves something to choose."""
        return len(self.prior) > 1


def scene_rng(split: str, task: str, index: int, seed: int) -> Random:
    """Returns the scene's own random stream: splits never share one.

    Raises:
        ValueError: there is no such split.
    """
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}: expected one of {', '.join(SPLITS)}")
    return Random(hashlib.blake2b(f"world2/{split}/{task}/{index}/{seed}".encode()).digest())


def make_records(
    split: str,
    task: str,
    index: int,
    seed: int = 0,
    *,
    size: int = SIZE,
    frames: int = FRAMES,
    open_share: float = OPEN,
) -> list[Record]:
    """Makes the recorded edits of scene `index` of `task`: one, or several of one source and one instruction.

    It is a pure function of its arguments. Every other held-out scene is novel.
    """
    rng = scene_rng(split, task, index, seed)
    novel = split == "heldout" and index % 2 == 1
    edit = draw_edit(rng, task, size=size, novel=novel, open_share=open_share)
    asked = instruction(edit.kind, edit.slots, rng)
    outcomes = to_bytes(np.stack([render(one.scene, size) for one in edit.outcomes]))
    count = RECORDINGS if edit.open and index % SEVERAL == 0 else 1
    name = f"{split}-{seed}-{task}-{index:05d}"
    return [
        _record(f"{name}-{number}" if number else name, edit, asked, outcomes, rng, frames, size, novel)
        for number in range(count)
    ]


def _record(
    name: str, edit: WorldEdit, asked: str, outcomes: np.ndarray, rng: Random, frames: int, size: int, novel: bool
) -> Record:
    shown = edit.drawn(rng)
    one = edit.outcomes[shown]
    return Record(
        id=name,
        task=edit.task,
        kind=edit.kind,
        instruction=asked,
        caption=caption(edit.kind, edit.slots, rng),
        resolving=caption(edit.told, one.slots, rng),
        frames=clip(edit.before, one.scene, frames, size),
        outcomes=outcomes,
        prior=tuple(outcome.prior for outcome in edit.outcomes),
        shown=shown,
        held_out=novel,
    )


def make_triplets(
    split: str, per_task: int, seed: int = 0, *, size: int = SIZE, frames: int = FRAMES
) -> Iterator[Record]:
    """Makes the records of `per_task` scenes of each of the 11 tasks, tasks interleaved."""
    for index in range(per_task):
        for task in TASKS:
            yield from make_records(split, task, index, seed, size=size, frames=frames)
