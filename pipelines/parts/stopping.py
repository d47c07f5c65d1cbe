"""Ctrl-C and SIGTERM of a command: once it saves what it can and ends within seconds, twice it ends at once."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psutil

from v4e.faults import Fault

END_S = 20.0  # for a command to save and to end its processes; Kubernetes waits for 30
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(BaseException):
    """The command was asked to stop; as KeyboardInterrupt, nothing that catches errors catches it."""


class Stop:
    """The state of one command: which signal came, and what is asked to save."""

    def __init__(self) -> None:
        self.signal = 0
        self.save: Callable[[], None] | None = None
        self.timer: threading.Timer | None = None

    def handle(self, number: int, _frame: object) -> None:
        """Asks for the end at the first signal, and ends at the second."""
        if self.signal:
            end_at_once(number)
        self.signal = number
        self.timer = threading.Timer(END_S, end_at_once, [number])
        self.timer.daemon = True
        self.timer.start()
        if self.save is None:
            raise Stopped
        self.save()  # and the command ends by itself

    @property
    def status(self) -> int:
        """The exit status of a stopped command."""
        return 128 + self.signal

    @property
    def fault(self) -> Fault:
        """The line of a stopped command."""
        name = signal.Signals(self.signal).name
        return Fault("A11", f"stopped by {name}: what is finished is kept, the same command goes on with the rest")


current = Stop()


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Handles both signals in a block; in a thread other than the main one nothing changes."""
    global current
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before, outer, current = {number: signal.signal(number, stop.handle) for number in SIGNALS}, current, stop
    mask = signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # some supervisors start us with a signal blocked
    try:
        yield stop
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        current = outer
        if stop.timer is not None:
            stop.timer.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def saving(save: Callable[[], None]) -> Iterator[None]:
    """Within the block a first signal calls `save`, which has to bring it to its end; then the command stops.

    Raises:
        Stopped: it did.
    """
    stop = current
    stop.save = save
    try:
        yield
    finally:
        stop.save = None
    if stop.signal:
        raise Stopped


def end_at_once(number: int) -> None:
    """Kills all processes below this one, and ends it."""
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    sys.stdout.flush()
    os._exit(128 + number)
