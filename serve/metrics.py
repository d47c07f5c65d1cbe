"""The counters of /metrics: the time of requests by stage, and their outcomes."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from serve.fair import FairQueue

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
STAGES = ("parse", "queue", "model", "encode", "sign")


class Metrics:
    """The counters of one front. No label holds anything that a client sent."""

    def __init__(self, queue: FairQueue):
        self._registry = CollectorRegistry()
        self.requests = Counter("v4e_requests", "Requests", ["route", "status"], registry=self._registry)
        self.request_seconds = self._histogram("v4e_request_seconds", "Arrival to last byte", "route")
        self.stage_seconds = self._histogram("v4e_stage_seconds", "Parts of an edit", "stage")
        self.edits = Counter("v4e_edits", "Edits by how they ended", ["outcome"], registry=self._registry)
        self.lost = Counter("v4e_replicas_lost", "Replicas that died under an edit", registry=self._registry)
        for name, read in (("waiting", lambda: queue.waiting), ("running", lambda: queue.running)):
            Gauge(f"v4e_edits_{name}", f"Edits {name} now", registry=self._registry).set_function(read)
        for stage in STAGES:
            self.stage_seconds.labels(stage)

    def text(self) -> bytes:
        return generate_latest(self._registry)

    def _histogram(self, name: str, words: str, label: str) -> Histogram:
        return Histogram(name, words, [label], buckets=SECONDS, registry=self._registry)
