"""Alarms from a run's own records: a loss that no longer falls, one that is not finite, a student that drifts.

They depend on ``metrics.jsonl`` and ``samples.jsonl`` alone, so the run's log and its report agree.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from v4e.config import Watch
from v4e.files.journal import Record
from v4e.method.losses import TERMS

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
    """Returns how far `values`, positive and noisy, fell from the first to the last.

    It is the Theil-Sen slope of their logarithms, the median over all pairs, with Sen's confidence bounds. Spikes of
    up to a quarter of the records hardly move it. Beyond POINTS values, medians of neighbours are taken first.
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


class Stall:
    """A watch on whether the loss `term` has stopped falling.

    It looks every quarter of ``watch.window`` records, later every twentieth of the run. It looks at the last third
    of the run, and at least a window. A loss that falls like a power of the steps falls by the same share at each
    look. The loss has stopped when even the largest fall that its noise permits is below ``watch.min_fall``. A noisy
    loss therefore needs a longer window. It has to be surely falling again before it can stop again.
    """

    def __init__(self, term: str, watch: Watch) -> None:
        self.term, self.watch = term, watch
        self.values: list[float] = []
        self.next, self.stalled = watch.window, False

    def see(self, record: Record) -> list[Alarm]:
        """The alarm that `record` raises, if it does."""
        if math.isfinite(value := record.get(self.term, math.nan)):
            self.values.append(value)
        count = len(self.values)
        if count < self.next:
            return []
        self.next = count + max(self.watch.window // 4, count // 20)
        window = self.values[-max(self.watch.window, count // 3) :]
        fallen, was = fall(window), self.stalled
        self.stalled = fallen.least <= self.watch.min_fall if was else fallen.most < self.watch.min_fall
        if was or not self.stalled:
            return []
        change = f"fell by {fallen.likely:.1%}" if fallen.likely > 0 else f"rose by {-fallen.likely:.1%}"
        text = f"{self.term} has stopped falling: it {change} over the last {len(window)} steps"
        return [Alarm(step=int(record["step"]), kind="stalled", text=text)]


class NotFinite:
    """A watch on steps that are skipped because a loss or the gradient is not finite; it reports the first in a row."""

    def __init__(self) -> None:
        self.bad = False

    def see(self, record: Record) -> list[Alarm]:
        """The alarm that `record` raises, if it does."""
        was, self.bad = self.bad, bool(record.get("skipped")) or not math.isfinite(record.get("loss", 0.0))
        if was or not self.bad:
            return []
        return [
            Alarm(step=int(record["step"]), kind="not finite", text="the loss or its gradient is not finite: skipped")
        ]


class Drift:
    """A watch on what the EMA's edits change outside the edit.

    It raises an alarm when the PSNR there is ``watch.drift_db`` below the best strip so far. The first strip would be
    no measure: an untrained student may keep so little that nothing falls below it. The PSNR has to recover before
    the next alarm.
    """

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.best, self.best_step, self.drifted = -math.inf, 0, False

    def see(self, strip: Record) -> list[Alarm]:
        """The alarm that a record of ``samples.jsonl`` raises, if it does."""
        if (psnr := strip.get("preserve_psnr_ema")) is None:
            return []
        step = int(strip["step"])
        if psnr > self.best:
            self.best, self.best_step = psnr, step
        lost = self.best - psnr
        was, self.drifted = self.drifted, lost > self.watch.drift_db
        if was or not self.drifted:
            return []
        told = f"{psnr:.1f} dB, {lost:.1f} dB below step {self.best_step}"
        return [Alarm(step=step, kind="drift", text=f"the EMA drifts outside the edit: {told}")]


class Alarms:
    """All of them, fed as a run writes its records."""

    def __init__(self, watch: Watch) -> None:
        self.of_steps = [*(Stall(term, watch) for term in TERMS), NotFinite()]
        self.drift = Drift(watch)

    def see(self, record: Record) -> list[Alarm]:
        """Returns the alarms that a record of ``metrics.jsonl`` raises."""
        return [alarm for monitor in self.of_steps for alarm in monitor.see(record)]


def alarms(records: Sequence[Record], strips: Sequence[Record], watch: Watch) -> list[Alarm]:
    """Returns the alarms of a whole run, from ``metrics.jsonl`` and ``samples.jsonl``, by step."""
    monitor = Alarms(watch)
    found = [alarm for record in records for alarm in monitor.see(record)]
    found += [alarm for strip in strips for alarm in monitor.drift.see(strip)]
    return sorted(found, key=lambda alarm: alarm.step)
