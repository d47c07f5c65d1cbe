"""What is wrong with a run, by its own records: a loss that no longer falls, one that is not finite, a student that
drifts. Functions of ``metrics.jsonl`` and ``samples.jsonl`` alone, so the run's log and its report say the same.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from v4e.config import Watch
from v4e.journal import Record

TERMS = ("kd", "tail")
POINTS = 60  # medians that stand for a window, before slopes are taken between all pairs of them
SURE = 2.576  # standard errors, 99.5 % on one side: a run is looked at dozens of times


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """One warning, at the step it is raised at."""

    step: int
    kind: str  # stalled, not finite, drift
    text: str


class Fall(NamedTuple):
    """The share of its value that a loss lost over a window; negative where it rose."""

    likely: float
    least: float  # that its noise leaves room for, with a confidence of 99.5 %
    most: float


def fall(values: Sequence[float]) -> Fall:
    """How far `values`, positive and noisy, fell from the first to the last.

    The Theil-Sen slope of their logarithms, the median over all pairs, with Sen's confidence bounds: spikes of up to
    a quarter of the records hardly move it. Of more than POINTS values, medians of neighbours are taken first.
    """
    logs = np.log(np.maximum(np.asarray(values, float), 1e-30))
    points = np.array([np.median(part) for part in np.array_split(logs, min(POINTS, len(logs)))])
    n = len(points)
    first, second = np.triu_indices(n, 1)
    slopes = np.sort((points[second] - points[first]) / (second - first))
    error = math.sqrt(n * (n - 1) * (2 * n + 5) / 18)  # of Kendall's S, which counts rising less falling pairs
    aside = max(0, int((len(slopes) - SURE * error) / 2))
    likely, least, most = (
        1 - np.exp(slope * (n - 1)) for slope in (np.median(slopes), slopes[-1 - aside], slopes[aside])
    )
    return Fall(likely=float(likely), least=float(least), most=float(most))


def stalls(records: Sequence[Record], term: str, watch: Watch) -> list[Alarm]:
    """Where the loss `term` stopped falling, each time once.

    Looked at every quarter of ``watch.window`` records, over the last third of the run and at least a window: a loss
    that falls as a power of the steps falls by the same share of itself at each look. It has stopped when even the
    largest fall that its noise leaves room for is below ``watch.min_fall``: a noisy loss needs a longer window to be
    accused. It has to be surely falling again before it can stop again.
    """
    told = [(int(r["step"]), r[term]) for r in records if math.isfinite(r.get(term, math.nan))]
    alarms, stalled = [], False
    for end in range(watch.window, len(told) + 1, watch.window // 4):
        window = told[end - max(watch.window, end // 3) : end]
        fallen = fall([value for _, value in window])
        if fallen.most < watch.min_fall and not stalled:
            stalled = True
            change = f"fell by {fallen.likely:.1%}" if fallen.likely > 0 else f"rose by {-fallen.likely:.1%}"
            text = f"{term} has stopped falling: it {change} over the last {len(window)} steps"
            alarms.append(Alarm(step=window[-1][0], kind="stalled", text=text))
        elif fallen.least > watch.min_fall:
            stalled = False
    return alarms


def not_finite(records: Sequence[Record]) -> list[Alarm]:
    """Steps that were skipped because a loss or the gradient was not finite; of several in a row the first, counted."""
    alarms: list[Alarm] = []
    run: list[int] = []
    for record in [*records, {"step": -1, "loss": 0.0}]:
        bad = record.get("skipped", 0) or not math.isfinite(record.get("loss", 0.0))
        if bad:
            run.append(int(record["step"]))
        elif run:
            steps = f"step {run[0]} was" if len(run) == 1 else f"steps {run[0]} to {run[-1]} were"
            text = f"loss or gradient not finite: {steps} skipped"
            alarms.append(Alarm(step=run[0], kind="not finite", text=text))
            run = []
    return alarms


def drifts(samples: Sequence[Record], watch: Watch, name: str = "ema") -> list[Alarm]:
    """Where the edits of the model `name` began to change what lies outside the edit: the PSNR there has lost
    ``watch.drift_db`` against the first strip. It has to recover before it can be told again."""
    key = f"preserve_psnr_{name}"
    told = [(int(r["step"]), r[key]) for r in samples if key in r]
    alarms, drifted = [], False
    for step, psnr in told:
        lost = told[0][1] - psnr
        if lost > watch.drift_db and not drifted:
            text = f"the {name.upper()} drifts outside the edit: {psnr:.1f} dB, {lost:.1f} dB below the start"
            alarms.append(Alarm(step=step, kind="drift", text=text))
        drifted = lost > watch.drift_db
    return alarms


def alarms(records: Sequence[Record], samples: Sequence[Record], watch: Watch) -> list[Alarm]:
    """All warnings about a run so far, by step."""
    found = [alarm for term in TERMS for alarm in stalls(records, term, watch)]
    return sorted([*found, *not_finite(records), *drifts(samples, watch)], key=lambda alarm: alarm.step)
