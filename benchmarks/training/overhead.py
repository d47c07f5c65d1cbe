"""The cost of the teacher pool for a training step, and how many replicas a slow teacher needs so that nobody waits.

Each round trains through pipelines/train.py with the real pool, and times the parts alone before and after. These are
the student's steps with their targets in hand, and the teacher's targets. A target counts where it takes longer than
the student's step that it overlaps. Then the same training waits for 1, 2, 4 and 8
stub teachers, which take SLOWER times the student's step and need no core.

`python -m benchmarks.training.overhead [rounds [steps]]`
"""

import sys
import tempfile
import time
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import fmean, median
from unittest.mock import patch

import ray
import torch

from actors.cluster import connect
from actors.stream.packing import unpack
from actors.student.worker import Batches, build_trainer
from actors.teacher.actor import Teacher
from actors.teacher.pool import teacher_pool
from actors.teacher.replica import Load, load_teacher
from benchmarks.support.result import write_result
from benchmarks.support.stub_pool import show, stub
from benchmarks.training.payload import prepare
from pipelines.stages import train
from v4e.config import Config, tiny
from v4e.data.store.store import Store
from v4e.files import journal
from v4e.training.schedule import requests
from v4e.types import TeacherTarget

SLOWER = 3.0  # a stub's target over a student's step: more than 3 replicas are enough
REPLICAS = (1, 2, 4, 8)
WARM = 10  # steps before the clock: first reads of the store, first allocations


def trained(config: Config, load: Load = load_teacher) -> list[journal.Record]:
    """Returns what a whole run journals of its steps, without the first ones."""
    with (
        tempfile.TemporaryDirectory() as folder,
        patch("pipelines.stages.train.teacher_pool", partial(teacher_pool, load=load)),
    ):
        train.run(replace(config, run=replace(config.run, dir=folder)))
        return journal.read(Path(folder, "metrics.jsonl"))[WARM:]


@ray.remote(num_cpus=1)
def alone(config: Config) -> tuple[float, float]:
    """Median seconds of a student's step with targets in hand, and of the teacher's targets for it.

    In a worker of Ray's, like the run: those have a lower priority than the driver.
    """
    teacher = Teacher(config)
    asked = list(requests(Store.open(config).ids(), config, first_step=0))
    answered, teacher_s = [], []
    for request in asked:
        start = time.perf_counter()
        bits = teacher.targets(request)
        teacher_s.append(time.perf_counter() - start)
        answered.append((request, TeacherTarget(taps_KBND=unpack(bits))))
    trainer = build_trainer(config, torch.device("cpu"), world=1)
    source = iter(Batches(config, answered))
    student_s = []
    for _ in range(config.optim.steps):
        start = time.perf_counter()
        trainer.step(islice(source, trainer.forwards))
        student_s.append(time.perf_counter() - start)
    return median(student_s[WARM:]), config.optim.accumulate * median(teacher_s[WARM:])


def overlapped(config: Config, rounds: int) -> list[dict[str, float]]:
    """Measures with the real teacher: each round is a run between two looks at its parts alone, because a machine's
    load drifts.
    """
    rows, parts = [], [ray.get(alone.remote(config))]
    for _ in range(rounds):
        records = trained(config)
        parts.append(ray.get(alone.remote(config)))
        student_s, teacher_s = (fmean(both) for both in zip(*parts[-2:], strict=True))
        step_s = median(r["seconds"] for r in records)
        row = {
            "step_ms": 1e3 * step_s,
            "student_ms": 1e3 * student_s,
            "teacher_ms": 1e3 * teacher_s,
            "step_over_parts": step_s / (student_s + max(0.0, teacher_s - student_s)),
            "wait_share": wait_share(records),
        }
        rows.append(show(row))
    return rows


def delayed(config: Config, replicas: int, seconds: float, shape_KBND: tuple[int, ...]) -> dict[str, float]:
    """A round with stub teachers."""
    # The largest pool works on that many requests, and the target that is trained on holds a slot too.
    teacher = replace(config.teacher, replicas=replicas, prefetch=max(REPLICAS) + 1)
    records = trained(replace(config, teacher=teacher), stub(shape_KBND, seconds))
    return {
        "replicas": replicas,
        "teacher_ms": 1e3 * seconds,
        # The mean: targets that arrive in twos make every other step a short one.
        "step_ms": 1e3 * fmean(r["seconds"] for r in records),
        "wait_share": wait_share(records),
    }


def wait_share(records: list[journal.Record]) -> float:
    return sum(r["wait_s"] for r in records) / sum(r["seconds"] for r in records)


def main() -> None:
    rounds, steps = (int(word) for word in (*sys.argv[1:], *("5", "100")[len(sys.argv) - 1 :]))
    connect(cpus=max(REPLICAS) + 1)
    with tempfile.TemporaryDirectory() as folder:
        config = tiny()
        config = replace(
            config,
            data=replace(config.data, store=f"{folder}/store"),
            optim=replace(config.optim, steps=steps),
            train=replace(config.train, checkpoint_every=steps),
        )
        teacher = prepare(config)
        shape_KBND = teacher.targets(next(requests(Store.open(config).ids(), config, first_step=0))).shape
        real = overlapped(config, rounds)
        seconds = SLOWER * median(row["student_ms"] for row in real) / 1e3
        stubs = [show(delayed(config, n, seconds, shape_KBND)) for _ in range(rounds) for n in REPLICAS]
    ray.shutdown()
    print("medians of the rounds")
    rows = [show({"teacher": "real"} | {key: median(row[key] for row in real) for key in real[0]})]
    for n in REPLICAS:
        same = [row for row in stubs if row["replicas"] == n]
        rows.append(show({"teacher": "stub"} | {key: median(row[key] for row in same) for key in same[0]}))
    enough = next(n for n in REPLICAS if n > SLOWER)
    [share] = [row["wait_share"] for row in rows if row.get("replicas") == enough]
    write_result(
        "overhead",
        " ".join(["python -m benchmarks.training.overhead", *sys.argv[1:]]),
        rows,
        {
            "step_over_parts": round(rows[0]["step_over_parts"], 3),
            "teacher_wait_share": round(share, 4),
            "teacher_wait_share_real": round(rows[0]["wait_share"], 4),
        },
    )


if __name__ == "__main__":
    main()
