"""A long training on machines that fail: checkpoints, lost work, restarts, and a teacher that shrinks meanwhile."""

import math
import random
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass

import simpy

STUDENT, TEACHER = "student", "teacher"  # whose node has failed
Slower = Callable[[int], float]  # from teaching nodes that are down to how much longer work takes


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """A training as faults see it; all in seconds."""

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
    """The end of a job, with what its faults cost."""

    seconds: float
    faults: int  # of training nodes
    teacher_faults: int
    lost_s: float  # work done again
    blocked_s: float  # for checkpoints


def train_through(job: TrainingJob, rng: random.Random, slower: Slower = lambda down: 1.0) -> Trained:
    """Simulates `job`. Faults are exponential, and those during a restart make it begin again."""
    run = FaultyRun(job, rng, slower)
    run.env.run(until=run.training)
    return Trained(
        seconds=run.env.now,
        faults=run.faults,
        teacher_faults=run.teacher_faults,
        lost_s=run.lost_s,
        blocked_s=run.blocked_s,
    )


class FaultyRun:
    """A training under way: each method that yields is a process of the simulation, or a part of one."""

    def __init__(self, job: TrainingJob, rng: random.Random, slower: Slower) -> None:
        self.job, self.rng, self.slower = job, rng, slower
        self.env = simpy.Environment()
        self.done = 0.0  # work, in seconds
        self.saved = 0.0  # work at the newest checkpoint
        self.kept = 0.0  # work at the newest checkpoint that counts
        self.lost_s = self.blocked_s = 0.0
        self.faults = self.teacher_faults = 0
        self.down = 0  # teaching nodes
        self.writer: simpy.Process | None = None  # of the newest checkpoint
        self.training = self.env.process(self.train())
        if math.isfinite(job.mtbf_s):
            self.env.process(self.strike())
        if math.isfinite(job.teacher_mtbf_s):
            self.env.process(self.shrink())

    def train(self) -> Generator:
        """Works to the end, with a checkpoint every `every_s`; a fault of a training node interrupts it."""
        while self.done < self.job.work_s:
            try:
                yield from self.work()
                if self.done < self.job.work_s:
                    yield from self.save()
            except simpy.Interrupt as interrupt:
                if interrupt.cause == STUDENT:
                    self.fall_back()
                    yield from self.restart()

    def work(self) -> Generator:
        """Works to the next checkpoint or the end. An interrupt keeps what is done by then."""
        start, rate = self.env.now, 1 / self.slower(self.down)
        stop = min(self.saved + self.job.every_s, self.job.work_s)
        if self.done < stop:
            try:
                yield self.env.timeout((stop - self.done) / rate)
            except simpy.Interrupt:
                self.done = min(stop, self.done + (self.env.now - start) * rate)
                raise
            self.done = stop

    def save(self) -> Generator:
        """Begins a checkpoint once the last one is written; training waits only for the copy."""
        if self.writer and self.writer.is_alive:
            yield self.writer
        yield self.env.timeout(self.job.blocked_s)
        self.blocked_s += self.job.blocked_s
        self.saved = self.done
        self.writer = self.env.process(self.write(self.done))

    def write(self, work: float) -> Generator:
        """Makes a checkpoint of `work` count once it is written, unless its writers go down before."""
        with suppress(simpy.Interrupt):
            yield self.env.timeout(self.job.written_s)
            self.kept = max(self.kept, work)

    def fall_back(self) -> None:
        """Loses the work since the newest checkpoint that counts."""
        self.faults += 1
        if self.writer and self.writer.is_alive:
            self.writer.interrupt()
        self.lost_s += self.done - self.kept
        self.done = self.saved = self.kept

    def restart(self) -> Generator:
        """Waits for a restart; an interrupt makes it begin again."""
        while True:
            end = self.env.now + self.job.restart_s
            try:
                while self.env.now < end:
                    yield self.env.timeout(end - self.env.now)
                return
            except simpy.Interrupt as interrupt:
                self.faults += interrupt.cause == STUDENT

    def strike(self) -> Generator:
        """Lets training nodes fail."""
        while self.training.is_alive:
            yield self.env.timeout(self.rng.expovariate(1 / self.job.mtbf_s))
            self.interrupt(STUDENT)

    def shrink(self) -> Generator:
        """Lets teaching nodes fail."""
        while self.training.is_alive:
            yield self.env.timeout(self.rng.expovariate(1 / self.job.teacher_mtbf_s))
            self.teacher_faults += 1
            self.env.process(self.absent())

    def absent(self) -> Generator:
        """Takes one teaching node down and brings it back; training then goes on at another pace."""
        for change, seconds in ((1, self.job.teacher_restart_s), (-1, 0.0)):
            self.down += change
            self.interrupt(TEACHER)
            yield self.env.timeout(seconds)

    def interrupt(self, cause: str) -> None:
        if self.training.is_alive:
            self.training.interrupt(cause)


def best_interval(blocked_s: float, mtbf_s: float) -> float:
    """Young's work between checkpoints, with Daly's correction: sqrt(2 d M) - d, M where d is no smaller than 2 M."""
    if not math.isfinite(mtbf_s):
        return math.inf
    return math.sqrt(2 * blocked_s * mtbf_s) - blocked_s if blocked_s < 2 * mtbf_s else mtbf_s
