"""One rank of a teacher replica, as a Ray actor. With teacher.tp=1 it is the whole replica."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import ray
from torch import Tensor
from torch.distributed import ProcessGroup

from actors.reserved import reserved_device, reserved_gpus
from actors.stream.transport import Offers, check_transport
from actors.teacher import ranks
from actors.teacher.turns import Turns
from v4e.config import Config
from v4e.types import TargetRequest

Method = Literal["targets", "rollouts"]
Report = dict[str, int | str]  # of a rank that is ready


class Answers(Protocol):
    """The methods of a teacher that a replica calls: see :class:`actors.teacher.actor.Teacher`."""

    def ready(self) -> dict[str, int | str]: ...
    def targets(self, request: TargetRequest) -> Tensor: ...
    def rollouts(self, sample_ids: tuple[str, ...]) -> Tensor: ...


Load = Callable[[Config, ProcessGroup | None], Answers]


def load_teacher(config: Config, group: ProcessGroup | None) -> Answers:
    """The FLF2V teacher of `config` for targets, or this rank's part of it."""
    from actors.teacher.actor import Teacher  # here, because the pool's own process needs no models

    return Teacher(config, group, reserved_device(), samples=False)


def load_sampler(config: Config, group: ProcessGroup | None) -> Answers:
    """The teacher that samples rollouts: with ``teacher.lora``, if there is one."""
    from actors.teacher.actor import Teacher

    return Teacher(config, group, reserved_device(), lora=config.teacher.lora)


@dataclass(frozen=True, kw_only=True)
class Place:
    """The process in which a rank runs, for people who look for its log."""

    rank: int
    actor: str
    pid: int
    node: str  # address
    log: str  # its standard error, on that node

    def __str__(self) -> str:
        return f"rank {self.rank} (actor {self.actor}, pid {self.pid} on node {self.node}, log {self.log})"


class Replica:
    """A teacher that loads by a call of its own, so that it can report its place before it may die.

    The pool numbers the requests of a replica, and all its ranks take them in that order. This keeps the collectives of
    two requests apart.
    """

    def __init__(self, config: Config, rank: int, load: Load) -> None:
        self.config, self.rank, self.load_teacher = config, rank, load
        self.store = None
        self.turns, self.offers = Turns(), Offers(config.teacher.transport)

    def place(self) -> Place:
        return Place(
            rank=self.rank,
            actor=str(ray.get_runtime_context().get_actor_id()),
            pid=os.getpid(),
            node=ray.util.get_node_ip_address(),
            log=os.path.realpath("/proc/self/fd/2"),
        )

    def listen(self) -> int:
        """Opens rank 0's port, where the other ranks find it."""
        self.store = ranks.listen(self.config.teacher.tp, self.config.teacher.timeout_s)
        return self.store.port

    def load(self, port: int | None) -> Report:
        """Joins the other ranks, if there are any, at rank 0's `port`, and loads the weights."""
        size, timeout_s = self.config.teacher.tp, self.config.teacher.timeout_s
        check_transport(self.config.teacher)
        group = None
        if port is not None:
            store = self.store or ranks.reach(port, size, timeout_s)
            group = ranks.join(store, self.rank, size, timeout_s, reserved_device())
        self.teacher = self.load_teacher(self.config, group)
        return self.teacher.ready() | {"gpus": " ".join(reserved_gpus())}

    @ray.method(num_returns=2)
    def answer(self, number: int, method: Method, question):
        """The teacher's answer as it travels, and a receipt, the seconds it took. Called on rank 0 alone."""
        with self.turns.turn(number):
            start = time.perf_counter()
            arrived = self.offers.begin(getattr(self.teacher, method)(question))
        payload = arrived()
        return payload, self.turns.worked(start)

    def follow(self, number: int, method: Method, question) -> None:
        """Takes part in rank 0's answer. Called on all other ranks."""
        with self.turns.turn(number):
            getattr(self.teacher, method)(question)
