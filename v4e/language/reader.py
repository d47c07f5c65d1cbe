"""Reads an instruction: its atomic edits with their tasks, what stays, its quoted texts and its language."""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from v4e.language.clauses import VERBS, clauses
from v4e.language.head import NOTHING, Head, head
from v4e.language.words import FUNCTION, words

OTHER = "other"  # the label of edits that none of the 11 tasks is: crops, reasoning, resolution
# several imperatives in a row of one of these are one edit: "smooth the skin and whiten the teeth"
ONE = frozenset(("portrait", "motion", "tone", "style", OTHER))
UNKNOWN = 0.5  # of the chance where the head knows no word of an instruction, which is then never sure
_SCRIPTS = {"CJK": "zh", "HIRAGANA": "ja", "KATAKANA": "ja", "HANGUL": "ko", "CYRILLIC": "ru", "ARABIC": "ar"}
_ENGLISH = FUNCTION | VERBS


@dataclass(frozen=True)
class EditRead:
    """One atomic edit, as its writer put it."""

    task: str  # one of TASKS, or OTHER
    text: str  # its clause, with quoted texts


@dataclass(frozen=True)
class Reading:
    """The content of an instruction."""

    edits: tuple[EditRead, ...]  # in order, never empty
    parts: tuple[EditRead, ...]  # the same, where imperatives in a row of one kind count one by one
    keeps: tuple[str, ...]  # clauses that say what stays
    quoted: tuple[str, ...]  # texts in quotation marks, byte for byte, without the marks
    language: str  # "en", "zh", "ja", "ko", "ru", "ar", or "und"
    chance: float  # that the least certain of the tasks is right, by the head
    sure: bool  # the task is right in 98 of 100 such readings: benchmarks/results/reader.json

    @property
    def task(self) -> str:
        """The task of the whole; "compound" of several edits."""
        return self.edits[0].task if len(self.edits) == 1 else "compound"


@lru_cache(1 << 13)  # corpora repeat themselves
def read(instruction: str) -> Reading:
    """Reads `instruction`; any text gives a reading, and one that nobody understands is not sure."""
    return reading(instruction, head())


def reading(instruction: str, by: Head) -> Reading:
    """Reads `instruction` by a head of one's own; clauses that ask for nothing ("thanks") are left out."""
    found = clauses(instruction)
    chances = by(found.edits)
    edit_chances = chances[:, : by.labels.index(NOTHING)]
    if not (asks := np.flatnonzero(chances.argmax(1) < edit_chances.shape[1])).size:
        chances = edit_chances[asks := edit_chances.max(1).argmax(keepdims=True)]
    labels = [by.labels[at] for at in edit_chances[asks].argmax(1)]
    parts = tuple(EditRead(label, found.shown(found.edits[at])) for label, at in zip(labels, asks, strict=True))
    edits: list[EditRead] = []
    for part in parts:
        if edits and part.task == edits[-1].task and part.task in ONE:
            edits[-1] = EditRead(part.task, f"{edits[-1].text} and {part.text}")
        else:
            edits.append(part)
    tongue = language(instruction)
    known = found.quoted or tongue not in ("en", "und") or any(_known(word, by) for word in words(instruction))
    least = float(chances.max(1).min()) * (1.0 if known else UNKNOWN)
    return Reading(
        tuple(edits),
        parts,
        tuple(map(found.shown, found.keeps)),
        tuple(quote[1:-1] for quote in found.quoted),
        tongue,
        least,
        least >= by.sure and tongue == "en",
    )


def _known(word: str, by: Head) -> bool:
    return word in VERBS or word in by.classes


def language(text: str) -> str:
    """Returns the language of a text by its script; "und" in Latin letters without one common English word."""
    letters = "" if text.isascii() else text
    names = [unicodedata.name(letter, "").split(" ", 1)[0] for letter in letters if letter.isalpha()]
    kinds = [_SCRIPTS[name] for name in names if name in _SCRIPTS]
    if kinds and len(kinds) > len(names) / 3:
        return "ja" if "ja" in kinds else max(set(kinds), key=kinds.count)
    return "en" if _ENGLISH & set(words(re.sub(r"[^\w\s'-]", " ", text))) else "und"
