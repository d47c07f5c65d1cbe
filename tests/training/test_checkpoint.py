"""Checkpoints: exact, atomic, retained."""

import shutil
from concurrent.futures import Future
from pathlib import Path

import pytest
from torch.distributed.checkpoint.api import CheckpointException

from tests.support.student import make_batch, make_trainer, run
from tests.support.synthetic import config
from v4e.training import checkpoint
from v4e.training.student import StudentTrainer


def loaded(folder: Path, step: int) -> StudentTrainer:
    trainer = make_trainer()
    state = trainer.state_dict()
    checkpoint.load(folder, step, state)
    trainer.load_state_dict(state)
    return trainer


@pytest.mark.slow
def test_resume_from_a_checkpoint_equals_going_on(tmp_path):
    whole = make_trainer()
    run(whole, range(2))
    checkpoint.save(tmp_path, 2, whole.state_dict(), keep=2)
    expected = run(whole, range(2, 4))
    assert run(loaded(tmp_path, 2), range(2, 4)) == expected


@pytest.mark.slow
def test_the_newest_are_kept_and_a_torn_one_does_not_count(tmp_path):
    trainer = make_trainer()
    for step in range(1, 4):
        trainer.step([make_batch(step, forward) for forward in range(2)])
        checkpoint.save(tmp_path, step, trainer.state_dict(), keep=2)
    shutil.copytree(tmp_path / "step-000003", tmp_path / "step-000005")
    (tmp_path / "step-000005" / ".metadata").unlink()
    assert checkpoint.steps_of(tmp_path) == [2, 3]
    assert loaded(tmp_path, 2).step_count == 2
    trainer.step([make_batch(4, forward) for forward in range(2)])
    checkpoint.save(tmp_path, 4, trainer.state_dict(), keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000003", "step-000004"]


@pytest.mark.slow
def test_a_crash_while_saving_leaves_the_previous_one(tmp_path):
    trainer = make_trainer()
    run(trainer, range(1))
    checkpoint.save(tmp_path, 1, trainer.state_dict(), keep=1)
    saver = checkpoint.Saver(str(tmp_path), config())
    state = trainer.state_dict()
    state["optimizer"]["bad"] = Unwritable()
    saver.save(2, state)
    with pytest.raises(CheckpointException):
        saver.save(3, trainer.state_dict())
    assert checkpoint.steps_of(tmp_path) == [1]
    assert loaded(tmp_path, 1).step_count == 1


def test_by_the_clock_a_checkpoint_waits_until_the_one_before_is_written(tmp_path):
    saver = checkpoint.Saver(str(tmp_path), config(train={"checkpoint_every": 0, "checkpoint_minutes": 1e-9}))
    assert saver.due(1)
    saver.saving = Future()
    assert not saver.due(1)
    assert saver.due(6)  # the last does not wait to be due
    saver.saving.set_result(None)
    assert saver.due(1)


class Unwritable:
    """An entry that breaks the writer half way."""

    def __deepcopy__(self, memo: dict):
        return self

    def __reduce__(self):
        raise RuntimeError("unwritable")
