"""World 2's judge on pictures whose answer is known: true outcomes, wrong ones, blends, near misses, and nothing.

There is no codec yet: blur and noise stand for what it does to a picture. A row is a kind of picture, with the shares
of successes and of each ruling.
"""

import sys
import time
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
from scipy.ndimage import gaussian_filter

from benchmarks.support.result import write_result
from v4e.config import Eval
from v4e.evaluation.metrics.choices import Ruling, by_chance, judge, shares
from v4e.language.tasks import TASKS
from v4e.tiny.world2 import Record, make_records

TRUE = ("true", "true, blurred", "true, noisy", "true, blurred and noisy")
WRONG = ("another outcome", "half of the way", "moved by 3 pixels", "only the left half")
LOCAL = 0.3  # share of the picture, up to which what changes is a thing and can be moved
BLENDS = ("even mean", "mean by prior", "middle of two")
Picture = np.ndarray


def pictures(record: Record, rng: np.random.Generator) -> Iterator[tuple[str, Picture]]:
    """Yields kinds of pictures with one of each, as floats in [0, 255]; those of outcomes for open edits alone."""
    source, edit, outcomes = (x.astype(float) for x in (record.source, record.edit, record.outcomes))
    blurred, changed = gaussian_filter(edit, (0.5, 0.5, 0)), np.abs(edit - source).max(-1) > 2
    yield "true", edit
    yield "true, blurred", blurred
    yield "true, noisy", edit + rng.normal(0, 8, edit.shape)
    yield "true, blurred and noisy", blurred + rng.normal(0, 6, edit.shape)
    yield "source", source
    yield "noise", rng.uniform(0, 255, edit.shape)
    yield "half of the way", (source + edit) / 2
    moved, half = source.copy(), source.copy()
    if changed.mean() < LOCAL:
        there = np.roll(changed, 3, 1)
        moved[there] = np.roll(edit, 3, 1)[there]
        yield "moved by 3 pixels", moved
    middle = int(np.median(np.flatnonzero(changed.any(0))))
    half[:, :middle] = edit[:, :middle]
    yield "only the left half", half
    if record.open:
        first, second = rng.choice(len(outcomes), 2, replace=False)
        yield "even mean", outcomes.mean(0)
        yield "mean by prior", np.tensordot(np.array(record.prior), outcomes, 1)
        yield "middle of two", (outcomes[first] + outcomes[second]) / 2


def rulings(records: list[Record]) -> dict[str, list[Ruling]]:
    """Returns the rulings on each kind of picture. Of another outcome, the question is one that it does not answer."""
    rng, found = np.random.default_rng(0), defaultdict(list)
    preserve_db = Eval().preserve_db
    for record in records:
        for kind, picture in pictures(record, rng):
            edit = np.clip(np.round(picture), 0, 255).astype(np.uint8)
            found[kind].append(judge(record.source, record.outcomes, record.prior, edit, preserve_db))
        if record.open:
            asked, made = rng.choice(len(record.outcomes), 2, replace=False)
            found["another outcome"].append(
                judge(record.source, record.outcomes[[asked]], (1.0,), record.outcomes[made], preserve_db)
            )
    return dict(found)


def main(per_task: int = 40) -> None:
    """Judges pictures of `per_task` scenes of each task."""
    start = time.process_time()
    records = [make_records("val", task, index)[0] for task in TASKS for index in range(per_task)]
    drawn = time.process_time()
    found = rulings(records)
    judged = time.process_time()
    rows = [{"picture": kind} | shares(row) for kind, row in found.items()]
    opened = [record for record in records if record.open]

    def share(kinds: tuple[str, ...], what: str) -> float:
        chosen = [getattr(ruling, what) for kind in kinds for ruling in found[kind]]
        return round(float(np.mean(chosen)), 4)

    write_result(
        "judge",
        f"python -m benchmarks.data.judge {per_task}",
        rows,
        {
            "true_pass": share(TRUE, "committed"),
            "wrong_pass": share(WRONG, "success"),
            "blend_pass": share(BLENDS, "committed"),
            "blend_success": share(BLENDS, "success"),
            "open": round(len(opened) / len(records), 3),
            "outcomes": round(float(np.mean([len(record.prior) for record in opened])), 2),
            "same_outcome_by_chance": round(by_chance([record.prior for record in opened]), 3),
            "records_per_cpu_minute": round(60 * len(records) / (drawn - start)),
            "judge_ms": round(1e3 * (judged - drawn) / sum(map(len, found.values())), 2),
        },
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
