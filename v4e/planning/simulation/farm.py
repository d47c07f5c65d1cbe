"""A stage whose triplets know nothing of each other, on nodes that fail: storage, cores, GPUs, one driver for all."""

import math
import random
from collections.abc import Generator
from dataclasses import dataclass

import simpy

WINDOW = 6  # chunks under way on a node: one more than there are resources to keep busy
CHUNKS = 12_000  # simulated ones, about; at least LEAST and at most MOST a node
LEAST, MOST = 16, 400
Route = list[tuple[simpy.Resource, float]]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage, by the seconds that a triplet takes of each resource."""

    name: str
    triplets: int
    storage_s: float = 0.0  # of a node's link to the storage
    cores_s: float = 0.0  # of all cores of a node
    gpus_s: float = 0.0  # of all GPUs of a node
    driver_s: float = 0.0  # of the one driver


@dataclass(frozen=True, kw_only=True)
class Farmed:
    """The end of a stage."""

    seconds: float
    faults: int  # of nodes
    busy: dict[str, float]  # of each resource, the share of the time


def farm(stage: Stage, nodes: int, rng: random.Random, *, mtbf_s: float, restart_s: float) -> Farmed:
    """Simulates `stage` on `nodes`.

    A node works at several chunks. Each goes through the node's storage link, cores and GPUs, then through the driver.
    A node fails after an exponential time of mean `mtbf_s` and comes back after `restart_s`. Its chunks begin again
    elsewhere.
    """
    run = FarmRun(stage, nodes, rng, mtbf_s=mtbf_s, restart_s=restart_s)
    run.env.run(until=run.end)
    total = stage.triplets / max(run.env.now, 1e-12)
    busy = {
        "the storage": stage.storage_s * total / nodes,
        "the nodes' cores": stage.cores_s * total / nodes,
        "the GPUs": stage.gpus_s * total / nodes,
        "the one driver": stage.driver_s * total,
    }
    return Farmed(seconds=run.env.now, faults=run.faults, busy=busy)


class FarmRun:
    """A stage under way: each method that yields is a process of the simulation."""

    def __init__(self, stage: Stage, nodes: int, rng: random.Random, *, mtbf_s: float, restart_s: float) -> None:
        self.stage, self.rng, self.mtbf_s, self.restart_s = stage, rng, mtbf_s, restart_s
        self.env = simpy.Environment()
        self.chunks = min(stage.triplets, nodes * min(MOST, max(LEAST, CHUNKS // nodes)))
        self.size = stage.triplets / self.chunks  # triplets of a chunk
        self.todo, self.driver = simpy.Store(self.env), simpy.Resource(self.env)
        self.todo.items.extend(range(self.chunks))
        self.finished = self.faults = 0
        self.end = self.env.event()
        for _ in range(nodes):
            self.env.process(self.node())

    def node(self) -> Generator:
        """Works until it fails, and again once it is back."""
        while True:
            route = self.route()
            slots = [self.env.process(self.slot(route)) for _ in range(WINDOW)]
            if not math.isfinite(self.mtbf_s):
                return
            yield self.env.timeout(self.rng.expovariate(1 / self.mtbf_s))
            self.faults += 1
            for slot in slots:
                slot.interrupt()
            yield self.env.timeout(self.restart_s)

    def route(self) -> Route:
        """Returns what a chunk passes, with its seconds there: resources of the node's own, and the one driver."""
        seconds = (self.stage.storage_s, self.stage.cores_s, self.stage.gpus_s)
        route = [(simpy.Resource(self.env), self.size * each) for each in seconds if each]
        return route + ([(self.driver, self.size * self.stage.driver_s)] if self.stage.driver_s else [])

    def slot(self, route: Route) -> Generator:
        """Takes chunk after chunk along `route`; a failure of the node gives the one under way back."""
        while True:
            asked = self.todo.get()
            number = None
            try:
                number = yield asked
                for resource, seconds in route:
                    with resource.request() as turn:
                        yield turn
                        yield self.env.timeout(seconds)
            except simpy.Interrupt:
                if number is not None or asked.triggered:
                    self.todo.put(0)
                else:
                    asked.cancel()
                return
            self.finished += 1
            if self.finished == self.chunks:
                self.end.succeed()
