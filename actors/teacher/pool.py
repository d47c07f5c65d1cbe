"""The pool of teacher replicas: one actor that routes, retries and hedges; targets never pass through it.

    student rank --TargetRequest--> pool --TargetRequest--> replica
    student rank <--reference------ pool <--receipt-------- replica
    student rank <================ object store =========== replica

A replica answers with two objects. The payload stays in the object store until the student fetches it. The receipt, a
few bytes, informs the pool that the replica is free again, or dead. With teacher.tp > 1 a replica is a gang of ranks:
all get the request and the first one answers.
"""

import asyncio
import logging
import time
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from statistics import median
from typing import TypeVar, cast

import ray
from ray.actor import ActorHandle
from ray.exceptions import GetTimeoutError, RayActorError

from actors.stream.status import PoolStatus
from actors.teacher.gang import GangFailed, ask_gang
from actors.teacher.pool_metrics import PoolMetrics
from actors.teacher.replica import Load, Method, Report, load_teacher
from actors.teacher.replicas import Replicas, Slot
from actors.teacher.scaling import Waits, Window
from v4e.config import Config, Teacher
from v4e.types import TargetRequest

Answer = TypeVar("Answer")
log = logging.getLogger(__name__)
REMEMBERED = 32  # answers whose median time is the usual one
REPORT_S = 15.0  # between lines on what a starting pool waits for
CLOSE_S = 30.0  # for a pool to end its replicas; they end with its process anyway


@ray.remote(num_cpus=0, max_restarts=-1)
class TeacherPool:
    """Replicas with a queue each; its requests are ``target`` and ``rollout``.

    The replicas belong to the pool and end with it. If the pool itself dies, Ray starts it again with new replicas,
    and its users send their requests again.
    """

    def __init__(self, config: Config, load: Load) -> None:
        self.teacher = config.teacher
        name = f"teacher-{ray.get_runtime_context().get_actor_id()}"  # the same after a restart
        self.replicas = Replicas(config, load, name)
        self.counts: Counter[str] = Counter()  # answered, retries, hedged
        self.busy_s = 0.0
        self.usual_s: dict[Method, deque[float]] = defaultdict(lambda: deque(maxlen=REMEMBERED))
        self.waits = Waits()
        self.metrics = PoolMetrics(config.run)
        self.keeper = asyncio.ensure_future(self._keep())

    async def target(self, request: TargetRequest, student: str = "", waited_s: float = 0.0):
        """A reference to the packed taps of `request`, wrapped in a list so that it travels as one; the pool's status.

        `waited_s` is how long, in seconds, `student` has waited for targets so far; by it the pool grows and shrinks.
        """
        if student:
            self.waits.hear(student, time.monotonic(), waited_s)
        return await self._answered("targets", request)

    async def rollout(self, sample_ids: tuple[str, ...]):
        """A reference to the clip latents of some samples, and the pool's status, as :meth:`target`."""
        now = time.monotonic()
        self.waits.hear("rollouts", now, now)  # the stage does nothing but wait
        return await self._answered("rollouts", sample_ids)

    async def ready(self) -> list[Report]:
        """Replica, rank, process, device, actor, node and log of every rank, once all have loaded their weights.

        Raises:
            GangFailed: one of them could not.
        """
        loading = [(slot.index, asyncio.shield(slot.gang.loading)) for slot in self.replicas.slots]
        return [{"replica": index} | rank for index, replica in loading for rank in await replica]

    async def serving(self) -> None:
        """Returns once a replica has loaded its weights.

        Raises:
            GangFailed: none of them could.
        """
        while True:
            try:
                await _first_good(asyncio.shield(slot.gang.loading) for slot in self.replicas.slots)
                return
            except GangFailed:
                if all(slot.gang.state == "failed" for slot in self.replicas.slots):  # else one is started again
                    raise

    async def starting(self) -> list[str]:
        """A line for each replica that has not loaded: what it waits for, or why it could not."""
        return self.replicas.starting()

    async def status(self) -> PoolStatus:
        slots, up = self.replicas.slots, self.replicas.up
        return PoolStatus(
            replicas=up,
            starting=len(slots) - up,
            queue=sum(slot.load for slot in slots),
            busy_s=self.busy_s,
            **(self.counts + self.replicas.counts),
        )

    async def close(self) -> None:
        """Ends the replicas and gives their room back."""
        self.keeper.cancel()
        for slot in list(self.replicas.slots):
            self.replicas.end(slot)

    async def _answered(self, method: Method, question: object) -> tuple[list[ray.ObjectRef], PoolStatus]:
        for attempt in range(self.teacher.retries + 1):
            try:
                payload = await self._attempt_hedged(method, question)
            except GangFailed as error:
                if attempt == self.teacher.retries:
                    raise RuntimeError(
                        f"the teacher pool gave up {question} after {attempt + 1} attempts on "
                        f"{len(self.replicas.slots)} replicas; the last one ended with: {error}"
                    ) from error
                self.counts["retries"] += 1
            else:
                self.counts["answered"] += 1
                status = await self.status()
                self.metrics.record(status)
                return [payload], status
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _attempt_hedged(self, method: Method, question: object) -> ray.ObjectRef:
        """The first answer of the least loaded replica and, if that is much slower than usual, of a freer one."""
        slot = self.replicas.least_loaded()
        attempt, ahead = self._attempt(slot, method, question), slot.load
        if not self.teacher.hedge or not self.usual_s[method] or slot.state != "up":
            return await attempt
        patience = self.teacher.hedge * median(self.usual_s[method]) * ahead
        while not attempt.done():
            await asyncio.wait([attempt], timeout=patience)
            other = self.replicas.least_loaded()
            if not attempt.done() and other.state == "up" and other.load < slot.load:
                self.counts["hedged"] += 1
                return await _first_good([attempt, self._attempt(other, method, question)])
        return await attempt

    def _attempt(self, slot: Slot, method: Method, question: object) -> asyncio.Future[ray.ObjectRef]:
        """The answer of this replica, whose load grows at once: the next request comes before the attempt runs."""
        slot.load += 1
        attempt = asyncio.ensure_future(self._answer(slot, method, question))
        attempt.add_done_callback(lambda _: self.replicas.relieve(slot))
        return attempt

    async def _answer(self, slot: Slot, method: Method, question: object) -> ray.ObjectRef:
        """The answer of this replica, which is started again if it fails.

        Raises:
            GangFailed: it failed.
        """
        gang = slot.gang
        try:
            # The requests before it in the queue count too.
            payload, seconds = await ask_gang(gang, method, question, self.teacher.timeout_s * slot.load)
        except GangFailed as error:
            self.replicas.restart(slot, gang, error)
            raise GangFailed(f"teacher replica {slot.index}: {error}") from error
        self.busy_s += seconds
        self.usual_s[method].append(seconds)
        return payload

    async def _keep(self) -> None:
        """Checks the idle replicas, and adapts their number, until the pool ends."""
        looked, busy_s = time.monotonic(), 0.0
        while True:
            await asyncio.sleep(self.teacher.check_every_s)
            try:
                await self.replicas.check()
                seconds, wait_share = time.monotonic() - looked, self.waits.share()
                if wait_share is not None:
                    self.replicas.resize(Window(wait_share=wait_share, busy=(self.busy_s - busy_s) / seconds))
                looked, busy_s = looked + seconds, self.busy_s
                self.metrics.record(await self.status())
            except Exception:  # such as Ray's: the pool has to outlive it
                log.exception("the teacher pool continues as it is")


async def _first_good(attempts: Iterable[Awaitable[Answer]]) -> Answer:
    """The result of the first that ends well, or the error of the last; the others continue, and are ignored."""
    pending = {asyncio.ensure_future(attempt) for attempt in attempts}
    while True:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        good = [attempt for attempt in done if attempt.exception() is None]
        if good or not pending:
            for attempt in pending:
                attempt.add_done_callback(lambda attempt: attempt.exception())  # else asyncio reports it as unseen
            return (good or list(done))[0].result()


@contextmanager
def teacher_pool(config: Config, load: Load = load_teacher) -> Iterator[ActorHandle]:
    """A pool for the length of a block; an error in the block, or Ctrl-C, ends the pool too."""
    pool = start_pool(config, load)
    try:
        yield pool
    finally:
        stop_pool(pool)


def start_pool(config: Config, load: Load = load_teacher) -> ActorHandle:
    """A pool whose replicas `load` their teachers; it takes requests at once."""
    return cast(ActorHandle, TeacherPool.remote(config, load))


def await_pool(pool: ActorHandle, teacher: Teacher, report: Callable[[str], None] = log.warning) -> None:
    """Returns when a replica has loaded; until then reports what the others wait for, whenever that changes.

    Raises:
        RuntimeError: none could load, or none has in ``teacher.start_timeout_s``; the cause is in the message.
    """
    serving, start, said = pool.serving.remote(), time.monotonic(), set()
    try:
        while not ray.wait([serving], timeout=min(REPORT_S, teacher.start_timeout_s))[0]:
            lines = ray.get(pool.starting.remote())
            if time.monotonic() - start > teacher.start_timeout_s:
                raise RuntimeError(f"no teacher after {teacher.start_timeout_s:.0f} s: {'; '.join(lines)}")
            for line in lines:
                if line not in said:
                    report(line)
            said = set(lines)
        ray.get(serving)
    except (RayActorError, GangFailed) as error:
        raise RuntimeError(f"the teacher pool did not start: {error}") from error


def stop_pool(pool: ActorHandle) -> None:
    """Ends the pool and its replicas, and frees what they held of the cluster."""
    with suppress(RayActorError, GetTimeoutError):  # it has died already, or its node has
        ray.get(pool.close.remote(), timeout=CLOSE_S)
    ray.kill(pool)
