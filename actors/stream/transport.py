"""The way of a replica's answer to the process that reads it: teacher.transport.

object_store: through the CPU's memory; shared memory on one node, TCP between nodes.
nixl: Ray Direct Transport, from the replica's memory or GPU straight to the reader's, by what NIXL finds: NVLink, RDMA,
shared memory. The answer stays in the replica until it is fetched, and is lost with it.

Ray's two-sided transports, gloo and nccl, cannot be used: both sides must be members of one process group. The reader
is a worker of Ray Train, not an actor of ours, so it cannot join one.
"""

import warnings
from typing import cast

import numpy as np
import ray
import torch
from ray.exceptions import GetTimeoutError, ObjectLostError, RayActorError, RayDirectTransportError
from torch import Tensor

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


def offer(answer: Tensor, transport: Transport) -> Answer:
    """Returns what a replica sends in place of `answer`, which is contiguous."""
    if transport == "object_store":
        return answer.cpu().numpy()  # Ray moves an array without copying, and a tensor thirteen times as slowly
    # In a list it travels as a reference, also through the pool, which does not read it and needs no NIXL.
    return [ray.put(answer, _tensor_transport="nixl")]


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
