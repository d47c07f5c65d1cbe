"""The replicas of a pool: how many there are, which is free, and how failed or surplus ones end."""

import asyncio
import logging
import time
from collections import Counter
from dataclasses import dataclass
from typing import Literal

import ray
from ray.util.placement_group import PlacementGroup

from actors.teacher.gang import Gang, GangState, check_gang, needs, release, reserve, start_gang, stop_gang
from actors.teacher.replica import Load
from actors.teacher.scaling import Window, wanted
from v4e.config import Config

log = logging.getLogger(__name__)
LONGEST_REST_S = 300.0  # before a replica that cannot load tries again
SlotState = GangState | Literal["draining"]


@dataclass(eq=False)
class Slot:
    """The place of a replica: its ranks change with every restart."""

    index: int
    room: PlacementGroup | None
    gang: Gang
    load: int = 0  # requests not yet answered
    draining: bool = False  # gets no more requests and ends with its last one
    failures: int = 0  # to load, in a row
    rests_until: float = 0.0

    @property
    def state(self) -> SlotState:
        return "draining" if self.draining else self.gang.state


class Replicas:
    """``teacher.replicas`` to ``teacher.max_replicas`` of them. Needs a running loop."""

    def __init__(self, config: Config, load: Load, name: str) -> None:
        self.config, self.teacher, self.load, self.name = config, config.teacher, load, name
        self.slots: list[Slot] = []
        self.counts: Counter[str] = Counter()  # restarts, grown, shrunk
        for index in range(self.teacher.replicas, self.teacher.most_replicas):
            release(self._room(index))  # of replicas that the pool had grown by before it died
        for _ in range(self.teacher.replicas):
            self._add()

    @property
    def serving(self) -> list[Slot]:
        """The slots that take requests, or will as soon as they have loaded."""
        return [slot for slot in self.slots if slot.state != "draining"]

    @property
    def up(self) -> int:
        """Number of replicas that have loaded."""
        return sum(slot.gang.state == "up" for slot in self.slots)

    def least_loaded(self) -> Slot:
        return min(self.serving, key=lambda slot: (slot.state != "up", slot.load))

    def starting(self) -> list[str]:
        """A line for each replica that has not loaded: what it waits for, or why it could not."""
        return [self._waits_for(slot) for slot in self.slots if slot.gang.state != "up"]

    def restart(self, slot: Slot, failed: Gang, cause: Exception) -> None:
        """Replaces a gang that failed, at the first call about it."""
        if slot.gang is failed and slot.state != "draining":
            log.warning("teacher replica %d is started again: %s", slot.index, cause)
            stop_gang(failed)
            slot.gang = start_gang(self.config, slot.room, self.load)
            self.counts["restarts"] += 1

    async def check(self) -> None:
        """Restarts replicas that died while idle; a busy one is watched by its requests."""
        await asyncio.gather(*(self._check(slot) for slot in list(self.slots)))

    def resize(self, window: Window) -> None:
        """Adds replicas, or lets one drain, if `window` shows that the number does not fit the work."""
        serving = self.serving
        number = wanted(window, len(serving), self.teacher.replicas, self.teacher.most_replicas)
        if number > len(serving) and all(slot.state == "up" for slot in serving):  # else some are still on their way
            log.warning("students wait %.0f %% of their time: %d replicas", 100 * window.wait_share, number)
            for _ in range(number - len(serving)):
                self._add()
            self.counts["grown"] += number - len(serving)
        elif number < len(serving):
            log.warning("%d replicas work for %.1f: one ends", len(serving), window.busy)
            slot = min(serving, key=lambda slot: (slot.state == "up", slot.load, -slot.index))
            slot.draining = True
            self.counts["shrunk"] += 1
            self._end_if_drained(slot)

    def relieve(self, slot: Slot) -> None:
        """Takes one request off the slot's load; a draining replica ends with its last."""
        slot.load -= 1
        self._end_if_drained(slot)

    def _end_if_drained(self, slot: Slot) -> None:
        if slot.state == "draining" and not slot.load and slot in self.slots:
            self.end(slot)

    def end(self, slot: Slot) -> None:
        """Ends a replica at once and frees its room."""
        stop_gang(slot.gang)
        if slot.room is not None:
            ray.util.remove_placement_group(slot.room)
        self.slots.remove(slot)

    def _add(self) -> None:
        index = min(set(range(len(self.slots) + 1)) - {slot.index for slot in self.slots})
        room = reserve(self.teacher, self._room(index))
        self.slots.append(Slot(index, room, start_gang(self.config, room, self.load)))

    async def _check(self, slot: Slot) -> None:
        gang = slot.gang
        try:
            if gang.state == "failed":
                gang.loading.result()
            elif gang.state == "up" and not slot.load:
                await check_gang(gang, self.teacher.timeout_s)
            if gang.state == "up":
                slot.failures = 0
        except Exception as error:  # anything may have kept it from loading
            now = time.monotonic()
            if now >= slot.rests_until:
                slot.failures += gang.state == "failed"
                slot.rests_until = now + min(LONGEST_REST_S, self.teacher.check_every_s * 2**slot.failures)
                self.restart(slot, gang, error)

    def _waits_for(self, slot: Slot) -> str:
        name, gang = f"teacher replica {slot.index}", slot.gang
        if gang.state == "failed":
            return f"{name} could not load: {gang.loading.exception()}"
        if gang.places:
            return f"{name} loads: {', '.join(map(str, gang.places))}"
        found = ray.available_resources()
        free = ", ".join(f"{found.get(kind, 0):g} {kind}" for kind in ("CPU", "GPU"))
        return f"{name} waits for room: it needs {needs(self.teacher)}; free in the whole cluster: {free}"

    def _room(self, index: int) -> str:
        return f"{self.name}-{index}"
