"""The training loop in this process: it saves and ends on request, and makes no checkpoint of a skipped step."""

import math

import pytest
from ray.train import ScalingConfig
from ray.train.torch import TorchTrainer

from actors.student import notice
from actors.student.worker import train_student
from tests.support import runs
from v4e.config import parse
from v4e.data.store.ids import training_ids
from v4e.files import journal
from v4e.training.steps import steps_of
from v4e.training.student import StudentTrainer


def train(command: list[str], stop: str = "") -> None:
    """Trains without a cluster, as :func:`tests.support.runs.run_here`, with a file that asks for the end."""
    settings = parse(command)
    loop = {"config": settings, "ids": tuple(training_ids(settings)), "pool": None, "stop": stop}
    TorchTrainer(train_student, train_loop_config=loop, scaling_config=ScalingConfig(num_workers=0)).fit()


@pytest.mark.slow
def test_a_run_saves_and_ends_on_request_and_skipped_steps_get_no_checkpoint(tmp_path, random_family, monkeypatch):
    place, folder, stop = runs.prepare(tmp_path, random_family), tmp_path / "run", tmp_path / "stop"
    objective = ("kd.weight=0", "flow.weight=1", "tail.weight=0", "optim.steps=6", "optim.batch=2", "watch.tracker=")
    command = runs.arguments(
        folder, place, *objective, "train.checkpoint_every=2", "train.keep=9", "optim.accumulate=1"
    )
    command.append("watch.samples_every=0")
    monkeypatch.setattr(notice, "EVERY_S", 0.0)  # a look after every step
    step = StudentTrainer.step

    def skips_the_second(trainer: StudentTrainer, batches) -> dict[str, float]:
        metrics = step(trainer, batches)
        if trainer.step_count == 5:
            stop.write_text("")
        return metrics | ({"loss": math.nan, "skipped": 1} if trainer.step_count == 2 else {})

    monkeypatch.setattr(StudentTrainer, "step", skips_the_second)
    train(command, str(stop))
    assert steps_of(folder / "checkpoints") == [3, 4, 5]  # that of step 2 waited, that of step 5 was asked for
    records = journal.read(folder / "metrics.jsonl")
    assert len(records) == 5 and math.isnan(records[1]["loss"])
    stop.unlink()
    train(command, str(stop))
    assert steps_of(folder / "checkpoints") == [3, 4, 5, 6]
    assert [record["step"] for record in journal.read(folder / "metrics.jsonl")] == [1, 2, 3, 4, 5, 6]
