"""Some steps of training, request by request: workers, the pool's one process, replicas, and the network."""

from collections.abc import Generator
from dataclasses import dataclass

import simpy

REQUESTS = 30_000  # simulated ones, about
FEWEST, MOST = 12, 400  # forwards of a worker


@dataclass(frozen=True, kw_only=True)
class TrainingSetup:
    """The numbers of workers and replicas, and the seconds of each of their parts."""

    workers: int
    replicas: int
    prefetch: int
    student_s: float  # of a forward and backward, with its share of what a step does once
    teacher_s: float  # of a replica for a target; 0 = no teacher
    request_s: float  # of the pool's one process for a target
    send_s: float  # from a target's end at the replica to the worker


@dataclass(frozen=True, kw_only=True)
class TrainingWindow:
    """The pace of the simulated steps, and how busy each part was."""

    forward_s: float  # from one forward to the next
    busy: dict[str, float]  # the share of the time of each


def window(training: TrainingSetup) -> TrainingWindow:
    """Simulates a few forwards of all workers, which begin each one together, like FSDP's.

    A worker requests ``prefetch`` targets ahead, and one more when it has trained on one. The pool takes one request
    at a time, in order. A replica answers one at a time, and the first that is free takes the next.
    """
    forwards = min(MOST, max(FEWEST, REQUESTS // training.workers))
    if not training.teacher_s:
        return TrainingWindow(forward_s=training.student_s, busy={"the students": 1.0})
    env = simpy.Environment()
    pool, replicas = simpy.Resource(env), simpy.Resource(env, capacity=training.replicas)
    arrived = [simpy.Store(env) for _ in range(training.workers)]
    ends = [0.0]

    def target(worker: int) -> Generator:
        if training.request_s:
            with pool.request() as turn:
                yield turn
                yield env.timeout(training.request_s)
        with replicas.request() as turn:
            yield turn
            yield env.timeout(training.teacher_s)
        yield env.timeout(training.send_s)
        yield arrived[worker].put(0)

    def students() -> Generator:
        for _ in range(training.prefetch):
            for worker in range(training.workers):
                env.process(target(worker))
        while len(ends) <= forwards:
            yield simpy.AllOf(env, [store.get() for store in arrived])
            yield env.timeout(training.student_s)
            ends.append(env.now)
            for worker in range(training.workers):
                env.process(target(worker))

    env.run(until=env.process(students()))
    half = forwards // 2
    forward_s = (ends[-1] - ends[half]) / (forwards - half)
    return TrainingWindow(
        forward_s=forward_s,
        busy={
            "the students": training.student_s / forward_s,
            "the pool's one process": training.request_s * training.workers / forward_s,
            "the teachers": training.teacher_s * training.workers / training.replicas / forward_s,
        },
    )
