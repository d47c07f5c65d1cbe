"""The common parts of the benchmarks of the teacher pool: stub teachers, requests, printed rows."""

import os
import time
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from actors.stream.packing import pack
from actors.teacher.replica import Load
from v4e.config import Config
from v4e.types import TargetRequest


class StubTeacher:
    """Answers every request after `seconds` of sleep, which needs no core, with the same target: ones (K, B, N, D)."""

    def __init__(self, shape_KBND: Sequence[int], seconds: float, config: Config, group: ProcessGroup | None) -> None:
        self.bits = pack(torch.ones(*shape_KBND))
        self.seconds = seconds

    def ready(self) -> dict[str, int | str]:
        return {"pid": os.getpid(), "device": "none"}

    def targets(self, request: TargetRequest) -> Tensor:
        if self.seconds:
            time.sleep(self.seconds)
        return self.bits

    def rollouts(self, sample_ids: tuple[str, ...]) -> Tensor:
        raise ValueError("a stub teacher has targets only")


def stub(shape_KBND: Sequence[int], seconds: float = 0.0) -> Load:
    """Returns a loader with which `teacher_pool` fills its replicas with stubs."""
    return partial(StubTeacher, tuple(shape_KBND), seconds)


def asked(count: int) -> list[TargetRequest]:
    """Returns distinct requests; a stub does not look at them."""
    return [TargetRequest(sample_ids=("stub",), seeds=(n,)) for n in range(count)]


def show(row: dict) -> dict:
    """Prints `row` and returns it."""
    print(
        "  ".join(f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items())
    )
    return row
