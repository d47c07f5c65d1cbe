"""A replica as the pool holds it: its ranks, which start, answer and end together.

One rank that dies, hangs or falls out of step ends them all: the survivors of a process group are of no use alone.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayActorError
from ray.util.placement_group import PlacementGroup
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from actors import reserved
from actors.teacher.ranks import OutOfStep, PeerFailed
from actors.teacher.replica import Load, Method, Place, Replica, Report
from v4e.config import Config, Teacher

GRACE_S = 2.0  # for the other ranks' errors after the first: the rank that died explains more than one that noticed
GangState = Literal["loading", "up", "failed"]


class GangFailed(RuntimeError):
    """A replica is of no further use; the message says which rank failed, why, and where its log is."""


@dataclass(eq=False)
class Gang:
    """The ranks of one replica, rank 0 first."""

    ranks: list[ActorHandle]
    places: list[Place] = field(default_factory=list)  # known once they run
    asked: int = 0  # requests so far
    loading: "asyncio.Future[list[Report]]" = field(init=False)  # done when the weights are there

    @property
    def state(self) -> GangState:
        """Loading, or how it ended. A gang that fails later is replaced at once, and so needs no name."""
        if not self.loading.done():
            return "loading"
        return "failed" if self.loading.exception() else "up"

    def name(self, rank: int) -> str:
        return str(self.places[rank]) if self.places else f"rank {rank}, which has not started yet"


def needs(teacher: Teacher) -> str:
    """The resources that a replica needs, in words for people."""
    each = reserved.needs(teacher.gpus)
    return each if teacher.tp == 1 else f"{teacher.tp} x {each} on one node"


def reserve(teacher: Teacher, name: str) -> PlacementGroup | None:
    """Room on one node for all ranks of a replica, or the room of that `name` if there is one; None for a single rank.

    Ray keeps it until it is removed or the job ends, even if the actor that reserved it is restarted.
    """
    if teacher.tp == 1:
        return None
    try:
        return ray.util.get_placement_group(name)
    except ValueError:  # there is none yet
        return ray.util.placement_group(
            [reserved.resources(teacher.gpus)] * teacher.tp, strategy="STRICT_PACK", name=name
        )


def release(name: str) -> None:
    """Frees the room of that `name`, if there is one."""
    with suppress(ValueError):  # there is none
        ray.util.remove_placement_group(ray.util.get_placement_group(name))


def start_gang(config: Config, room: PlacementGroup | None, load: Load) -> Gang:
    """Starts actors that load as soon as there is `room`, for which they may have to wait. Needs a running loop."""
    options: dict[str, Any] = dict(reserved.options(config.teacher.gpus))
    # One answers while the answer before leaves. By NIXL answers leave by themselves.
    options["max_concurrency"] = 2 if config.teacher.transport == "object_store" else 1
    # On the class, because with it in the options Ray frees nothing while a method runs.
    direct: dict[str, Any] = {"enable_tensor_transport": config.teacher.transport != "object_store"}
    actor = ray.remote(**direct)(Replica)
    ranks = []
    for rank in range(config.teacher.tp):
        if room is not None:
            options["scheduling_strategy"] = PlacementGroupSchedulingStrategy(room, rank)
        ranks.append(cast(ActorHandle, actor.options(**options).remote(config, rank, load)))
    gang = Gang(ranks)
    gang.loading = asyncio.ensure_future(_load(gang))
    return gang


async def _load(gang: Gang) -> list[Report]:
    """Lets the ranks meet and load their weights.

    Raises:
        GangFailed: one of them could not.
    """
    port = None
    try:
        gang.places = await _all(gang, [rank.place.remote() for rank in gang.ranks])
        if len(gang.ranks) > 1:
            [port] = await _all(gang, [gang.ranks[0].listen.remote()])
        reports = await _all(gang, [rank.load.remote(port) for rank in gang.ranks])
    except GangFailed:
        raise
    except Exception as error:  # half a process group cannot be used again
        raise GangFailed(f"{error}\nwhile loading {', '.join(map(str, gang.places))}") from error
    return [vars(place) | report for place, report in zip(gang.places, reports, strict=True)]


async def ask_gang(gang: Gang, method: Method, question: object, patience: float) -> tuple[ray.ObjectRef, float]:
    """A reference to rank 0's answer, and the seconds it took, once all ranks have loaded and answered.

    Raises:
        GangFailed: a rank died, fell out of step, could not load, or took longer than `patience` seconds.
        Exception: any other error of the teacher, on all ranks alike.
    """
    await asyncio.shield(gang.loading)  # others wait for it too
    number, gang.asked = gang.asked, gang.asked + 1
    payload, receipt = cast(list[ray.ObjectRef], gang.ranks[0].answer.remote(number, method, question))
    followers = [rank.follow.remote(number, method, question) for rank in gang.ranks[1:]]
    seconds, *_ = await _all(gang, [receipt, *followers], patience)
    return payload, seconds


async def check_gang(gang: Gang, patience: float) -> None:
    """Returns when all ranks of an idle replica have answered.

    Raises:
        GangFailed: one of them did not, within `patience` seconds.
    """
    await _all(gang, [rank.place.remote() for rank in gang.ranks], patience)


def stop_gang(gang: Gang) -> None:
    """Ends all ranks at once, hanging ones included."""
    for rank in gang.ranks:
        ray.kill(rank)


async def _all(gang: Gang, answers: Sequence[Awaitable], patience: float | None = None) -> list[Any]:
    """The `answers` of the first ranks, or the error that explains most."""
    tasks = [asyncio.ensure_future(answer) for answer in answers]
    done, pending = await asyncio.wait(tasks, timeout=patience, return_when=asyncio.FIRST_EXCEPTION)
    if pending and any(task.exception() for task in done):
        await asyncio.wait(pending, timeout=GRACE_S)
    wrong, refusals = [], []
    for rank, task in enumerate(tasks):
        if not task.done():
            task.cancel()
            wrong.append(f"{gang.name(rank)} did not answer" + (f" within {patience:.0f} s" if patience else ""))
        elif isinstance(error := task.exception(), RayActorError | OutOfStep):
            wrong.append(f"{gang.name(rank)} {'died' if isinstance(error, RayActorError) else 'failed'}: {error}")
        elif error is not None:
            refusals.append(error)
    if refusals:  # all ranks have the same one, unless only one could not prepare its part: then it is that rank's
        raise min(refusals, key=lambda error: isinstance(error, PeerFailed))
    if wrong:
        raise GangFailed("; ".join(wrong))
    return [task.result() for task in tasks]
