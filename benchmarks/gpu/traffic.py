"""GB/s between a GPU, host memory and disks: AdamW's moments, checkpoints, targets."""

import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.gpu.sizes import Figures, GpuSize, device_of, expect, seconds_of
from v4e.config import Optim
from v4e.training import checkpoint
from v4e.training.optimizer import MOMENTS, build_optimizer
from v4e.training.student import State

PIECES = 16  # tensors that make up what is moved
GB = 1e9


def check(device: str, size: GpuSize) -> Figures:
    """Rates of pieces of ``size.mib`` in all; of a checkpoint four times as much."""
    on = device_of(device)
    return moments(on, size.mib) | checkpoints(on, 4 * size.mib) | targets(on, max(1, size.mib // 8))


def pieces(mib: int, device: torch.device) -> list[Tensor]:
    return [torch.randn(mib * 2**20 // 4 // PIECES, device=device) for _ in range(PIECES)]


def moments(device: torch.device, mib: int) -> Figures:
    """AdamW's step with moments in host memory: the same numbers, and GB/s over the bus, both ways together."""
    steps = {}
    weights = {}
    for offload in (False, True):
        torch.manual_seed(0)
        parameters = [nn.Parameter(piece) for piece in pieces(mib, device)]
        optimizer = build_optimizer(parameters, Optim(), offload=offload)
        for parameter in parameters:
            parameter.grad = parameter.detach().sin()
        steps[offload] = seconds_of(optimizer.step, device, rounds=3)
        weights[offload] = parameters
        del optimizer
    same = all(torch.equal(*pair) for pair in zip(weights[False], weights[True], strict=True))
    assert same, "AdamW with moments in host memory computes other numbers than AdamW"
    moved = 2 * len(MOMENTS) * mib * 2**20
    return {"AdamW ms": 1e3 * steps[False], "with moments in host memory ms": 1e3 * steps[True]} | {
        "moments GB/s": moved / steps[True] / GB
    }


def checkpoints(device: torch.device, mib: int) -> Figures:
    """A rank's checkpoint: GB/s of writing it, the copy to host memory included, and of reading it back."""
    model = {f"weight {n}": piece for n, piece in enumerate(pieces(mib, device))}
    state = State(model=model, ema={}, optimizer={}, step=torch.tensor(1))
    before = {name: piece.clone() for name, piece in model.items()}
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        checkpoint.save(Path(folder), 1, state, keep=1)
        written = time.perf_counter() - start
        for piece in model.values():
            piece.zero_()
        start = time.perf_counter()
        checkpoint.load(Path(folder), 1, state)
        read = time.perf_counter() - start
    assert all(torch.equal(model[name], piece) for name, piece in before.items()), "a checkpoint came back changed"
    size = mib * 2**20 / GB
    return {"checkpoint written GB/s": size / written, "checkpoint read GB/s": size / read}


def targets(device: torch.device, mib: int) -> Figures:
    """A target's way from a GPU to host memory and to another GPU: pageable memory, and pinned."""
    figures: Figures = {}
    there = torch.randn(mib * 2**20 // 2, device=device).bfloat16()
    back = torch.empty_like(there)
    for pinned in (False, True) if device.type == "cuda" else (False,):
        here = torch.empty(there.shape, dtype=there.dtype, pin_memory=pinned)
        name = "pinned" if pinned else "pageable"
        for way, into, value in (("to host", here, there), ("to device", back, here)):
            seconds = seconds_of(lambda into=into, value=value: into.copy_(value, non_blocking=True), device)
            figures[f"target {way}, {name} GB/s"] = there.nbytes / seconds / GB
        expect("the change of a target on its way", float(not torch.equal(there, back)), 0)
    return figures
