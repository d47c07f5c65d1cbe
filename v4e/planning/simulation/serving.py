"""Edits that people ask for at random moments, on replicas that take equally long for each: M/D/c, simulated."""

import random
from collections.abc import Generator
from dataclasses import dataclass
from statistics import fmean

import simpy

REQUESTS = 10_000  # of which the first tenth only fills the system


@dataclass(frozen=True, kw_only=True)
class Served:
    """Seconds from a request to its edit."""

    mean_s: float
    median_s: float
    p95_s: float
    per_s: float  # edits


def serve(edit_s: float, replicas: int, per_s: float, rng: random.Random, requests: int = REQUESTS) -> Served:
    """Simulates Poisson requests, `per_s` a second, in one queue of `replicas` that take `edit_s` each."""
    env = simpy.Environment()
    gpus = simpy.Resource(env, capacity=replicas)
    taken: list[float] = []

    def request() -> Generator:
        start = env.now
        with gpus.request() as turn:
            yield turn
            yield env.timeout(edit_s)
        taken.append(env.now - start)

    def arrivals() -> Generator:
        for _ in range(requests):
            yield env.timeout(rng.expovariate(per_s))
            env.process(request())

    env.process(arrivals())
    env.run()
    steady = sorted(taken[requests // 10 :])
    return Served(
        mean_s=fmean(steady),
        median_s=steady[len(steady) // 2],
        p95_s=steady[int(0.95 * len(steady))],
        per_s=len(taken) / env.now,
    )
