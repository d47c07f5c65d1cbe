"""The time that the pool adds to a request when 1, 2, 4, ... 32 replicas serve as many ranks; it should stay flat.

The pool and the TargetStreams are real, one stream a rank, and replicas have processes of their own. Only the teacher
is a stub that sleeps, long enough for the cores to carry all requests. The ranks are threads of a few processes, to
save memory. A rank makes its next request when it has its answer, so there are as many requests as replicas.

`python -m benchmarks.training.control_plane [rounds [ms of the stub]]`: the default is 500 ms; less fills the cores
of a small machine.
"""

import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from statistics import fmean, median, quantiles
from typing import cast

import psutil
import ray
from ray.actor import ActorHandle

from actors.cluster import connect
from actors.stream.stream import TargetStream
from actors.teacher.pool import start_pool, stop_pool
from benchmarks.support.result import write_result
from benchmarks.support.stub_pool import asked, show, stub
from v4e.config import Teacher, tiny

SHAPE = (3, 8, 32, 160)  # K B N D of a target of the tiny recipe: 240 KiB in bf16
COUNTS = (1, 2, 4, 8, 16, 32)
PROCESSES = 4  # that the ranks share
SECONDS = 8.0  # a measurement, about
IDLE_S = 3.0
WARM = 3  # requests of a rank before the clock: ranks that start together queue up at first


class Students:
    """Ranks of the student, each in a thread of its own."""

    def consume(self, pool: ActorHandle, count: int, settings: Teacher) -> list[float]:
        """Returns the seconds of each of `count` targets, requested one after the other."""
        stream, taken = iter(TargetStream(pool, asked(count), settings)), []
        for _ in range(count):
            start = time.perf_counter()
            next(stream)
            taken.append(time.perf_counter() - start)
        return taken


def start_students(ranks: int) -> list[ActorHandle]:
    """A handle a rank."""
    options = {"num_cpus": 0, "max_concurrency": -(-ranks // PROCESSES)}
    processes = [cast(ActorHandle, ray.remote(Students).options(**options).remote()) for _ in range(PROCESSES)]
    return [processes[rank % PROCESSES] for rank in range(ranks)]


def measure(students: Sequence[ActorHandle], stub_s: float, count: int, idle_s: float) -> dict[str, float]:
    """Measures a row: each of the `students` makes `count` requests to a pool of equally many replicas."""
    config = tiny()
    config = replace(config, teacher=replace(config.teacher, replicas=len(students), prefetch=1))
    pool = start_pool(config, stub(SHAPE, stub_s))
    ray.get(pool.ready.remote())
    ray.get([student.consume.remote(pool, WARM, config.teacher) for student in students])
    before = cpu_ms()
    time.sleep(idle_s)
    idle = (cpu_ms() - before).total() / 1e3 / idle_s  # cores that the cluster takes anyway
    before, start = cpu_ms(), time.perf_counter()
    taken = ray.get([student.consume.remote(pool, WARM + count, config.teacher) for student in students])
    wall, used = time.perf_counter() - start, (cpu_ms() - before).total()
    stop_pool(pool)
    requests = len(students) * (WARM + count)
    added = [1e3 * (one - stub_s) for rank in taken for one in rank[WARM:]]
    return {
        "replicas": len(students),
        "requests_per_s": requests / wall,
        "ideal_per_s": len(students) / stub_s,
        "added_ms": median(added),
        "added_ms_mean": fmean(added),
        "added_ms_p95": quantiles(added, n=20)[-1],
        "cpu_ms": (used - 1e3 * idle * wall) / requests,  # with few requests a small difference of large numbers
        "cores_busy": used / 1e3 / wall,
    }


def cpu_ms() -> Counter[int]:
    """Returns the milliseconds that the cluster's processes have computed so far, by their ids, without this one."""
    used: Counter[int] = Counter()
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it has just ended
            times = process.cpu_times()
            used[process.pid] = round(1e3 * (times.user + times.system))
    return used


def main() -> None:
    rounds, stub_ms = (int(word) for word in (*sys.argv[1:], *("3", "500")[len(sys.argv) - 1 :]))
    connect(cpus=max(COUNTS))
    students = start_students(max(COUNTS))
    found: dict[int, list[dict[str, float]]] = {number: [] for number in COUNTS}
    for turn in range(rounds):
        for number in COUNTS[:: -1 if turn % 2 else 1]:
            row = measure(students[:number], stub_ms / 1e3, max(WARM, round(1e3 * SECONDS / stub_ms)), IDLE_S)
            found[number].append(show(row))
    ray.shutdown()
    print("medians of the rounds")
    rows = [
        show({"stub_ms": stub_ms} | {key: median(row[key] for row in same) for key in same[0]})
        for same in found.values()
    ]
    first, last = found[COUNTS[0]], found[COUNTS[-1]]
    ratios = [b["added_ms"] / a["added_ms"] for a, b in zip(first, last, strict=True)]
    summary = {
        "added_ms_32_over_1": median(ratios),
        "added_ms_1": rows[0]["added_ms"],
        "added_ms_32": rows[-1]["added_ms"],
        "requests_per_s_32": rows[-1]["requests_per_s"],
        "cpu_ms_32": rows[-1]["cpu_ms"],
    }
    command = " ".join(["python -m benchmarks.training.control_plane", *sys.argv[1:]])
    write_result("control_plane", command, rows, {key: round(value, 3) for key, value in summary.items()})


if __name__ == "__main__":
    main()
