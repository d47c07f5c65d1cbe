"""A run of ``v4e train`` with the tiny family: teacher pool, a worker on this device, a loss that falls, a resume."""

import math
import tempfile
from pathlib import Path

import torch

from benchmarks.gpu.sizes import Figures, GpuSize, expect
from pipelines.stages.train import run
from tests.support.synthetic import rolled_out, stored
from v4e.files import journal
from v4e.files.uri import remove
from v4e.models.tiny import save_random
from v4e.training import checkpoint

STEPS, SAVED = 30, 20
SAME = 1e-3  # of a loss: kernels whose sums have no fixed order


def check(device: str, size: GpuSize) -> Figures:
    """First and last loss, and samples a second; the teacher is on a GPU too where there are two.

    `size` is not read: the models are the tiny family's, with random weights.
    """
    gpus = torch.cuda.device_count() if device == "cuda" else 0
    with tempfile.TemporaryDirectory() as folder:
        family = Path(folder, "family")
        save_random(family)
        config = stored(
            Path(folder, "run"),
            family,
            4,
            teacher={"gpus": 1 if gpus > 1 else 0},
            optim={"steps": STEPS, "batch": 2, "accumulate": 2, "lr": 1e-3},
            train={"checkpoint_every": SAVED, "gpus_per_worker": min(gpus, 1), "dtype": "bfloat16"},
        )
        rolled_out(config)
        checkpoints, metrics = Path(config.run.dir, "checkpoints"), Path(config.run.dir, "metrics.jsonl")
        run(config)
        records = journal.read(metrics)
        assert [record["step"] for record in records] == list(range(1, STEPS + 1)), "steps are missing"
        assert checkpoint.steps_of(checkpoints) == [SAVED, STEPS], "a checkpoint is missing"
        remove(checkpoint.path_of(checkpoints, STEPS))
        run(config)
        again = journal.read(metrics)
    losses = [record["loss"] for record in records]
    first, last = sum(losses[:5]) / 5, sum(losses[-5:]) / 5
    assert all(map(math.isfinite, losses)) and last < first, f"the loss went from {first:.3g} to {last:.3g}"
    apart = max(abs(one["loss"] / two - 1) for one, two in zip(again, losses, strict=True))
    seconds = sum(record["seconds"] for record in records[1:])
    return {
        "first loss": first,
        "last loss": last,
        "resumed against uninterrupted": expect("a resumed run's losses", apart, SAME),
        "samples/s": 4 * (STEPS - 1) / seconds,
    }
