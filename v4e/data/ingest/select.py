"""The choice of the candidates to check next, and of the triplets to keep among those that passed.

Shape letters: S corpora, K tasks.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import ceil
from typing import TypeVar

import numpy as np

from v4e.config import Ingest
from v4e.data.ingest.candidates import Candidates, Cell
from v4e.data.ingest.check import CandidateItem, CheckChunk, Checked, chunks_of
from v4e.data.ingest.dedupe import repeats
from v4e.data.ingest.quota import corpus_shares, fit_counts, task_shares
from v4e.data.sources.files import CorpusFile
from v4e.language.tasks import TASKS

T = TypeVar("T")
MORE = 1.25  # candidates looked at for each triplet that is still wanted: most pass


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The state of the choice: the candidates, and those checked so far, best first in each cell."""

    ingest: Ingest
    corpora: tuple[str, ...]
    candidates: Candidates
    excluded: np.ndarray  # uint64 hashes of images that must not occur
    checked: Mapping[Cell, Sequence[Checked]] = field(default_factory=dict)

    @property
    def cells(self) -> list[Cell]:
        return [(corpus, task) for corpus in self.corpora for task in TASKS]

    @cached_property
    def screened(self) -> tuple[dict[Cell, list[Checked]], dict[str, str]]:
        """The triplets that pass and repeat no other, best first in each cell; and the reasons of the others by id.

        The best of every cell come first, then the second best: no cell loses all its repeated images to another.
        """
        ones = _best_first({cell: [(cell, one) for one in self.checked.get(cell, ())] for cell in self.cells})
        reasons = {one.id: one.reason for _, one in ones if one.reason}
        passed = [(cell, one) for cell, one in ones if not one.reason]
        good: dict[Cell, list[Checked]] = {cell: [] for cell in self.cells}
        why = repeats([one for _, one in passed], self.excluded, self.ingest.hash_distance)
        for (cell, one), reason in zip(passed, why, strict=True):
            if reason:
                reasons[one.id] = reason
            else:
                good[cell].append(one)
        return good, reasons

    @cached_property
    def wanted_SK(self) -> np.ndarray:
        """The number of triplets wanted in each cell, no more than there can still be."""
        good, _ = self.screened
        most = [len(good[cell]) + self.unchecked(cell) for cell in self.cells]
        return quota(self.ingest, self.corpora, np.array(most).reshape(len(self.corpora), -1))

    def unchecked(self, cell: Cell) -> int:
        return len(self.candidates.get(cell, ())) - len(self.checked.get(cell, ()))

    def todo(self) -> dict[Cell, int]:
        """Returns the number of candidates to check next in each cell; empty when the choice is done."""
        good, _ = self.screened
        wanted = dict(zip(self.cells, self.wanted_SK.ravel().tolist(), strict=True))
        short = {cell: wanted[cell] - len(good[cell]) for cell in self.cells}
        return {cell: min(self.unchecked(cell), ceil(MORE * n)) for cell, n in short.items() if n > 0}

    def chunks(self, todo: Mapping[Cell, int], files: Sequence[CorpusFile], folder: str) -> list[CheckChunk]:
        """Returns the work of `todo` as chunks of rows of `files`; results go below `folder`."""
        items = []
        for cell, count in todo.items():
            for number, row, pair, quality in self._next(cell, count)[["file", "row", "pair", "quality"]].tolist():
                items.append((files[number], CandidateItem(place=(row, pair), task=cell[1], quality=quality)))
        return chunks_of(items, folder)

    def with_checked(self, todo: Mapping[Cell, int], found: Sequence[Checked]) -> "Selection":
        """Returns the choice with `found`, the results of `todo`, added."""
        by_place = {(*one.row, one.pair): one for one in found}
        checked = dict(self.checked)
        for cell, count in todo.items():
            new = [by_place[one["file"], one["row"], one["pair"]] for one in self._next(cell, count)]
            checked[cell] = [*checked.get(cell, ()), *new]
        return replace(self, checked=checked)

    def _next(self, cell: Cell, count: int) -> np.ndarray:
        start = len(self.checked.get(cell, ()))
        return self.candidates[cell][start : start + count]


def quota(ingest: Ingest, corpora: Sequence[str], most_SK: np.ndarray) -> np.ndarray:
    """Returns :func:`~v4e.data.ingest.quota.fit_counts` for the total number of triplets of a run."""
    return fit_counts(ingest.count + ingest.heldout, corpus_shares(ingest, corpora), task_shares(ingest), most_SK)


def kept(ingest: Ingest) -> dict[str, int]:
    """Returns the number of candidates of each task that the label stage keeps for every corpus.

    One corpus may have to supply all triplets of a task.
    """
    total = ingest.count + ingest.heldout
    share = dict(zip(TASKS, task_shares(ingest).tolist(), strict=True))
    return {task: ceil(ingest.candidates * total * share[task]) for task in TASKS if share[task] > 0}


def splits(selection: Selection, seed: int) -> tuple[list[Checked], list[Checked]]:
    """Returns train and held-out triplets, the best of every cell first: the first N are a balanced set too.

    Held-out ones are drawn from all chosen triplets, not from the worst, in the same mix.
    """
    good, _ = selection.screened
    ingest, wanted_SK = selection.ingest, selection.wanted_SK
    share = ingest.heldout / (ingest.count + ingest.heldout)
    shares = corpus_shares(ingest, selection.corpora), task_shares(ingest)
    held_SK = fit_counts(round(share * int(wanted_SK.sum())), *shares, wanted_SK)
    train, held = dict[Cell, list[Checked]](), dict[Cell, list[Checked]]()
    for cell, count, out in zip(selection.cells, wanted_SK.ravel(), held_SK.ravel(), strict=True):
        chosen = good[cell][:count]
        drawn = {one.id for one in sorted(chosen, key=lambda one: _draw(one.id, seed))[:out]}
        held[cell] = [one for one in chosen if one.id in drawn]
        train[cell] = [one for one in chosen if one.id not in drawn]
    return _best_first(train), _best_first(held)


def _draw(sample_id: str, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed}/heldout/{sample_id}".encode(), digest_size=16).digest()


def _best_first(cells: Mapping[Cell, Sequence[T]]) -> list[T]:
    """Returns the first of every cell, then the second of every cell, ..."""
    ranked = ((rank, at, one) for at, ones in enumerate(cells.values()) for rank, one in enumerate(ones))
    return [one for _, _, one in sorted(ranked, key=lambda row: row[:2])]
