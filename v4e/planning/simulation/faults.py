"""A long training on machines that fail: checkpoints, lost work, restarts, and a teacher that shrinks meanwhile."""

import math
import random
from collections.abc import Callable, Generator
from dataclasses import dataclass

import simpy


@dataclass(frozen=True, kw_only=True)
class Job:
    """Seconds."""

    work_s: float  # without faults, checkpoints left out
    every_s: float  # of work between checkpoints
    blocked_s: float  # that training waits for a checkpoint
    written_s: float  # after that, until it counts; training goes on meanwhile
    restart_s: float  # from a fault of a training node until work goes on
    mtbf_s: float  # between faults of any training node
    teacher_mtbf_s: float = math.inf  # between faults of any node that only teaches
    teacher_restart_s: float = 0.0  # until such a node is back


@dataclass(frozen=True, kw_only=True)
class Trained:
    """How it went."""

    seconds: float
    faults: int  # of training nodes
    teacher_faults: int
    lost_s: float  # work done again
    blocked_s: float  # for checkpoints


def train_through(job: Job, rng: random.Random, slower: Callable[[int], float] = lambda down: 1.0) -> Trained:
    """Simulates `job`; `slower(n)` is how much longer work takes while n teaching nodes are down.

    Faults are exponential, and strike during restarts too: those begin again.
    """
    env = simpy.Environment()
    done = kept = lost = blocked = 0.0
    faults = teacher_faults = down = 0

    def counts(at: float, seconds: float) -> Generator:
        """A checkpoint that counts once it is written, unless its writers go down before."""
        nonlocal kept
        try:
            yield env.timeout(seconds)
            kept = max(kept, at)
        except simpy.Interrupt:
            pass

    def train() -> Generator:
        nonlocal done, kept, lost, blocked, faults
        saved, writing = 0.0, None  # work at the newest checkpoint, its writer
        while done < job.work_s:
            start, rate = env.now, 1 / slower(down)
            stop = min(saved + job.every_s, job.work_s)
            paused = False
            try:
                if done < stop:
                    yield env.timeout((stop - done) / rate)
                    done = stop
                if done < job.work_s:
                    paused = True
                    if writing and writing.is_alive:
                        yield writing  # one at a time
                    yield env.timeout(job.blocked_s)
                    blocked += job.blocked_s
                    saved = done
                    writing = env.process(counts(done, job.written_s))
            except simpy.Interrupt as interrupt:
                if not paused:
                    done = min(stop, done + (env.now - start) * rate)
                if interrupt.cause == "teacher":
                    continue
                faults += 1
                if writing and writing.is_alive:
                    writing.interrupt()
                lost += done - kept
                done = saved = kept
                yield from restarted()

    def restarted() -> Generator:
        nonlocal faults
        while True:
            end = env.now + job.restart_s
            try:
                while env.now < end:
                    yield env.timeout(end - env.now)
                return
            except simpy.Interrupt as interrupt:
                if interrupt.cause == "teacher":
                    continue
                faults += 1

    running = env.process(train())

    def strikes() -> Generator:
        while running.is_alive:
            yield env.timeout(rng.expovariate(1 / job.mtbf_s))
            if running.is_alive:
                running.interrupt("student")

    def shrinks() -> Generator:
        nonlocal teacher_faults
        while running.is_alive:
            yield env.timeout(rng.expovariate(1 / job.teacher_mtbf_s))
            teacher_faults += 1
            env.process(absent())

    def absent() -> Generator:
        nonlocal down
        for change, seconds in ((1, job.teacher_restart_s), (-1, 0.0)):
            down += change
            if running.is_alive:
                running.interrupt("teacher")
            yield env.timeout(seconds)

    if math.isfinite(job.mtbf_s):
        env.process(strikes())
    if math.isfinite(job.teacher_mtbf_s):
        env.process(shrinks())
    env.run(until=running)
    return Trained(
        seconds=env.now,
        faults=faults,
        teacher_faults=teacher_faults,
        lost_s=lost,
        blocked_s=blocked,
    )


def best_interval(blocked_s: float, mtbf_s: float) -> float:
    """Young's work between checkpoints, with Daly's correction: sqrt(2 d M) - d, M where d is no smaller than 2 M."""
    if not math.isfinite(mtbf_s):
        return math.inf
    return math.sqrt(2 * blocked_s * mtbf_s) - blocked_s if blocked_s < 2 * mtbf_s else mtbf_s


def expected_seconds(work_s: float, every_s: float, blocked_s: float, restart_s: float, mtbf_s: float) -> float:
    """Daly's time to solution with checkpoints that count at once: M e^(R/M) (e^((t+d)/M) - 1) for each segment.

    Exact where faults are exponential and strike during checkpoints and restarts too. Behind the last segment, which
    may be shorter, there is no checkpoint.
    """
    whole = math.ceil(work_s / every_s) - 1
    segments = whole * math.expm1((every_s + blocked_s) / mtbf_s) + math.expm1((work_s - whole * every_s) / mtbf_s)
    return mtbf_s * math.exp(restart_s / mtbf_s) * segments
