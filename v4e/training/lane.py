"""Copies between host and GPU that run beside the computation, in an order that is said once for GPUs and CPUs."""

from typing import cast

import torch
from torch import Tensor


class Lane:
    """A queue of copies on a GPU; on the CPU each copy is done when it returns, and there is nothing to wait for."""

    def __init__(self, stream: torch.cuda.Stream | None) -> None:
        self.stream = stream

    @classmethod
    def of(cls, device: torch.device) -> "Lane":
        """A new lane of `device`."""
        return cls(cast(torch.cuda.Stream, torch.cuda.Stream(device)) if device.type == "cuda" else None)

    @classmethod
    def computing(cls, device: torch.device) -> "Lane":
        """The lane in which `device` computes."""
        return cls(torch.cuda.current_stream(device) if device.type == "cuda" else None)

    def copy(self, into: Tensor, value: Tensor) -> None:
        """Queues a copy of `value`; host memory has to be pinned, or the host waits for the copy."""
        with torch.cuda.stream(self.stream):
            into.copy_(value, non_blocking=True)

    def mark(self) -> torch.cuda.Event | None:
        """A mark behind all that is queued so far."""
        return cast(torch.cuda.Event, self.stream.record_event()) if self.stream is not None else None

    def after(self, mark: torch.cuda.Event | None) -> None:
        """Lets what is queued from now on wait for `mark`. The host goes on."""
        if self.stream is not None and mark is not None:
            self.stream.wait_event(mark)

    def finish(self) -> None:
        """Lets the host wait for all that is queued."""
        if self.stream is not None:
            self.stream.synchronize()
