"""A run of pipelines/train.py with the tiny family: teacher pool, a worker on this device, a loss that falls."""

import math
import tempfile
from pathlib import Path

import ray
import torch

from benchmarks.gpu.sizes import Figures, GpuSize
from pipelines.stages.train import run
from tests.support.synthetic import rolled_out, stored
from v4e.files import journal
from v4e.models.tiny import save_random
from v4e.training import checkpoint

STEPS = 30


def check(device: str, size: GpuSize) -> Figures:
    """First and last loss, and samples a second; the teacher is on a GPU too where there are two."""
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
            train={"checkpoint_every": STEPS, "gpus_per_worker": min(gpus, 1), "dtype": "bfloat16"},
        )
        rolled_out(config)
        run(config)
        ray.shutdown()
        records = journal.read(Path(config.run.dir, "metrics.jsonl"))
        assert [record["step"] for record in records] == list(range(1, STEPS + 1)), "steps are missing"
        assert checkpoint.steps_of(Path(config.run.dir, "checkpoints")) == [STEPS], "the checkpoint is missing"
    losses = [record["loss"] for record in records]
    first, last = sum(losses[:5]) / 5, sum(losses[-5:]) / 5
    assert all(map(math.isfinite, losses)) and last < first, f"the loss went from {first:.3g} to {last:.3g}"
    seconds = sum(record["seconds"] for record in records[1:])
    return {"first loss": first, "last loss": last, "samples/s": 4 * (STEPS - 1) / seconds}
