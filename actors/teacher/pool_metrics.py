"""The bottleneck line as Ray metrics, which every node offers to Prometheus under ``ray_v4e_...``.

The process that counts holds the object: the pool a :class:`PoolMetrics`, student rank 0 a :class:`StepMetrics`.
Processes send theirs every 10 s. Ray tags them by WorkerId and keeps the counts of dead ones. So ``sum by (run)`` of a
counter is the whole run's, including work that was repeated after a failure. A gauge is offered for 20 s after it was
sent: if steps take longer, query ``last_over_time``. There are no histograms: Ray estimates their sums from the middles
of the buckets.
"""

from dataclasses import asdict
from pathlib import Path

import ray
from ray.util.metrics import Counter, Gauge

from actors.stream.status import PoolStatus
from v4e.config import Run
from v4e.files.journal import Record

STEP_GAUGES = {
    "step": ("v4e_step", "The last training step that was done"),
    "loss": ("v4e_loss", "Weighted sum of the loss terms, in the last step"),
    "kd": ("v4e_kd", "Block-wise distillation loss, unweighted, in the last step"),
    "tail": ("v4e_tail", "Tail-frame loss, unweighted, in the last step"),
    "flow": ("v4e_flow", "Flow matching loss, unweighted, in the last step"),
    "grad_norm": ("v4e_grad_norm", "Norm of the gradient before it was clipped, in the last step"),
    "lr": ("v4e_learning_rate", "Learning rate of the last step"),
}
PARTS = ("student", "wait", "io", "strips")  # of a step's time
POOL_GAUGES = {
    "replicas": ("v4e_teacher_replicas", "Teacher replicas that have loaded"),
    "starting": ("v4e_teacher_starting", "Teacher replicas that wait for room or load their weights"),
    "queue": ("v4e_teacher_queue", "Requests at the teacher replicas, running ones included"),
}
POOL_TOTALS = {
    "answered": ("v4e_teacher_answered_total", "Requests that the pool has answered"),
    "retries": ("v4e_teacher_retries_total", "Requests sent again because a replica failed"),
    "restarts": ("v4e_teacher_restarts_total", "Teacher replicas started again"),
    "hedged": ("v4e_teacher_hedged_total", "Requests that were sent to a second teacher replica too"),
    "grown": ("v4e_teacher_grown_total", "Teacher replicas added because students waited"),
    "shrunk": ("v4e_teacher_shrunk_total", "Teacher replicas that had nothing to do and ended"),
    "busy_s": ("v4e_teacher_busy_seconds_total", "Time that teacher replicas computed, of all together"),
}


class Total:
    """A counter that exists from the start, at 0: Prometheus' ``increase`` does not see a series appear."""

    def __init__(self, name: str, text: str, tags: dict[str, str]) -> None:
        self.counter = Counter(name, text, tuple(tags)).set_default_tags(tags)
        self.counter._record(0)  # inc refuses it

    def add(self, amount: float) -> None:
        """Adds `amount`, or nothing where that is not above 0: a counter never falls."""
        if amount > 0:
            self.counter.inc(amount)


def _gauges(table: dict[str, tuple[str, str]], tags: dict[str, str]) -> dict[str, Gauge]:
    return {key: Gauge(name, text, tuple(tags)).set_default_tags(tags) for key, (name, text) in table.items()}


def _tags(run: Run) -> dict[str, str]:
    return {"run": Path(run.dir).name}


class StepMetrics:
    """The metrics of one training process, which gives it every record of ``metrics.jsonl``."""

    def __init__(self, run: Run) -> None:
        tags = _tags(run)
        self.gauges = _gauges(STEP_GAUGES, tags)
        self.steps = Total("v4e_steps_total", "Training steps done, repeated ones included", tags)
        text = "Time of training steps by what rank 0 did: compute, await the teacher, read (io), make strips"
        self.seconds = {part: Total("v4e_step_seconds_total", text, tags | {"part": part}) for part in PARTS}
        self.bytes = Total("v4e_stream_bytes_total", "Bytes of teacher targets: rank 0's times the ranks", tags)

    def record(self, record: Record) -> None:
        """Adds a step; `record` has the loss terms of the run alone."""
        for key, gauge in self.gauges.items():
            if key in record:
                gauge.set(record[key])
        self.steps.add(1)
        strips_s = record.get("watch_s", 0.0)
        self.seconds["student"].add(record["seconds"] - record["wait_s"] - record["io_s"] - strips_s)
        self.seconds["strips"].add(strips_s)
        self.seconds["wait"].add(record["wait_s"])
        self.seconds["io"].add(record["io_s"])
        self.bytes.add(record["mib"] * 2**20)


class PoolMetrics:
    """The metrics of one pool process, which gives it every status that it makes, in order; counts begin at 0."""

    def __init__(self, run: Run) -> None:
        tags = _tags(run)
        self.gauges = _gauges(POOL_GAUGES, tags)
        self.totals = {field: Total(name, text, tags) for field, (name, text) in POOL_TOTALS.items()}
        self.seen = dict.fromkeys(POOL_TOTALS, 0.0)

    def record(self, status: PoolStatus) -> None:
        """Adds what `status` counts beyond the one before it."""
        now = asdict(status)
        for field, gauge in self.gauges.items():
            gauge.set(now[field])
        for field, total in self.totals.items():
            total.add(now[field] - self.seen[field])
            self.seen[field] = now[field]


def endpoints() -> list[str]:
    """Addresses of the nodes' metrics: plain HTTP, for Prometheus or a browser."""
    return [f"http://{n['NodeManagerAddress']}:{n['MetricsExportPort']}/metrics" for n in ray.nodes() if n["Alive"]]
