"""The time of a training step by what it was spent on, and the teacher's work meanwhile: the bottleneck line."""

import time
from typing import Protocol

from actors.stream.stream import TargetStream
from v4e.files.journal import Record

OF_POOL = ("replicas", "starting", "queue", "retries", "restarts", "hedged", "grown", "shrunk")


class Reader(Protocol):
    io_s: float  # seconds spent on reading the store so far


class Walker(Protocol):
    path_s: float  # seconds spent on the student's own sampling so far


class Meter:
    """Reads the clocks of a worker's stream, reader and walker once a step."""

    def __init__(self, stream: TargetStream | None, reader: Reader, world: int, walker: Walker | None = None) -> None:
        self.stream, self.reader, self.world, self.walker = stream, reader, world, walker
        self.last = self._clocks()

    def lap(self) -> Record:
        """Seconds and MiB since the last call, and the pool as it was at the last answer.

        wait_s and io_s are this worker's. mib counts all workers, which receive equal amounts. teacher_s is the
        work of all replicas for all workers.
        """
        now = self._clocks()
        passed = {name: max(0.0, now[name] - self.last[name]) for name in now}  # a pool that died counts from 0 again
        self.last = now
        status = self.stream.status if self.stream else None
        return {
            **passed,
            **{name: getattr(status, name) if status else 0 for name in OF_POOL},
        }

    def _clocks(self) -> dict[str, float]:
        stream = self.stream
        return {
            "seconds": time.perf_counter(),
            "wait_s": stream.wait_s if stream else 0.0,
            "io_s": self.reader.io_s,
            "mib": stream.bytes * self.world / 2**20 if stream else 0.0,
            "teacher_s": stream.status.busy_s if stream and stream.status else 0.0,
        } | ({"path_s": self.walker.path_s} if self.walker else {})
