"""A fair queue, bounded in edits and in pixels: keys take turns, however many edits each has waiting."""

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager

from serve.errors import ApiError


class Turn:
    """A place in the queue; `go` is set when a replica is free for it."""

    def __init__(self, owner: str):
        self.owner = owner
        self.go = asyncio.Event()
        self.went = 0.0  # the time when `go` was set
        self.left = False


class FairQueue:
    """A queue in which at most `slots` edits run and at most `waiting` wait.

    Their pictures have at most `pixels` together; each key's first edit is exempt from this limit. Keys are served
    round robin, and each key's edits in order.
    """

    def __init__(self, slots: int, waiting: int, pixels: int):
        self.slots, self._most, self._most_pixels = slots, waiting, pixels
        self._lines: OrderedDict[str, deque[Turn]] = OrderedDict()  # the key at the front is next
        self._held: dict[str, int] = {}  # edits of a key, waiting and running
        self._pixels = 0  # of all that wait and run
        self._edit_s = 1.0  # how long an edit has lately held its slot
        self.running = 0

    @property
    def waiting(self) -> int:
        return sum(map(len, self._lines.values()))

    def resize(self, slots: int) -> None:
        """Sets the number of slots when replicas come or go. Running edits continue."""
        self.slots = slots
        self._next()

    @contextmanager
    def turns(self, owner: str, count: int, per_owner: int, pixels: int) -> Iterator[list[Turn]]:
        """Yields places for `count` edits of `owner` on pictures of `pixels`, all or none; frees them at the end.

        Raises:
            ApiError: 429 if the queue is full or the owner has `per_owner` edits in it already.
        """
        self.check(owner, count, per_owner, pixels)
        places = [Turn(owner) for _ in range(count)]
        self._pixels += pixels
        self._held[owner] = self._held.get(owner, 0) + count
        self._lines.setdefault(owner, deque()).extend(places)
        self._next()
        try:
            yield places
        finally:
            self._pixels -= pixels
            for turn in places:
                self.leave(turn)

    def check(self, owner: str, count: int, per_owner: int, pixels: int) -> None:
        """Refuses if :meth:`turns` would have no places for these edits now.

        Raises:
            ApiError: 429.
        """
        held = self._held.get(owner, 0)
        if held and held + count > per_owner:
            message = f"This key has {held} edits waiting or running, of {per_owner} that it may have: wait for some."
            raise ApiError(429, message, code="concurrency_limit_exceeded", retry_after_s=self._edit_s)
        free = max(0, self.slots - self.running) + self._most - self.waiting
        if count > free and (self.running or self.waiting):
            message = f"{self.waiting} edits are waiting, of {self._most} that may: try again."
            raise ApiError(429, message, code="queue_full", retry_after_s=self._wait_s())
        if held and self._pixels + pixels > self._most_pixels:  # a key's first edit gets in despite others' pictures
            message = f"Pictures of {self._pixels} pixels are waiting, of {self._most_pixels} that may: try again."
            raise ApiError(429, message, code="queue_full", retry_after_s=self._wait_s())

    def place(self, turn: Turn) -> int:
        """Returns the place of a turn among those that wait, from 1; 0 once it went or left."""
        line = self._lines.get(turn.owner, deque())
        if turn.left or turn not in line:
            return 0
        before, rounds, owners = 1, line.index(turn), list(self._lines)
        for number, owner in enumerate(owners):
            more = 0 if owner == turn.owner else number < owners.index(turn.owner)
            before += min(len(self._lines[owner]), rounds + more)
        return before

    def leave(self, turn: Turn) -> None:
        """Frees a place; a second call does nothing."""
        if turn.left:
            return
        turn.left = True
        self._held[turn.owner] -= 1
        if not self._held[turn.owner]:
            del self._held[turn.owner]
        if turn.go.is_set():
            self.running -= 1
            self._edit_s += 0.2 * (time.monotonic() - turn.went - self._edit_s)
        else:
            line = self._lines[turn.owner]
            line.remove(turn)
            if not line:
                del self._lines[turn.owner]
        self._next()

    def _next(self) -> None:
        while self.running < self.slots and self._lines:
            owner, line = next(iter(self._lines.items()))
            turn = line.popleft()
            self._lines.move_to_end(owner)
            if not line:
                del self._lines[owner]
            self.running += 1
            turn.went = time.monotonic()
            turn.go.set()

    def _wait_s(self) -> float:
        """Returns the seconds until there may be room again, at the recent pace."""
        return min(60.0, max(1.0, self._edit_s * self.waiting / self.slots / 2))
