"""The pool of captioners: it hands out batches, grows while there is work, and restarts captioners that die."""

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import cast

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayActorError, RayTaskError

from actors.llm.captioner import CaptionBatch, Captioner
from actors.llm.engine import environment
from actors.reserved import needs, options
from v4e.captions.write import CaptionRequest
from v4e.config import Caption

RESTARTS = 2
CaptionWork = tuple[int, Sequence[CaptionRequest]]  # the index of a batch, its requests


def write_batches(batches: Iterable[CaptionWork], config: Caption, total: int = 0) -> Iterator[CaptionBatch]:
    """Captions (index, requests) batches; yields them as they are done.

    A batch is taken from `batches` when a captioner is free for it, so no more are held than there are captioners.
    The pool starts with ``config.actors`` captioners and grows up to ``config.max_actors``. It grows while the work
    left (of `total` batches, 0 = unknown) takes longer than the start of an engine. Idle captioners end with the work.

    A captioner that dies is restarted and its batch repeated, at most ``RESTARTS`` times. One that does not answer
    within ``config.timeout_s`` is killed and counts as dead.

    Raises:
        RuntimeError: a captioner died too often.
        ValueError: the model cannot be loaded, or it or its server cannot do what the config asks of it.
        TimeoutError: a batch ran out of time on every try.
    """
    pool = _Pool(config, total)
    try:
        yield from pool.run(iter(batches))
    finally:
        pool.close()


@dataclass(frozen=True)
class _Running:
    """One batch with a captioner."""

    index: int
    captioner: ActorHandle
    deadline: float  # monotonic seconds
    tries: int = 0  # before this one


class _Pool:
    def __init__(self, config: Caption, total: int):
        self.config, self.total = config, total
        self.most = config.most_actors
        self.taken = 0  # batches handed out
        self.answered: list[float] = []  # seconds of each batch
        self.started_s = 0.0  # seconds until the first engine had started
        first = min(config.actors, total) if total else config.actors
        self.starting: dict[ray.ObjectRef, ActorHandle] = {
            captioner.ready.remote(): captioner for captioner in (self._start() for _ in range(first))
        }
        self.since = time.monotonic()
        self.idle: list[ActorHandle] = []
        self.running: dict[ray.ObjectRef, _Running] = {}
        self.born = _deadline(config)

    def _start(self) -> ActorHandle:
        config = self.config
        remote = ray.remote(Captioner).options(
            **options(config.gpus, _cpus(config)),
            max_restarts=RESTARTS,
            max_task_retries=RESTARTS,
            runtime_env={"env_vars": environment(config.model, config.gpus, config.threads)},
        )
        return cast(ActorHandle, remote.remote(config, os.environ.get("OPENAI_API_KEY", "") if config.url else ""))

    def run(self, batches: Iterator[CaptionWork]) -> Iterator[CaptionBatch]:
        more = True
        while more or self.running:
            more = more and self._hand_out(batches)
            if not more:
                self._let_go()
            if not (self.running or self.starting):
                return
            done, _ = ray.wait([*self.running, *self.starting], num_returns=1, timeout=self._patience())
            for ref in done:
                if ref in self.starting:
                    self._ready(ref)
                    continue
                work = self.running.pop(ref)
                answer = _result(ref)
                self.answered.append(time.monotonic() - (work.deadline - self.config.timeout_s))
                yield answer
                self.idle.append(work.captioner)
            self._enforce_deadlines(set(done))
            if more:
                self._grow()

    def _hand_out(self, batches: Iterator[CaptionWork]) -> bool:
        """Gives every free captioner a batch; returns False once there are no more batches."""
        while self.idle:
            work = next(batches, None)
            if work is None:
                return False
            index, requests = work
            captioner = self.idle.pop()
            ref = captioner.write.remote(index, requests)
            self.running[ref] = _Running(index, captioner, _deadline(self.config))
            self.taken += 1
        return True

    def _ready(self, ref: ray.ObjectRef) -> None:
        captioner = self.starting.pop(ref)
        _result(ref)
        self.started_s = self.started_s or time.monotonic() - self.since
        self.idle.append(captioner)

    def _grow(self) -> None:
        """Starts one more captioner if the work left takes the present ones longer than a start."""
        there = len(self.running) + len(self.idle) + len(self.starting)
        if self.starting or not self.answered or there >= self.most:
            return
        left = (self.total - self.taken) * sum(self.answered) / len(self.answered) / there
        if left > self.started_s:
            captioner = self._start()
            self.starting[captioner.ready.remote()] = captioner
            self.born = _deadline(self.config)

    def _let_go(self) -> None:
        """Ends captioners without work, which frees their GPUs while the last ones work."""
        for captioner in [*self.idle, *self.starting.values()]:
            ray.kill(captioner)
        self.idle, self.starting = [], {}

    def _patience(self) -> float:
        deadlines = [work.deadline for work in self.running.values()]
        if self.starting:
            deadlines.append(self.born)
        return max(0.0, min(deadlines) - time.monotonic())

    def _enforce_deadlines(self, done: set) -> None:
        now, config = time.monotonic(), self.config
        if self.starting and self.born <= now:
            if not (self.running or self.idle):
                raise TimeoutError(
                    f"captions: no captioner started within {config.timeout_s:.0f} s: does the cluster have "
                    f"{needs(config.gpus, _cpus(config))} free for one? Else raise caption.timeout_s"
                )
            for captioner in self.starting.values():
                ray.kill(captioner)  # no room for it on the cluster: the pool continues without it
            self.starting, self.most = {}, len(self.running) + len(self.idle)
        for ref, work in list(self.running.items()):
            if ref in done or work.deadline > now:
                continue
            if work.tries == RESTARTS:
                raise TimeoutError(
                    f"captions: batch {work.index} took longer than {config.timeout_s:.0f} s, {work.tries + 1} "
                    "times: raise caption.timeout_s or lower caption.batch"
                )
            ray.kill(work.captioner, no_restart=False)  # Ray restarts it and runs the batch again
            deadline = _deadline(config) + self.started_s  # its engine starts again first
            self.running[ref] = replace(work, deadline=deadline, tries=work.tries + 1)

    def close(self) -> None:
        self._let_go()
        for work in self.running.values():
            ray.kill(work.captioner)


def _cpus(config: Caption) -> int:
    """CPUs of a captioner without GPUs."""
    return config.threads * max(1, config.tp)


def _deadline(config: Caption) -> float:
    return time.monotonic() + config.timeout_s


def _result(ref: ray.ObjectRef):
    try:
        return ray.get(ref)
    except RayActorError as error:
        why = " ".join(str(error).split())[:400]
        raise RuntimeError(f"a captioner died {RESTARTS + 1} times or could not start: {why}") from error
    except RayTaskError as error:
        if isinstance(error.cause, ValueError):
            raise ValueError(str(error.cause)) from error
        raise
