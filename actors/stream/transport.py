"""The way of a replica's answer to the process that reads it: teacher.transport.

object_store: through the CPU's memory; shared memory on one node, TCP between nodes.
nixl: Ray Direct Transport, from the replica's memory or GPU straight to the reader's, by what NIXL finds: NVLink, RDMA,
shared memory. The answer stays in the replica until it is fetched, and is lost with it.

Ray's two-sided transports, gloo and nccl, cannot be used: both sides must be members of one process group. The reader
is a worker of Ray Train, not an actor of ours, so it cannot join one.
"""

import threading
import warnings
from collections.abc import Callable
from typing import cast

import numpy as np
import ray
import torch
from ray.exceptions import GetTimeoutError, ObjectLostError, RayActorError, RayDirectTransportError
from torch import Tensor

from actors.stream.packing import unpack
from v4e.config import Teacher, Transport

# The answer, or the actor that was to give it, is lost: the request can be sent again.
Lost = (RayActorError, ObjectLostError, GetTimeoutError, RayDirectTransportError)
Answer = np.ndarray | list[ray.ObjectRef]


def check_transport(teacher: Teacher) -> None:
    """Refuses a transport that this process cannot use: Ray itself would report that the other side has died.

    Raises:
        ValueError: naming what to install.
    """
    if teacher.transport == "nixl":
        try:
            # Imported, because half an installation is found too.
            import nixl  # noqa: F401  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise ValueError(
                f"teacher.transport=nixl needs the package nixl on every node, {error}: "
                "pip install nixl, or set teacher.transport=object_store"
            ) from error


class Offers(threading.local):
    """The answers of a replica on their way out, by `transport`.

    Each thread has a stream of its own for copies to host memory, and a pinned buffer for one answer. The buffer is
    free again when Ray has stored the answer, and that it does before the thread's next call.
    """

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.pinned = torch.empty(0, dtype=torch.uint8)
        self.stream: torch.cuda.Stream | None = None

    def begin(self, answer: Tensor) -> Callable[[], Answer]:
        """Begins to send `answer`, which is contiguous. The call that is returned waits for what a replica returns.

        Between the two the GPU may begin with the next request.
        """
        if self.transport == "nixl":
            # In a list it travels as a reference, also through the pool, which does not read it and needs no NIXL.
            return lambda: [ray.put(answer, _tensor_transport="nixl")]
        return self._to_host(answer)

    def _to_host(self, answer: Tensor) -> Callable[[], np.ndarray]:
        """Begins a copy to host memory, where `answer` is not there already."""
        if answer.device.type == "cpu":
            return answer.numpy  # Ray moves an array without copying, and a tensor thirteen times as slowly
        if self.pinned.nbytes < answer.nbytes:
            self.pinned = torch.empty(answer.nbytes, dtype=torch.uint8, pin_memory=True)
        host = self.pinned[: answer.nbytes].view(answer.dtype).view(answer.shape)
        self.stream = self.stream or torch.cuda.Stream(answer.device)
        self.stream.wait_stream(torch.cuda.current_stream(answer.device))
        with torch.cuda.stream(self.stream):
            host.copy_(answer, non_blocking=True)
        answer.record_stream(self.stream)
        copied = self.stream.record_event()

        def arrived() -> np.ndarray:
            copied.synchronize()
            return host.numpy()

        return arrived


class Arrivals:
    """Targets on their way to a student's `device`, on a stream of their own: they wait for none of its work."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def take(self, bits: Tensor) -> Tensor:
        """The hidden states of `bits` on the device, all there. For a thread of its own."""
        if self.stream is None:
            return unpack(bits)
        with torch.cuda.stream(self.stream):
            h_KBND = unpack(bits.to(self.device, non_blocking=True))
        self.stream.synchronize()
        return h_KBND

    def use(self, h_KBND: Tensor) -> None:
        """Notes that the current stream uses what :meth:`take` returned: its memory stays until it has."""
        if self.stream is not None:
            h_KBND.record_stream(torch.cuda.current_stream(self.device))


def fetch(payload: ray.ObjectRef, timeout_s: float) -> Tensor:
    """The answer; its memory may be Ray's own and read-only: never write to it.

    Raises:
        Lost: it no longer exists, or did not come within `timeout_s`.
    """
    got = ray.get(payload, timeout=timeout_s)
    if isinstance(got, list):
        return cast(Tensor, ray.get(got[0], timeout=timeout_s))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(got)
