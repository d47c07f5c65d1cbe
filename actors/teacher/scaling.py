"""The number of replicas to have, from the time that students wait and replicas work. No Ray in here."""

import math
from dataclasses import dataclass

WAITS = 0.05  # share of the students' time: if they wait more, another replica pays off
RARELY_WAITS = 0.02
SATURATED = 0.8  # share of the replicas' time: below it students wait for one target's latency, not for a free replica
LIGHT = 0.6  # share of the remaining replicas' time; less than SATURATED, so that the pool does not swing


@dataclass(frozen=True, kw_only=True)
class Window:
    """The waiting and the work that the pool saw since its last look."""

    wait_share: float  # share of the students' time
    busy: float  # number of replicas that the work keeps busy: seconds of work a second


def wanted(window: Window, replicas: int, fewest: int, most: int) -> int:
    """Replicas to have next, between `fewest` and `most`: at most double, at most one less, mostly the same.

    If students wait a share w of their time for saturated replicas, they would take 1 / (1 - w) as many targets
    without the wait.
    """
    number = replicas
    if window.wait_share > WAITS and window.busy > SATURATED * replicas:
        needed = window.busy / (1 - min(window.wait_share, 0.5))
        number = max(replicas + 1, math.ceil(needed))
    elif window.wait_share < RARELY_WAITS and window.busy < LIGHT * (replicas - 1):
        number = replicas - 1
    return max(fewest, min(number, most, 2 * replicas))


class Waits:
    """The share of their time that students wait, from the seconds waited so far that each request reports."""

    def __init__(self) -> None:
        self.since: dict[str, tuple[float, float]] = {}  # at the last look: time, seconds waited
        self.heard: dict[str, tuple[float, float]] = {}  # most recently

    def hear(self, student: str, now: float, waited_s: float) -> None:
        """`student` has waited `waited_s` seconds in all, at the time `now`."""
        self.since.setdefault(student, (now, waited_s))
        self.heard[student] = now, waited_s

    def share(self) -> float | None:
        """The share since the last call, over all students that sent a request meanwhile; None if there were none."""
        spans = [(self.since[s], self.heard[s]) for s in self.heard]
        passed = sum(end - start for (start, _), (end, _) in spans)
        waited = sum(max(0.0, end - start) for (_, start), (_, end) in spans)  # 0 for a worker that was started again
        self.since |= self.heard  # a student that waits longer than a window counts in a later one
        self.heard = {}
        return min(1.0, waited / passed) if passed > 0 else None
