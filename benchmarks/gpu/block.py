"""Blocks of Wan2.1-14B's width: TFLOP/s of a training step and of a teacher's forward, and their share of the peak.

FLOPs are those that torch's counter sees, recomputation included; the peak is the data sheet's (v4e/gpus.py).
"""

import time
from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu.sizes import Figures, Size, device_of, inputs_of, made
from v4e.gpus import GPUS
from v4e.models.dit import hidden_states, predict
from v4e.models.recompute import recompute_blocks

ROUNDS = 5
NAMES = {"A100": "a100", "A10G": "a10g", "L40S": "l40s", "L4": "l4"} | {name.upper(): name for name in GPUS}


def check(device: str, size: Size) -> Figures:
    """In bfloat16, by the fastest attention of recipe=wan14b_480p that works here."""
    on = device_of(device)
    attention = fastest(size, on)
    student = made(size, "bfloat16", on, attention).train()
    recompute_blocks(student, "full")
    inputs, taps = inputs_of(size, "bfloat16", on), (size.blocks - 1,)

    def step() -> None:
        predict(student, *inputs)[0].float().square().mean().backward()

    figures: Figures = {"attention": attention, "tokens": size.tokens, "training TFLOP/s": rate(step, on)}
    if on.type == "cuda":
        figures["training GiB"] = torch.cuda.max_memory_allocated() / 2**30
    student.zero_grad(set_to_none=True)
    student.eval().requires_grad_(False)

    @torch.inference_mode()
    def target() -> None:
        hidden_states(student, *inputs, taps=taps)

    figures["teacher TFLOP/s"] = rate(target, on)
    if name := sheet() if on.type == "cuda" else "":
        figures["data sheet"] = name
        for what in ("training", "teacher"):
            figures[f"{what} MFU"] = float(figures[f"{what} TFLOP/s"]) / GPUS[name].tflops
    return figures


def fastest(size: Size, device: torch.device) -> str:
    """flash where it is installed, else native."""
    try:
        made(size, "bfloat16", device, "flash")
    except (ImportError, RuntimeError, ValueError):
        return "native"
    return "flash"


def rate(work: Callable[[], None], device: torch.device) -> float:
    """TFLOP/s of the fastest of some calls, after one that is counted."""
    with FlopCounterMode(display=False) as counter:
        work()
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return counter.get_total_flops() / min(times) / 1e12


def sheet() -> str:
    """The GPU's name in v4e/gpus.py, "" if it is not there."""
    found = torch.cuda.get_device_name(0).upper()
    return next((ours for name, ours in NAMES.items() if name in found.replace("-", " ").split()), "")
