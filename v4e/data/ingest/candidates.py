"""The best edits of each corpus and task, in memory that does not grow with the corpora.

Candidates are numbers only; their texts and images are read again when they are chosen. The result depends only on the
set of edits: their order, their files and the number of readers do not matter.
"""

from collections.abc import Iterable, Mapping

import numpy as np

Cell = tuple[str, str]  # corpus, task
Candidates = dict[Cell, np.ndarray]

CANDIDATE = np.dtype(
    [
        ("quality", "f8"),
        ("tie", "u8"),  # a hash of seed and id: the order among equals
        ("words", "u8"),  # a hash of the instruction
        ("file", "u4"),
        ("row", "u4"),
        ("pair", "u1"),
    ]
)


def best(found: np.ndarray, keep: int, per_instruction: int) -> np.ndarray:
    """Returns the `keep` best of `found`, best first, with at most `per_instruction` of the same instruction."""
    order = np.lexsort((found["pair"], found["row"], found["file"], found["tie"], -found["quality"]))
    found = found[order]
    by_words = np.argsort(found["words"], kind="stable")  # ranks stay in order within an instruction
    words = found["words"][by_words]
    starts = np.flatnonzero(np.r_[True, words[1:] != words[:-1]]) if len(words) else np.array([], np.int64)
    nth = np.empty(len(found), np.int64)
    nth[by_words] = np.arange(len(found)) - np.repeat(starts, np.diff(np.r_[starts, len(found)]))
    return found[nth < per_instruction][:keep]


def merge(parts: Iterable[Candidates], keep: Mapping[str, int], per_instruction: int) -> Candidates:
    """Returns the best of all `parts`, cell by cell; `keep` is their number by task."""
    merged: Candidates = {}
    for part in parts:
        for cell, found in part.items():
            both = np.concatenate([merged[cell], found]) if cell in merged else found
            merged[cell] = best(both, keep[cell[1]], per_instruction)
    return merged
