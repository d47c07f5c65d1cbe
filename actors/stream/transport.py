"""How a replica's answer reaches the process that reads it: teacher.transport.

object_store: through shared memory on one node, over TCP between nodes; it goes by way of the CPU.
nixl: Ray Direct Transport, from the replica's memory or GPU straight to the reader's, by what NIXL finds: NVLink, RDMA,
shared memory. The answer lies in the replica until it is fetched, and is lost with it.

Ray's two-sided transports, gloo and nccl, cannot be used: the reader is a Ray Train worker, which is no actor of ours
and so cannot be made a member of their process group.
"""

import warnings
from typing import cast

import numpy as np
import ray
import torch
from ray.exceptions import GetTimeoutError, ObjectLostError, RayActorError, RayDirectTransportError
from torch import Tensor

from v4e.config import Teacher, Transport

# An answer, or whom it was asked of, is gone: it can be asked for again.
Lost = (RayActorError, ObjectLostError, GetTimeoutError, RayDirectTransportError)
Payload = np.ndarray | list[ray.ObjectRef]


def check_transport(teacher: Teacher) -> None:
    """Refuses a transport that this process cannot use: Ray itself would say that the other side has died.

    Raises:
        ValueError: naming what to install.
    """
    if teacher.transport == "nixl":
        try:
            # a half installation is found, but cannot be imported
            import nixl  # noqa: F401  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise ValueError(
                f"teacher.transport=nixl needs the package nixl on every node, {error}: "
                "pip install nixl, or set teacher.transport=object_store"
            ) from error


def offer(answer: Tensor, transport: Transport) -> Payload:
    """What a replica returns in the place of `answer`, which is contiguous."""
    if transport == "object_store":
        return answer.cpu().numpy()  # Ray moves an array without copying, and a tensor thirteen times as slowly
    # In a list it travels as a reference, also through the pool, which has neither NIXL nor a use for it.
    return [ray.put(answer, _tensor_transport="nixl")]


def fetch(payload: ray.ObjectRef, timeout_s: float) -> Tensor:
    """The answer; its memory may be Ray's own and read-only: never write to it.

    Raises:
        Lost: it is gone, or did not come within `timeout_s`.
    """
    got = ray.get(payload, timeout=timeout_s)
    if isinstance(got, list):
        return cast(Tensor, ray.get(got[0], timeout=timeout_s))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(got)
