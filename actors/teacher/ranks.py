"""The ranks of one teacher replica, as torch sees them: how they meet, and how an error on one of them stays harmless.

Collectives pair up by their order. If a rank leaves a request half-way while its peers continue, it later adds its
numbers to other requests, unnoticed. So what may fail harmlessly is done before the first collective, and the ranks
agree on its success. A rank that fails after it takes no further part. No Ray in here.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist

HOST = "127.0.0.1"  # the ranks of a replica share a node: nothing listens beyond it


class OutOfStep(RuntimeError):
    """A rank failed among collectives: its replica has to be started again."""


class PeerFailed(RuntimeError):
    """Raised on a rank that was ready for a request that another rank could not prepare."""


class Ranks:
    """The place of this process among the ranks of its replica. Without a group it is the only one: no overhead."""

    def __init__(self, group: dist.ProcessGroup | None = None) -> None:
        self.group = group
        self.broken = ""  # why this rank is out of step

    @contextmanager
    def agreed(self) -> Iterator[None]:
        """Makes the block, which has no collectives, succeed on all ranks or fail on all: a request's first part.

        Raises:
            PeerFailed: it succeeded here and failed on another rank.
            OutOfStep: this rank failed among the collectives of an earlier request.
        """
        if self.group is None:
            yield
            return
        if self.broken:
            raise OutOfStep(self.broken)
        try:
            yield
        except Exception:
            self._all_ready(False)
            raise
        if not self._all_ready(True):
            raise PeerFailed("another rank of this replica could not prepare the request: its error says why")

    @contextmanager
    def in_step(self) -> Iterator[None]:
        """Guards a block with collectives: a request's second part.

        Raises:
            OutOfStep: in place of any error, if there are other ranks.
        """
        try:
            yield
        except Exception as error:
            if self.group is None:
                raise
            self.broken = f"{type(error).__name__}: {error}"
            raise OutOfStep(self.broken) from error

    def _all_ready(self, ready: bool) -> bool:
        flag = torch.tensor([int(ready)])  # on the CPU, where also GPU groups have gloo
        with self.in_step():
            dist.all_reduce(flag, dist.ReduceOp.MIN, group=self.group)
        return bool(flag)


def listen(size: int, timeout_s: float) -> dist.TCPStore:
    """Opens rank 0's meeting point for `size` ranks, at a free port of the loopback: ``.port``."""
    server = socket.create_server((HOST, 0))
    port = server.getsockname()[1]
    return dist.TCPStore(
        HOST,
        port,
        size,
        is_master=True,
        wait_for_workers=False,
        timeout=timedelta(seconds=timeout_s),
        master_listen_fd=server.detach(),  # bound already: nobody can take the port in between
    )


def reach(port: int, size: int, timeout_s: float) -> dist.TCPStore:
    """Joins the meeting point of :func:`listen` from another rank."""
    return dist.TCPStore(HOST, port, size, is_master=False, timeout=timedelta(seconds=timeout_s))


def join(store: dist.Store, rank: int, size: int, timeout_s: float, device: torch.device) -> dist.ProcessGroup:
    """The process group of all ranks on such a `device`, once all have joined.

    A collective that takes longer than `timeout_s` fails.
    """
    loopback = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
    os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback)  # else gloo listens on the node's address
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=timedelta(seconds=timeout_s))
    group = dist.group.WORLD
    assert group is not None
    dist.all_reduce(torch.zeros(1, device=device), group=group)  # NCCL starts here, and not within a request's limit
    return group
