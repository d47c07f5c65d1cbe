"""The order of a replica's requests, where two threads answer them. No Ray in here.

The second thread begins with the next request while the first one's answer is still on its way out of the GPU.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """Lets calls from several threads pass one at a time, in the order of their numbers, which count from 0."""

    def __init__(self) -> None:
        self.next = 0
        self.moved = threading.Condition()
        self.idle_since = 0.0  # by time.perf_counter

    @contextmanager
    def turn(self, number: int) -> Iterator[None]:
        """Waits until it is the turn of `number`; the turn ends with the block, also by an error."""
        with self.moved:
            self.moved.wait_for(lambda: self.next == number)
        try:
            yield
        finally:
            with self.moved:
                self.next += 1
                self.moved.notify_all()

    def worked(self, start: float) -> float:
        """The seconds of work that a call which began at `start` and ends now adds to those of the calls before it."""
        end = time.perf_counter()
        seconds, self.idle_since = end - max(start, self.idle_since), end
        return seconds
