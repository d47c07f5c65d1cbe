"""A stage whose triplets know nothing of each other, on nodes that fail: storage, cores, GPUs, one driver for all."""

import math
import random
from collections.abc import Generator
from dataclasses import dataclass

import simpy

WINDOW = 6  # chunks under way on a node: one more than there are resources to keep busy
CHUNKS = 12_000  # about so many are simulated, at least LEAST and at most MOST a node
LEAST, MOST = 16, 400


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Seconds that a triplet takes of each resource."""

    name: str
    triplets: int
    storage_s: float = 0.0  # of a node's link to the storage
    cores_s: float = 0.0  # of all cores of a node
    gpus_s: float = 0.0  # of all GPUs of a node
    driver_s: float = 0.0  # of the one driver


@dataclass(frozen=True, kw_only=True)
class Farmed:
    """How a stage went."""

    seconds: float
    faults: int  # of nodes
    busy: dict[str, float]  # of each resource, the share of the time


def farm(stage: Stage, nodes: int, rng: random.Random, *, mtbf_s: float, restart_s: float) -> Farmed:
    """Simulates `stage` on so many `nodes`.

    A chunk goes through a node's storage link, cores and GPUs, then through the driver; each takes one chunk at a time,
    and a node works at several chunks. A node fails after an exponential time of mean `mtbf_s`, loses its chunks, which
    others take over, and comes back after `restart_s`.
    """
    env = simpy.Environment()
    chunks = min(stage.triplets, nodes * min(MOST, max(LEAST, CHUNKS // nodes)))
    size = stage.triplets / chunks
    todo, driver, done = simpy.Store(env), simpy.Resource(env), env.event()
    todo.items.extend(range(chunks))
    finished = faults = 0

    def chunk_by_chunk(own: list[tuple[simpy.Resource, float]]) -> Generator:
        nonlocal finished
        while True:
            asked = todo.get()
            number = None
            try:
                number = yield asked
                for resource, seconds in own:
                    with resource.request() as turn:
                        yield turn
                        yield env.timeout(seconds)
            except simpy.Interrupt:
                if number is not None or asked.triggered:
                    todo.put(0)
                else:
                    asked.cancel()
                return
            finished += 1
            if finished == chunks:
                done.succeed()

    def node() -> Generator:
        nonlocal faults
        while True:
            seconds = (stage.storage_s, stage.cores_s, stage.gpus_s)
            own = [(simpy.Resource(env), size * each) for each in seconds if each]
            own += [(driver, size * stage.driver_s)] if stage.driver_s else []
            slots = [env.process(chunk_by_chunk(own)) for _ in range(WINDOW)]
            if not math.isfinite(mtbf_s):
                return
            yield env.timeout(rng.expovariate(1 / mtbf_s))
            faults += 1
            for slot in slots:
                slot.interrupt()
            yield env.timeout(restart_s)

    for _ in range(nodes):
        env.process(node())
    env.run(until=done)
    total = stage.triplets / max(env.now, 1e-12)
    busy = {
        "the storage": stage.storage_s * total / nodes,
        "the nodes' cores": stage.cores_s * total / nodes,
        "the GPUs": stage.gpus_s * total / nodes,
        "the one driver": stage.driver_s * total,
    }
    return Farmed(seconds=env.now, faults=faults, busy=busy)
