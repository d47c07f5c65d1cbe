"""The run's metrics as Prometheus would scrape them from a real node."""

import time
import urllib.request
from dataclasses import dataclass, fields

import pytest
import ray
from prometheus_client.parser import text_string_to_metric_families
from ray.actor import exit_actor

from actors.stream.status import PoolStatus
from actors.teacher.pool_metrics import POOL_GAUGES, POOL_TOTALS, PoolMetrics, StepMetrics, endpoints
from v4e.config import Run
from v4e.files.journal import Record

PATIENCE_S = 60.0  # Ray exports every 10 s
RUN = Run(dir="somewhere/metrics-test")
FIRST: Record = {"step": 7, "loss": 3.0, "kd": 2.0, "seconds": 2.0, "wait_s": 0.5, "io_s": 0.25, "mib": 1.5}
SECOND: Record = FIRST | {"step": 8, "loss": 2.5, "wait_s": 0.0}
BEFORE = PoolStatus(replicas=2, queue=3, answered=10, retries=1, busy_s=4.0)
AFTER = PoolStatus(replicas=1, queue=0, answered=12, retries=1, busy_s=5.5)
ANEW = PoolStatus(replicas=2, queue=1, answered=1, restarts=1, busy_s=0.5)


@ray.remote(num_cpus=0)
class Worker:
    """A process that records, as student rank 0 and the pool do."""

    def __init__(self) -> None:
        self.steps, self.pool = StepMetrics(RUN), PoolMetrics(RUN)

    def record(self, records: list[Record], statuses: list[PoolStatus]) -> None:
        for record in records:
            self.steps.record(record)
        for status in statuses:
            self.pool.record(status)

    def leave(self) -> None:
        exit_actor()


@dataclass(frozen=True)
class Series:
    kind: str  # counter or gauge
    text: str  # HELP
    by_worker: dict[str, float]

    @property
    def sum(self) -> float:
        return sum(self.by_worker.values())


def scrape() -> dict[str, Series]:
    """This run's series of all nodes, without Ray's prefix; the part behind the name where there is one."""
    found: dict[str, Series] = {}
    for url in endpoints():
        with urllib.request.urlopen(url, timeout=10) as answer:  # without Ray's token
            text = answer.read().decode()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name.startswith("ray_v4e_") and sample.labels["run"] == "metrics-test":
                    name = f"{sample.name.removeprefix('ray_')} {sample.labels.get('part', '')}".strip()
                    series = found.setdefault(name, Series(family.type, family.documentation, {}))
                    series.by_worker[sample.labels["WorkerId"]] = sample.value
    return found


def until(expected: dict[str, float]) -> dict[str, Series]:
    """The series, once those of `expected` have these sums."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found = scrape()
        sums = {name: series.sum for name, series in found.items() if name in expected}
        if sums == expected:
            return found
        assert time.monotonic() < deadline, f"not so within {PATIENCE_S} s: {sums} is not {expected}"
        time.sleep(0.2)


def test_every_figure_of_the_pool_has_a_name_and_a_help_text():
    assert {field.name for field in fields(PoolStatus)} == POOL_GAUGES.keys() | POOL_TOTALS.keys()


@pytest.mark.ray
@pytest.mark.slow
def test_prometheus_finds_what_was_recorded_across_a_restart(cluster):
    worker = Worker.remote()
    ray.get(worker.record.remote([FIRST, SECOND], [BEFORE, AFTER]))
    first = {
        "v4e_step": 8,
        "v4e_loss": 2.5,
        "v4e_kd": 2.0,
        "v4e_steps_total": 2,
        "v4e_step_seconds_total student": 3.0,
        "v4e_step_seconds_total wait": 0.5,
        "v4e_step_seconds_total io": 0.5,
        "v4e_step_seconds_total strips": 0,
        "v4e_stream_bytes_total": 3 * 2**20,
        "v4e_teacher_replicas": 1,
        "v4e_teacher_starting": 0,
        "v4e_teacher_queue": 0,
        "v4e_teacher_answered_total": 12,  # the status is cumulative
        "v4e_teacher_retries_total": 1,
        "v4e_teacher_restarts_total": 0,  # there before it happens
        "v4e_teacher_hedged_total": 0,
        "v4e_teacher_grown_total": 0,
        "v4e_teacher_shrunk_total": 0,
        "v4e_teacher_busy_seconds_total": 5.5,
    }
    found = until(first)
    assert found.keys() == first.keys()  # and no tail, which the run does not have
    for name, series in found.items():
        assert series.kind == ("counter" if "_total" in name else "gauge"), name
        assert series.text, name

    worker.leave.remote()
    again = Worker.remote()
    ray.get(again.record.remote([SECOND], [ANEW]))
    more = {
        "v4e_steps_total": 1,
        "v4e_step_seconds_total student": 1.75,
        "v4e_step_seconds_total wait": 0,
        "v4e_step_seconds_total io": 0.25,
        "v4e_step_seconds_total strips": 0,
        "v4e_stream_bytes_total": 1.5 * 2**20,
        "v4e_teacher_answered_total": 1,
        "v4e_teacher_retries_total": 0,
        "v4e_teacher_restarts_total": 1,
        "v4e_teacher_busy_seconds_total": 0.5,
    }
    found = until({name: first[name] + value for name, value in more.items()})
    assert all(len(found[name].by_worker) == 2 for name in more)  # a process, a series
