"""What the pool adds to a request when 1, 2, 4, ... 32 replicas serve as many student ranks: it should stay flat.

Real pool, replicas, TargetStreams and one process each; only the teacher is a stub that sleeps, so that two cores can
carry 64 processes. A rank asks again when it has its answer: as many requests are under way as there are replicas.
`python benchmarks/control_plane.py [rounds [stub's seconds ...]]`.
"""

import sys
import time
from dataclasses import replace
from pathlib import Path
from statistics import mean, median, quantiles
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import psutil
import ray
from ray.actor import ActorHandle

from actors.target_stream import TargetStream
from actors.teacher_pool import await_pool, start_pool, stop_pool
from benchmarks.result import write_result
from benchmarks.stub_pool import asked, start_ray, stub
from v4e.config import Teacher
from v4e.recipes import tiny

SHAPE = (3, 8, 32, 160)  # K B N D of a target of the tiny recipe: 240 KiB in bf16
COUNTS = (1, 2, 4, 8, 16, 32)
WARM = 5  # requests of a rank before the clock: ranks that start together first queue up
IDLE_S = 3.0  # of the same processes, to know what they take anyway


@ray.remote(num_cpus=0)
class Student:
    """One rank, in a process of its own."""

    def ready(self) -> None:
        """Answers once the process has started."""

    def consume(self, pool: ActorHandle, count: int, settings: Teacher) -> list[float]:
        """Seconds that each of `count` targets took, asked for one after the other."""
        stream, taken = iter(TargetStream(pool, asked(count), settings)), []
        for _ in range(count):
            start = time.perf_counter()
            next(stream)
            taken.append(time.perf_counter() - start)
        return taken


def cpu_s() -> float:
    """What this process and all of the cluster that it started have computed so far."""
    total = 0.0
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:  # it has just ended
            continue
        total += times.user + times.system
    return total


def measure(number: int, students: list[Any], durations: dict[float, int], idle_s: float = IDLE_S) -> list[dict]:
    """One round of `number` replicas and ranks: a row for each stub's duration and requests a rank."""
    rows = []
    students = students[:number]
    for seconds, count in durations.items():
        config = tiny()
        config = replace(config, teacher=replace(config.teacher, replicas=number, prefetch=1))
        pool = start_pool(config, stub(SHAPE, seconds))
        await_pool(pool)
        ray.get([student.consume.remote(pool, WARM, config.teacher) for student in students])
        before = cpu_s()
        time.sleep(idle_s)
        idle = (cpu_s() - before) / idle_s if idle_s else 0.0
        before, start = cpu_s(), time.perf_counter()
        taken = ray.get([student.consume.remote(pool, count, config.teacher) for student in students])
        wall, used = time.perf_counter() - start, cpu_s() - before
        stop_pool(pool)
        added = [1e3 * (one - seconds) for rank in taken for one in rank[WARM:]]
        rows.append(
            {
                "replicas": number,
                "stub_ms": 1e3 * seconds,
                "requests_per_s": number * count / wall,
                "share_of_ideal": count * seconds / wall,
                "added_ms": median(added),
                "added_ms_mean": mean(added),
                "added_ms_p95": quantiles(added, n=20)[-1],
                "cpu_ms": 1e3 * (used - idle * wall) / (number * count),
                "cores_busy": used / wall,
            }
        )
    return rows


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    durations = {float(word): max(WARM + 10, round(4 / float(word))) for word in sys.argv[2:] or ["0.1", "0.5"]}
    start_ray(cpus=max(COUNTS))
    students = [Student.remote() for _ in range(max(COUNTS))]
    ray.get([student.ready.remote() for student in students])
    found: dict[tuple, list[dict]] = {}
    for turn in range(rounds):
        for number in COUNTS[:: -1 if turn % 2 else 1]:
            for row in measure(number, students, durations):
                found.setdefault((row["stub_ms"], number), []).append(row)
                print("  ".join(f"{key} {value:.4g}" for key, value in row.items()), flush=True)
    ray.shutdown()
    rows = [{key: median(row[key] for row in found[at]) for key in found[at][0]} for at in sorted(found)]
    print("medians of the rounds")
    for row in rows:
        print("  ".join(f"{key} {value:.4g}" for key, value in row.items()))

if __name__ == "__main__":
    main()
