"""How many replicas the pool should have, from how long its students wait and its replicas work. No Ray in here."""

import math
from dataclasses import dataclass

WAITS = 0.05  # of the students' time: more is worth another replica
RARELY_WAITS = 0.02
SATURATED = 0.8  # of the replicas' time: below it students wait for one target's latency, which no replica shortens
LIGHT = 0.6  # of the time of those that would be left: apart from SATURATED, so that the pool does not swing


@dataclass(frozen=True, kw_only=True)
class Window:
    """What the pool saw since it looked last."""

    wait_share: float  # of the students' time
    busy: float  # replicas' worth of work: seconds of it a second


def wanted(window: Window, replicas: int, fewest: int, most: int) -> int:
    """Replicas to have next, between `fewest` and `most`: at most double, at most one less, mostly the same.

    Students that wait a share w of their time, for replicas that have no time left, would take 1 / (1 - w) as many
    targets if they did not wait.
    """
    number = replicas
    if window.wait_share > WAITS and window.busy > SATURATED * replicas:
        asked = window.busy / (1 - min(window.wait_share, 0.5))
        number = max(replicas + 1, math.ceil(asked))
    elif window.wait_share < RARELY_WAITS and window.busy < LIGHT * (replicas - 1):
        number = replicas - 1
    return max(fewest, min(number, most, 2 * replicas))


class Waits:
    """The share of their time that students wait, from the seconds each has waited so far, as it says when it asks."""

    def __init__(self) -> None:
        self.since: dict[str, tuple[float, float]] = {}  # at the last look: time, seconds waited
        self.heard: dict[str, tuple[float, float]] = {}  # most recently

    def hear(self, student: str, now: float, waited_s: float) -> None:
        """`student` has waited `waited_s` seconds in all, at the time `now`."""
        self.since.setdefault(student, (now, waited_s))
        self.heard[student] = now, waited_s

    def share(self) -> float | None:
        """Since the last call, over all students heard of meanwhile; None when there are none."""
        spans = [(self.since[s], self.heard[s]) for s in self.heard]
        passed = sum(end - start for (start, _), (end, _) in spans)
        waited = sum(max(0.0, end - start) for (_, start), (_, end) in spans)  # less: a worker that began again
        self.since |= self.heard  # one that waits for longer than a window is heard of in a later one
        self.heard = {}
        return min(1.0, waited / passed) if passed > 0 else None
