"""The pool of teacher replicas: one actor that routes, retries and restarts; targets never pass through it.

    student rank --TargetRequest--> pool --TargetRequest--> replica
    student rank <--reference------ pool <--receipt-------- replica
    student rank <================ object store =========== replica

A replica answers with two objects: the payload, which stays in the object store until the student fetches it, and a
receipt of a few bytes, which tells the pool that the replica is free again, or dead. With teacher.tp > 1 a replica is
a gang of ranks that are all asked and of which the first answers.
"""

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayActorError
from ray.util.placement_group import PlacementGroup

from actors.gang import Gang, GangFailed, ask_gang, reserve, start_gang, stop_gang
from actors.replica import Load, Method, Report, load_teacher
from v4e.config import Config
from v4e.types import TargetRequest

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PoolStatus:
    """What the pool is and has done so far."""

    replicas: int
    queue: int  # requests at the replicas, running ones included
    answered: int = 0
    retries: int = 0
    restarts: int = 0
    busy_s: float = 0.0  # of all replicas together


@dataclass
class Slot:
    """The place of a replica: its ranks change with every restart."""

    index: int
    room: PlacementGroup | None
    gang: Gang
    load: int = 0  # requests not yet answered
    busy_s: float = 0.0


@ray.remote(num_cpus=0, max_restarts=-1)
class TeacherPool:
    """``teacher.replicas`` replicas behind one queue each; ask it with ``target`` and ``rollout``.

    The replicas belong to the pool and end with it. Should the pool itself die, Ray starts it again with new
    replicas, and its users ask again.
    """

    def __init__(self, config: Config, load: Load) -> None:
        self.config, self.load = config, load
        name = f"teacher-{ray.get_runtime_context().get_actor_id()}"  # the same after a restart
        rooms = [reserve(config.teacher, f"{name}-{index}") for index in range(config.teacher.replicas)]
        self.slots = [Slot(index, room, start_gang(config, room, load)) for index, room in enumerate(rooms)]
        self.answered = self.retries = self.restarts = 0

    async def ready(self) -> list[Report]:
        """Replica, rank, process, device, actor, node and log of every rank, once all have loaded their weights."""
        reports = await asyncio.gather(*(asyncio.shield(slot.gang.loading) for slot in self.slots))
        return [{"replica": index} | rank for index, replica in enumerate(reports) for rank in replica]

    async def close(self) -> None:
        """Ends the replicas and gives their room back."""
        for slot in self.slots:
            stop_gang(slot.gang)
            if slot.room is not None:
                ray.util.remove_placement_group(slot.room)

    async def target(self, request: TargetRequest) -> tuple[list[ray.ObjectRef], PoolStatus]:
        """A reference to the packed taps of `request`, wrapped in a list so that it travels as a reference."""
        return await self._ask("targets", request)

    async def rollout(self, sample_ids: tuple[str, ...]) -> tuple[list[ray.ObjectRef], PoolStatus]:
        """A reference to the clip latents of some samples."""
        return await self._ask("rollouts", sample_ids)

    async def status(self) -> PoolStatus:
        return PoolStatus(
            replicas=len(self.slots),
            queue=sum(slot.load for slot in self.slots),
            answered=self.answered,
            retries=self.retries,
            restarts=self.restarts,
            busy_s=sum(slot.busy_s for slot in self.slots),
        )

    async def _ask(self, method: Method, question: object) -> tuple[list[ray.ObjectRef], PoolStatus]:
        for attempt in range(self.config.teacher.retries + 1):
            slot = min(self.slots, key=lambda slot: (not slot.gang.up, slot.load))
            gang = slot.gang
            slot.load += 1
            patience = self.config.teacher.timeout_s * slot.load  # those before it in the queue count too
            try:
                payload, seconds = await ask_gang(gang, method, question, patience)
                slot.busy_s += seconds
            except GangFailed as error:
                if attempt == self.config.teacher.retries:
                    raise RuntimeError(
                        f"teacher replica {slot.index} gave up {question} after {attempt + 1} attempts on "
                        f"{len(self.slots)} replicas; the last one ended with: {error}"
                    ) from error
                self.retries += 1
                self._restart(slot, gang, error)
            else:
                self.answered += 1
                return [payload], await self.status()
            finally:
                slot.load -= 1
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _restart(self, slot: Slot, failed: Gang, cause: GangFailed) -> None:
        """Puts a new gang in the place of one that failed; the first of those whom it failed does it."""
        if slot.gang is failed:
            log.warning("teacher replica %d is started again: %s", slot.index, cause)
            stop_gang(failed)
            slot.gang = start_gang(self.config, slot.room, self.load)
            self.restarts += 1


def start_pool(config: Config, load: Load = load_teacher) -> ActorHandle:
    """A pool whose replicas `load` their teachers; it takes requests at once."""
    return cast(ActorHandle, TeacherPool.remote(config, load))


def await_pool(pool: ActorHandle) -> None:
    """Returns when every replica has loaded.

    Raises:
        RuntimeError: a replica did not start; the cause is in the message.
    """
    try:
        ray.get(pool.ready.remote())
    except (RayActorError, GangFailed) as error:
        raise RuntimeError(f"the teacher pool did not start: {error}") from error


def stop_pool(pool: ActorHandle) -> None:
    """Ends the pool and its replicas, and frees what they held of the cluster."""
    with suppress(RayActorError):  # it is gone already, or its node is
        ray.get(pool.close.remote())
    ray.kill(pool)
