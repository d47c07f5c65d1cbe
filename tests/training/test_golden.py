"""The golden run: twelve steps of the committed tiny student whose numbers are committed too.

It sees a refactoring that changes what is computed. Samples and rollouts come from seeded CPU generators and the
committed teacher answers in this very process: no Ray, no store. When a change of the numbers is meant,
`python -m tests.training.test_golden` renews tests/training/golden.json; say in the commit why they changed.
"""

import json
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from diffusers import WanTransformer3DModel

from tests.support.synthetic import config, rollout, sample
from v4e.config import Config
from v4e.method.inputs import noised, teacher_inputs
from v4e.models.dit import hidden_states
from v4e.training.student import Batch, StudentTrainer
from v4e.types import TeacherTarget
from v4e.weights.load import load_dit

ASSETS = Path(__file__).resolve().parent.parent.parent / "v4e/assets"
GOLDEN = Path(__file__).with_name("golden.json")
STEPS = 12
NAMES = ("loss", "kd", "tail", "grad_norm", "lr")
# Relative. Other CPUs sum in another order: with SSE4.2 or AVX2 kernels in place of AVX-512's this run is within 1e-6.
TOLERANCE = 1e-4


def settings() -> Config:
    return config(
        models={"student": str(ASSETS / "tiny-wan-i2v"), "teacher": str(ASSETS / "tiny-wan-flf2v")},
        optim={"steps": STEPS, "batch": 2, "accumulate": 2, "lr": 3e-4, "warmup": 0.25},
    )


def load(folder: str, run: Config) -> WanTransformer3DModel:
    return load_dit(folder, torch.float32, run.models.attention, run.models.fold_pad)


@torch.no_grad()
def batch(step: int, forward: int, teacher: WanTransformer3DModel, run: Config) -> Batch:
    """Two samples that no other batch has, and the teacher's states at their noise."""
    seeds = (4 * step + 2 * forward, 4 * step + 2 * forward + 1)
    samples = tuple(sample(seed) for seed in seeds)
    z_clip_BCFHW = torch.stack([rollout(seed) for seed in seeds])
    noise = noised(seeds, z_clip_BCFHW, run.flow.shift)
    inputs = teacher_inputs(samples, run.teacher.text, z_clip_BCFHW.device, torch.float32)
    taps_KBND = hidden_states(teacher, noise.x_t_BCFHW, noise.t_B, inputs, taps=run.kd.taps)
    return Batch(samples=samples, seeds=seeds, z_clip_BCFHW=z_clip_BCFHW, target=TeacherTarget(taps_KBND=taps_KBND))


def golden_run() -> list[dict[str, float]]:
    """The metrics of each step, on one thread, and last how far the weights and their average have come."""
    torch.set_num_threads(1)
    run = settings()
    teacher = load(run.models.teacher, run)
    trainer = StudentTrainer(run, load(run.models.student, run), device=torch.device("cpu"))
    start = flat(trainer.parameters)
    metrics = [trainer.step(batch(step, forward, teacher, run) for forward in range(2)) for step in range(STEPS)]
    moved = {"weights": flat(trainer.parameters) - start, "ema": flat(trainer.ema.shadow.values()) - start}
    return [{name: step[name] for name in NAMES} for step in metrics] + [{k: v.norm().item() for k, v in moved.items()}]


def flat(tensors: Iterable[torch.Tensor]) -> torch.Tensor:
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


@pytest.mark.slow
def test_the_golden_run_gives_the_committed_numbers():
    for row, (ours, golden) in enumerate(zip(golden_run(), json.loads(GOLDEN.read_text()), strict=True)):
        for name, value in golden.items():
            assert ours[name] == pytest.approx(value, rel=TOLERANCE), (row, name)


if __name__ == "__main__":
    GOLDEN.write_text("[\n" + ",\n".join(json.dumps(row) for row in golden_run()) + "\n]\n")
    print(f"wrote {GOLDEN}")
