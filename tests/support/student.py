"""A student of the tiny family, and batches of random samples for its steps."""

import torch

from tests.support.synthetic import config, rollout, sample
from v4e.config import Config
from v4e.models import tiny
from v4e.training.student import Batch, StudentTrainer
from v4e.types import TeacherTarget

CPU = torch.device("cpu")


def make_dit(seed: int = 0):
    torch.manual_seed(seed)
    return tiny.build_dit()


def make_batch(step: int, forward: int) -> Batch:
    numbers = (10 * step + 2 * forward, 10 * step + 2 * forward + 1)
    generator = torch.Generator().manual_seed(step * 100 + forward)
    return Batch(
        samples=tuple(sample(n) for n in numbers),
        seeds=tuple(n + 7 for n in numbers),
        z_clip_BCFHW=torch.stack([rollout(n) for n in numbers]),
        target=TeacherTarget(taps_KBND=torch.randn(3, 2, 32, 160, generator=generator).bfloat16()),
    )


def make_trainer(settings: Config | None = None) -> StudentTrainer:
    return StudentTrainer(settings or config(), make_dit(), device=CPU)


def run(trainer: StudentTrainer, steps: range) -> list[dict[str, float]]:
    return [trainer.step(make_batch(step, forward) for forward in range(2)) for step in steps]
