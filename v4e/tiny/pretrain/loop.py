"""The parts that pretraining's stages share: data-parallel processes, a schedule, checkpoints that survive a kill."""

import math
import os
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from v4e.files.uri import unfinished
from v4e.training.ema import warmed_up

_MOMENTS = (("m", "exp_avg"), ("v", "exp_avg_sq"))


def spawn(stage: Callable, workers: int, *args) -> None:
    """Run ``stage(rank, workers, *args)`` in `workers` processes of one thread each, joined by gloo."""
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    os.environ["MASTER_PORT"] = str(20000 + os.getpid() % 20000)
    mp.spawn(_entry, args=(workers, stage, args), nprocs=workers, daemon=True)  # who ends, ends them


def _entry(rank: int, workers: int, stage: Callable, args: tuple) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=workers)
    stage(rank, workers, *args)
    dist.destroy_process_group()


def average_gradients(params: list[nn.Parameter]) -> None:
    """One all-reduce of all gradients."""
    if dist.get_world_size() == 1:
        return
    flat = torch.cat([p.grad.flatten() for p in params if p.grad is not None])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    offset = 0
    for p in params:
        if p.grad is not None:
            p.grad.copy_(flat[offset : offset + p.numel()].view_as(p))
            offset += p.numel()


def cosine(step: int, steps: int, warmup: int = 100, floor: float = 0.02) -> float:
    """Factor on the learning rate."""
    if step < warmup:
        return (step + 1) / warmup
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, steps - warmup))))


@torch.no_grad()
def average(ema: dict[str, torch.Tensor], module: nn.Module, decay: float, step: int) -> None:
    """Moves `ema` towards the state of `module` after `step` updates, buffers and tied names included.

    ``training.ema.EMA`` averages trainable parameters alone, which is not all that a stage leaves behind.
    """
    torch._foreach_lerp_(list(ema.values()), list(module.state_dict().values()), 1 - warmed_up(decay, step))


def save(path: Path, module: nn.Module, ema: dict[str, torch.Tensor], moments: dict[str, torch.Tensor], step: int):
    """Model, EMA and the optimizer's moments in one safetensors file, atomically."""
    tensors = {f"model/{k}": v for k, v in module.state_dict().items()}
    tensors |= {f"ema/{k}": v for k, v in ema.items()} | moments
    # clones, because UMT5 ties two names to one tensor and safetensors refuses shared memory
    with unfinished(path) as own:
        save_file({k: v.detach().clone() for k, v in tensors.items()}, own, metadata={"step": str(step)})


def resume(path: Path, module: nn.Module, ema: dict[str, torch.Tensor], load_moments: Callable) -> int:
    """Load what `save` wrote, handing ``load_moments(tensors, step)`` all of it; returns the steps already done.

    0 without a checkpoint.
    """
    if not path.exists():
        return 0
    with safe_open(path, "pt") as f:
        step = int(f.metadata()["step"])
    tensors = load_file(path)
    module.load_state_dict({k[6:]: v for k, v in tensors.items() if k.startswith("model/")})
    for k in ema:
        ema[k].copy_(tensors[f"ema/{k}"])
    load_moments(tensors, step)
    return step


def adam_moments(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """AdamW's moments by the parameters' positions."""
    states = [optimizer.state.get(p) for p in optimizer.param_groups[0]["params"]]
    return {f"{short}/{i}": s[long] for i, s in enumerate(states) if s for short, long in _MOMENTS}


def load_adam_moments(optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor], step: int) -> None:
    for i, p in enumerate(optimizer.param_groups[0]["params"]):
        if f"m/{i}" in tensors:
            moments = {long: tensors[f"{short}/{i}"] for short, long in _MOMENTS}
            optimizer.state[p] = {"step": torch.tensor(float(step)), **moments}


class PretrainMeter:
    """Prints a line every `every` steps on rank 0: step, means of the metrics, samples/s, minutes spent and left."""

    def __init__(self, name: str, steps: int, every: int, samples_per_step: int, log: Path):
        self.name, self.steps, self.every, self.per_step, self.log = name, steps, every, samples_per_step, log
        self.sums: dict[str, float] = {}
        self.count, self.begun = 0, time.monotonic()
        self.since = self.begun

    def __call__(self, step: int, **metrics: float | torch.Tensor) -> None:
        for k, v in metrics.items():
            self.sums[k] = self.sums.get(k, 0.0) + float(v)
        self.count += 1
        if step % self.every and step != self.steps:
            return
        seconds = time.monotonic() - self.since
        rate = self.count * self.per_step / seconds
        left = (self.steps - step) * self.per_step / rate / 60
        spent = (time.monotonic() - self.begun) / 60
        means = " ".join(f"{k} {v / self.count:.4f}" for k, v in self.sums.items())
        line = f"{self.name} {step}/{self.steps} {means} | {rate:.0f} samples/s, {spent:.1f} min, {left:.1f} min left"
        print(line, flush=True)
        with self.log.open("a") as f:
            f.write(line + "\n")
        self.sums, self.count, self.since = {}, 0, time.monotonic()
