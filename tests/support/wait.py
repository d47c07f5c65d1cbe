"""Waiting for a condition, with an end."""

import time
from collections.abc import Callable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Running(Protocol):
    """A process or thread that a wait depends on."""

    def is_alive(self) -> bool: ...


def until(
    condition: Callable[[], T], timeout_s: float = 300.0, every_s: float = 0.01, while_alive: Running | None = None
) -> T:
    """Returns the first true value of `condition`; fails after `timeout_s` seconds, or once `while_alive` has ended."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert while_alive is None or while_alive.is_alive(), "what the test waits for has ended"
        assert time.monotonic() < deadline, f"not so within {timeout_s:g} s: the last value is {value!r}"
        time.sleep(every_s)
    return value
