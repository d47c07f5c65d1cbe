"""The pool of teacher replicas: one actor that routes, retries and restarts; targets never pass through it.

    student rank --TargetRequest--> pool --TargetRequest--> replica
    student rank <--reference------ pool <--receipt-------- replica
    student rank <================ object store =========== replica

A replica answers with two objects: the payload, which stays in the object store until the student fetches it, and a
receipt of a few bytes, which tells the pool that the replica is free again, or dead.
"""

import asyncio
import time
from dataclasses import dataclass, field
from typing import cast

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayActorError

from v4e.config import Config
from v4e.types import TargetRequest


@dataclass(frozen=True, kw_only=True)
class PoolStatus:
    """What the pool is and has done so far."""

    replicas: int
    queue: int  # requests at the replicas, running ones included
    answered: int = 0
    retries: int = 0
    restarts: int = 0
    busy_s: float = 0.0  # of all replicas together


class Replica:
    """A teacher whose every answer comes with a receipt: the seconds it took."""

    def __init__(self, config: Config) -> None:
        from actors.teacher import Teacher  # here, because the pool's own process needs no models

        self.teacher = Teacher(config)

    def ready(self) -> dict[str, int | str]:
        return self.teacher.ready()

    @ray.method(num_returns=2)
    def target_and_receipt(self, request: TargetRequest):
        start = time.perf_counter()
        return self.teacher.targets(request), time.perf_counter() - start

    @ray.method(num_returns=2)
    def rollouts_and_receipt(self, sample_ids: tuple[str, ...]):
        start = time.perf_counter()
        return self.teacher.rollouts(sample_ids), time.perf_counter() - start


@dataclass
class Slot:
    """The place of a replica: its actor changes with every restart."""

    actor: ActorHandle
    index: int
    life: int = 0  # restarts so far
    up: bool = False  # has loaded its weights
    load: int = 0  # requests not yet answered
    busy_s: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


@ray.remote(num_cpus=0, max_restarts=-1)
class TeacherPool:
    """``teacher.replicas`` replicas behind one queue each; ask it with ``target`` and ``rollout``.

    The replicas belong to the pool and end with it. Should the pool itself die, Ray starts it again with new
    replicas, and its users ask again.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.slots = [Slot(actor=self._start(), index=index) for index in range(config.teacher.replicas)]
        self.answered = self.retries = self.restarts = 0

    async def ready(self) -> list[dict[str, int | str]]:
        """Process and device of every replica, once all have loaded their weights."""
        return list(await asyncio.gather(*(self._load(slot) for slot in self.slots)))

    async def target(self, request: TargetRequest) -> tuple[list[ray.ObjectRef], PoolStatus]:
        """A reference to the packed taps of `request`, wrapped in a list so that it travels as a reference."""
        return await self._ask("target_and_receipt", request)

    async def rollout(self, sample_ids: tuple[str, ...]) -> tuple[list[ray.ObjectRef], PoolStatus]:
        """A reference to the clip latents of some samples."""
        return await self._ask("rollouts_and_receipt", sample_ids)

    async def status(self) -> PoolStatus:
        return PoolStatus(
            replicas=len(self.slots),
            queue=sum(slot.load for slot in self.slots),
            answered=self.answered,
            retries=self.retries,
            restarts=self.restarts,
            busy_s=sum(slot.busy_s for slot in self.slots),
        )

    async def _ask(self, method: str, question: object) -> tuple[list[ray.ObjectRef], PoolStatus]:
        for attempt in range(self.config.teacher.retries + 1):
            slot = min(self.slots, key=lambda slot: (not slot.up, slot.load))
            slot.load += 1
            life = slot.life
            try:
                if not slot.up:
                    await self._load(slot)
                    life = slot.life
                payload, receipt = getattr(slot.actor, method).remote(question)
                patience = self.config.teacher.timeout_s * slot.load  # those before it in the queue count too
                slot.busy_s += await asyncio.wait_for(receipt, patience)
            except (RayActorError, TimeoutError) as error:
                if attempt == self.config.teacher.retries:
                    raise RuntimeError(
                        f"teacher replica {slot.index} gave up {question} after {attempt + 1} attempts on "
                        f"{len(self.slots)} replicas; the last one ended with: {error or type(error).__name__}"
                    ) from error
                self.retries += 1
                await self._restart(slot, life)
            else:
                self.answered += 1
                return [payload], await self.status()
            finally:
                slot.load -= 1
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _load(self, slot: Slot) -> dict[str, int | str]:
        async with slot.lock:
            report = await slot.actor.ready.remote()  # pyright: ignore[reportGeneralTypeIssues]  # Ray says Never
            slot.up = True
            return report

    async def _restart(self, slot: Slot, life: int) -> None:
        """Puts a new replica in the place of one that failed in its life number `life`; the first caller does it."""
        async with slot.lock:
            if slot.life == life:
                ray.kill(slot.actor)  # it may still hang
                slot.actor, slot.up = self._start(), False
                slot.life += 1
                self.restarts += 1

    def _start(self) -> ActorHandle:
        gpus = self.config.teacher.gpus
        options = {"num_gpus": gpus} if gpus else {"num_cpus": 1}
        return cast(ActorHandle, ray.remote(Replica).options(**options).remote(self.config))


def start_pool(config: Config) -> ActorHandle:
    """A pool whose replicas are loading; it takes requests at once."""
    return cast(ActorHandle, TeacherPool.remote(config))


def await_pool(pool: ActorHandle) -> None:
    """Returns when every replica has loaded.

    Raises:
        RuntimeError: a replica did not start; the cause is in the message.
    """
    try:
        ray.get(pool.ready.remote())
    except RayActorError as error:
        raise RuntimeError(f"the teacher pool did not start: {error}") from error
