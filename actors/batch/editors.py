"""A pool of actors that make edits, each with the same model loaded once."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar, cast

import ray
import torch
from ray.actor import ActorHandle

from actors.cluster import connect
from actors.reserved import options, reserved_device

EDIT_CPUS = 0.5
RESTARTS = 2  # of one actor, and tries of one batch after the first
BatchT = TypeVar("BatchT")
ResultT = TypeVar("ResultT")


@ray.remote(max_restarts=RESTARTS, max_task_retries=RESTARTS)
class EditActor:
    """Holds the function that `load` makes for a device, which edits a batch.

    Each batch has one result, so it may run again.
    """

    def __init__(self, load: Callable[[torch.device], Callable[[Any], Any]]) -> None:
        torch.set_num_threads(1)
        self.run = load(reserved_device())

    def edit(self, batch: Any) -> Any:
        """Returns the result of a batch."""
        return self.run(batch)


class Editors(Generic[BatchT, ResultT]):
    """A pool of at most `most` actors with `gpus` GPUs each; it starts with the first batch and ends with ``with``."""

    def __init__(self, load: Callable[[torch.device], Callable[[BatchT], ResultT]], most: int, gpus: float) -> None:
        self.load, self.most, self.gpus = load, most, gpus
        self.actors: list[ActorHandle] = []

    def edit(self, batches: Sequence[BatchT]) -> Iterator[tuple[BatchT, ResultT]]:
        """Yields each batch with its result, in order.

        An actor that dies is restarted by Ray and its batch edited again, ``RESTARTS`` times.
        """
        if not batches:
            return
        connect()
        remote = EditActor.options(**options(self.gpus, EDIT_CPUS))
        for _ in range(len(self.actors), min(self.most, len(batches))):
            self.actors.append(cast(ActorHandle, remote.remote(self.load)))
        results = ray.util.ActorPool(self.actors).map(lambda actor, batch: actor.edit.remote(batch), list(batches))
        yield from zip(batches, cast(Iterator[ResultT], results), strict=True)

    def __enter__(self) -> "Editors[BatchT, ResultT]":
        return self

    def __exit__(self, *error: object) -> None:
        for actor in self.actors:
            ray.kill(actor)
