"""Training runs of the tiny family with random weights, on one store of random samples."""

from pathlib import Path

from ray.train import ScalingConfig
from ray.train.torch import TorchTrainer

from actors.student.worker import train_student
from tests.support.synthetic import rolled_out, stored
from v4e.config import parse
from v4e.data.store.ids import training_ids
from v4e.files import journal
from v4e.files.uri import join

NAMES = ("loss", "kd", "tail", "flow", "grad_norm")
Losses = list[tuple[float, ...]]


def prepare(folder: Path, family: Path) -> Path:
    """Writes a store of five samples with rollouts into `folder`, beside a link to their `family`; returns `folder`."""
    (folder / "family").symlink_to(family)
    rolled_out(stored(folder / "shared", family, 5))
    return folder


def arguments(run_dir: str | Path, place: Path, *more: str) -> list[str]:
    """The command line of a run in `run_dir` on the store in `place`; `more` are further settings."""
    return [
        "recipe=tiny",
        "tail.context=source",  # as the synthetic store
        f"run.dir={run_dir}",
        f"data.store={place / 'shared' / 'store'}",
        f"models.student={place / 'family' / 'tiny-wan-i2v'}",
        f"models.teacher={place / 'family' / 'tiny-wan-flf2v'}",
        *more,
    ]


def losses(run_dir: str | Path, steps: int) -> Losses:
    """The losses and gradient norm of each of `steps` steps, which must be all on record, each once."""
    records = journal.read(join(str(run_dir), "metrics.jsonl"))
    assert [record["step"] for record in records] == list(range(1, steps + 1))
    return [tuple(record[name] for name in NAMES if name in record) for record in records]


def run_here(command: list[str]) -> None:
    """Trains without a teacher on one worker, which is this process: Ray Train's local mode needs no cluster."""
    settings = parse(command)
    loop = {"config": settings, "ids": tuple(training_ids(settings)), "pool": None}
    TorchTrainer(train_student, train_loop_config=loop, scaling_config=ScalingConfig(num_workers=0)).fit()
