"""Targets from a replica's GPU to this process: those of nixl are those of the object store, bit for bit."""

import os
import time
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from actors.cluster import connect
from actors.stream.packing import pack
from actors.stream.stream import TargetStream
from actors.stream.transport import check_transport
from actors.teacher.pool import await_pool, start_pool, stop_pool
from benchmarks.gpu.sizes import Absent, Figures, GpuSize
from benchmarks.support.stub_pool import asked
from v4e.config import Config, Transport, tiny
from v4e.types import TargetRequest

TARGETS = 8


class Numbers:
    """A stand-in for a teacher on `device`: its answer follows from the request's seed."""

    def __init__(self, shape: tuple[int, ...], device: str, config: Config, group: ProcessGroup | None) -> None:
        self.shape, self.device = shape, device

    def ready(self) -> dict[str, int | str]:
        return {"pid": os.getpid(), "device": self.device}

    def targets(self, request: TargetRequest) -> Tensor:
        taps_KBND = torch.randn(*self.shape, generator=torch.Generator().manual_seed(request.seeds[0]))
        return pack(taps_KBND.to(self.device))

    def rollouts(self, sample_ids: tuple[str, ...]) -> Tensor:
        raise ValueError("a stand-in has targets only")


def check(device: str, size: GpuSize) -> Figures:
    """GB/s of both transports.

    Raises:
        Absent: there is no NIXL.
    """
    try:
        check_transport(replace(tiny().teacher, transport="nixl"))
    except ValueError as error:
        raise Absent(str(error)) from error
    connect(cpus=4, store_bytes=2 << 30)
    figures: Figures = {}
    received = {}
    for transport in ("object_store", "nixl"):
        received[transport], figures[f"{transport} GB/s"] = stream(device, size, transport)
    assert torch.equal(*received.values()), "a target of nixl differs from the object store's"
    return figures


def stream(device: str, size: GpuSize, transport: Transport) -> tuple[Tensor, float]:
    """Some targets, and the rate at which they came, the making of them included."""
    config = tiny()
    teacher = replace(config.teacher, transport=transport, gpus=1 if device == "cuda" else 0)
    config = replace(config, teacher=teacher)
    pool = start_pool(config, partial(Numbers, (4, 1, size.tokens, 128 * size.heads), device))
    await_pool(pool, teacher)
    start = time.perf_counter()
    taps = [target.taps_KBND.cpu().clone() for _, target in TargetStream(pool, asked(TARGETS), teacher)]
    seconds = time.perf_counter() - start
    stop_pool(pool)
    return torch.stack(taps), sum(tap.nbytes for tap in taps) / seconds / 1e9
