"""The label stage: classifies and gates every row of a file by what is known without its images."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from v4e.config import Ingest
from v4e.data.ingest.candidates import CANDIDATE, Candidates, Cell, merge
from v4e.data.ingest.decide import decide
from v4e.data.ingest.gates import bad_size
from v4e.data.ingest.leakage import instruction_hash, plain
from v4e.data.quality import MAX_TEXT, bad_id
from v4e.data.sources.files import CorpusFile
from v4e.data.sources.formats import CORPORA, Corpus
from v4e.data.sources.read import Label, label_groups
from v4e.language.tasks import rule_task

UNREAD = "a row that cannot be read"
LISTED = 1_000  # rows of a file that cannot be read and are listed; more are counted alone
FLUSH = 8_192  # new candidates held before the best are picked
NO_TASK = {
    "differ": "label and rules name different tasks",
    "unsure": "task known by a weak rule or a vague label alone",
    "none": "no label, and no rule applies",
}
ruled = lru_cache(1 << 13)(rule_task)  # corpora repeat themselves


@dataclass(frozen=True, kw_only=True)
class Policy:
    """The settings of the label stage."""

    ingest: Ingest
    seed: int
    keep: Mapping[str, int]  # best candidates of each task, for each corpus; other tasks are left out
    refused: frozenset[str]  # hashes of instructions that must not be trained on


@dataclass(frozen=True, kw_only=True)
class Scan:
    """The result of the label stage for one file, or for all."""

    candidates: Candidates
    passed: Counter[Cell]  # edits, before the best were picked
    dropped: Counter[tuple[str, str]]  # edits by corpus and reason
    agreement: Counter[tuple[str, str]]  # classified edits by corpus and how label and rules agree
    damaged: tuple[tuple[str, str], ...]  # part of a file, and why it cannot be read


class LabelVerdict(NamedTuple):
    """The task and quality of one edit, or the reason why it is left out."""

    task: str = ""
    agreement: str = ""
    quality: float = 0.0
    reason: str = ""


@dataclass
class _Found:
    fresh: dict[Cell, list[tuple]] = field(default_factory=dict)
    held: int = 0
    best: Candidates = field(default_factory=dict)


def scan(file: CorpusFile, policy: Policy) -> Scan:
    """Reads the labels of `file` row group by row group, in bounded memory; a damaged row group is skipped."""
    corpus, found = CORPORA[file.corpus], _Found()
    passed, dropped, agreement = Counter[Cell](), Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    damaged = []
    for number, group in enumerate(label_groups(file)):
        try:
            for label in group:
                if label.problem:
                    dropped[corpus.name, UNREAD] += 1
                    if dropped[corpus.name, UNREAD] <= LISTED:
                        damaged.append((f"{file.uri} {label.id}", label.problem))
                    continue
                words = plain(label.instruction)
                verdict = classify(label, words, corpus, policy)
                if verdict.agreement:
                    agreement[corpus.name, verdict.agreement] += 1
                if verdict.reason:
                    dropped[corpus.name, verdict.reason] += 1
                    continue
                cell = (corpus.name, verdict.task)
                passed[cell] += 1
                tie = _hash(f"{policy.seed}/{corpus.name}/{label.id}")
                row = (verdict.quality, tie, _hash(words), file.number, *label.place)
                found.fresh.setdefault(cell, []).append(row)
                found.held += 1
                if found.held >= FLUSH:
                    _flush(found, policy)
        except (pa.ArrowException, OSError, ValueError) as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            damaged.append((f"{file.uri} row group {number}", reason))
    _flush(found, policy)
    return Scan(candidates=found.best, passed=passed, dropped=dropped, agreement=agreement, damaged=tuple(damaged))


def merge_scans(scans: Iterable[Scan], policy: Policy) -> Scan:
    """Merges `scans` into one; their order does not matter."""
    passed, dropped, agreement = Counter[Cell](), Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    damaged: list[tuple[str, str]] = []
    candidates: Candidates = {}
    for one in scans:
        candidates = merge([candidates, one.candidates], policy.keep, policy.ingest.per_instruction)
        passed += one.passed
        dropped += one.dropped
        agreement += one.agreement
        damaged += one.damaged
    return Scan(
        candidates=candidates, passed=passed, dropped=dropped, agreement=agreement, damaged=tuple(sorted(damaged))
    )


def classify(label: Label, words: str, corpus: Corpus, policy: Policy) -> LabelVerdict:
    """Returns the verdict on an edit; `words` are its :func:`~v4e.data.ingest.leakage.plain` instruction.

    Cheap tests come first.
    """
    ingest = policy.ingest
    if not words:
        return LabelVerdict(reason="empty instruction")
    if len(label.instruction) > MAX_TEXT:
        return LabelVerdict(reason=f"instruction longer than {MAX_TEXT} characters")
    if bad_id(f"{corpus.name}/{label.id}") or not label.id:
        return LabelVerdict(reason="bad id")
    if policy.refused and instruction_hash(words) in policy.refused:
        return LabelVerdict(reason="instruction is in ingest.refuse")
    if label.size and (reason := bad_size(*label.size, ingest)):
        return LabelVerdict(reason=reason)
    task, agreement = decide(corpus.tasks(label.label, label.id), *ruled(label.instruction), ingest)
    if not task:
        return LabelVerdict(agreement=agreement, reason=NO_TASK[agreement])
    if task not in policy.keep:
        return LabelVerdict(agreement=agreement, reason=f"no share of ingest.tasks for {task}")
    quality, reason = corpus.judge(label.scores, task, ingest)
    return LabelVerdict(task, agreement, quality, reason)


def _flush(found: _Found, policy: Policy) -> None:
    new = {cell: np.array(rows, CANDIDATE) for cell, rows in found.fresh.items()}
    found.best = merge([found.best, new], policy.keep, policy.ingest.per_instruction)
    found.fresh, found.held = {}, 0


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
