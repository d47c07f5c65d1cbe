"""Blocks of Wan2.1-14B's width: TFLOP/s of a training step and of a teacher's forward, and their share of the peak.

FLOPs are those that torch's counter sees of the same work on the meta device, where it knows every operation. The
peak is the data sheet's (v4e/planning/gpus.py). TFLOP/s count what is computed a second time in the backward, like
plan.train_tflops; MFU does not.
"""

from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu.sizes import Figures, GpuSize, device_of, inputs_of, made, seconds_of
from v4e.models.dit import hidden_states, predict
from v4e.models.recompute import Recompute, recompute_blocks
from v4e.planning.gpus import GPUS

META = torch.device("meta")
NAMES = {"A100": "a100", "A10G": "a10g", "L40S": "l40s", "L4": "l4"} | {name.upper(): name for name in GPUS}
Call = Callable[[], object]


def check(device: str, size: GpuSize) -> Figures:
    """Runs in bfloat16, by the fastest attention of recipe=wan14b_480p that works here."""
    on = device_of(device)
    attention = fastest(size, on)
    step_flops, target_flops = (flops_of(work) for work in works(size, META, "native", "full"))
    lean_flops = flops_of(works(size, META, "native", "none")[0])
    step_s, target_s = (seconds_of(work, on) for work in works(size, on, attention, "full"))
    figures: Figures = {"attention": attention, "tokens": size.tokens}
    figures |= {"training TFLOP/s": step_flops / step_s / 1e12, "teacher TFLOP/s": target_flops / target_s / 1e12}
    if on.type == "cuda":
        figures["GiB"] = torch.cuda.max_memory_allocated() / 2**30
        if name := sheet():
            peak = 1e12 * GPUS[name].tflops
            figures |= {"data sheet": name, "teacher MFU": target_flops / target_s / peak}
            figures["training MFU"] = lean_flops / step_s / peak
    return figures


def works(size: GpuSize, device: torch.device, attention: str, recompute: Recompute) -> tuple[Call, Call]:
    """A student's forward and backward, and a teacher's forward to the last block; neither optimizer nor exchange."""
    student, teacher = (made(size, "bfloat16", device, attention) for _ in range(2))
    recompute_blocks(student.train(), recompute)
    teacher.eval().requires_grad_(False)
    inputs, taps = inputs_of(size, "bfloat16", device), (size.blocks - 1,)

    def step() -> None:
        predict(student, *inputs)[0].float().square().mean().backward()

    @torch.inference_mode()
    def target() -> None:
        hidden_states(teacher, *inputs, taps=taps)

    return step, target


def fastest(size: GpuSize, device: torch.device) -> str:
    """flash where it is installed, else native."""
    try:
        made(size, "bfloat16", device, "flash")
    except (ImportError, RuntimeError, ValueError):
        return "native"
    return "flash"


def flops_of(work: Call) -> int:
    """Returns the FLOPs of one call."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def sheet() -> str:
    """The GPU's name in v4e/planning/gpus.py, "" if it is not there."""
    found = torch.cuda.get_device_name(0).upper()
    return next((ours for name, ours in NAMES.items() if name in found.replace("-", " ").split()), "")
