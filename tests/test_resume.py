"""Exact resume: whatever is killed whenever, the losses are those of a run that was left alone."""

import json
import math
import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from object_store import BUCKET, ObjectStore, object_store
from processes import finish, start
from synthetic import config, rolled_out, stored
from test_student import CPU, make_batch, make_dit, make_trainer
from torch.distributed.device_mesh import init_device_mesh

from v4e import checkpoint, journal
from v4e.config import Config
from v4e.io import join
from v4e.recipes import parse
from v4e.student import Batch, StudentTrainer


@pytest.fixture(scope="module")
def s3():
    with object_store() as store:
        yield store


def until(ready: Callable[[], bool], process=None) -> None:
    """Polls; fails if `process` ends meanwhile."""
    while not ready():
        assert process is None or process.is_alive(), "it ended"
        time.sleep(0.01)


# Saving beside the training, without Ray


def train(settings: Config, trainer: StudentTrainer, batches: Callable[[int], list[Batch]], stop: int = 8) -> None:
    """What actors/student_worker.py does, on batches made up here, up to step `stop`."""
    first = not dist.is_initialized() or dist.get_rank() == 0
    checkpoints, metrics_uri = join(settings.run.dir, "checkpoints"), join(settings.run.dir, "metrics.jsonl")
    metrics_path = journal.working_copy(metrics_uri)
    saver = checkpoint.Saver(checkpoints, settings, lambda: journal.publish(metrics_path, metrics_uri))
    if done := saver.newest():
        state = trainer.state_dict()
        checkpoint.load(checkpoints, done, state)
        trainer.load_state_dict(state)
    if first:
        journal.rewind(metrics_path, trainer.step_count)
    for step in range(trainer.step_count + 1, stop + 1):
        record: journal.Record = {"step": step, **trainer.step(batches(step))}
        if first:
            journal.append(metrics_path, record)
            journal.append(Path(settings.data.store), record)  # what a test sees of a run on S3 between checkpoints
        if saver.due(step):
            saver.save(step, trainer.state_dict())
    saver.wait()


def alone(settings: Config, stop: int = 8) -> None:
    torch.set_num_threads(1)
    train(settings, make_trainer(settings), lambda step: [make_batch(step, forward) for forward in range(2)], stop)


def settings_of(run_dir: str, seen: Path, **train: object) -> Config:
    return config(run={"dir": run_dir}, data={"store": str(seen)}, train=train, optim={"steps": 8})


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> list[journal.Record]:
    """Records of eight steps that nothing disturbed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    alone(settings_of(str(folder), folder / "seen"))
    return journal.read(folder / "metrics.jsonl")


@pytest.mark.slow
def test_training_goes_on_while_a_checkpoint_is_written_and_a_kill_leaves_the_one_before(s3, tmp_path, expected):
    seen = tmp_path / "seen"
    settings = settings_of(f"{BUCKET}/alone", seen, keep=1)
    folder = join(settings.run.dir, "checkpoints")
    s3.hold("step-000004/__0_0.distcp")
    process = multiprocessing.get_context("spawn").Process(target=alone, args=(settings,))
    process.start()
    until(lambda: len(journal.read(seen)) == 6, process)  # it trained two steps while step 4 was being written
    assert s3.reached.is_set()
    assert not any("step-000006" in path for path in s3.uploads)  # which waits for step 4
    process.kill()
    process.join()
    s3.release()
    assert checkpoint.steps_of(folder) == [2]
    assert len(journal.read(join(settings.run.dir, "metrics.jsonl"))) >= 2  # not behind it; ahead is rewound
    alone(settings)
    assert checkpoint.steps_of(folder) == [8]
    assert journal.read(join(settings.run.dir, "metrics.jsonl")) == expected


def rank_main(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    settings = settings_of(folder, Path(folder, "seen"), workers=2)

    def together(name: str, stop: int) -> None:
        dist.init_process_group("gloo", init_method=f"file://{folder}/{name}", rank=rank, world_size=2)
        trainer = StudentTrainer(settings, make_dit(), device=CPU, mesh=init_device_mesh("cpu", (2,)))
        train(settings, trainer, lambda step: [make_batch(step, rank)], stop)
        dist.destroy_process_group()

    together("two", stop=2)
    if rank == 0:
        alone(settings, stop=4)
    together("two-again", stop=8)  # rank 1 waits here meanwhile

    dist.init_process_group("gloo", init_method=f"file://{folder}/clocks", rank=rank, world_size=2)
    for minutes, rank_that_is_late in ((1e-9, 1), (1.0, 0)):  # only rank 0's clock counts
        saver = checkpoint.Saver(f"{folder}/none", config(train={"checkpoint_every": 0, "checkpoint_minutes": minutes}))
        saver.since = math.inf if rank != rank_that_is_late else -math.inf
        assert saver.due(1) == (rank_that_is_late == 0)
        assert saver.due(6)  # the last
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_workers_one_and_two_again_train_the_same_steps(tmp_path, expected):
    mp.spawn(rank_main, args=(str(tmp_path),), nprocs=2)
    assert checkpoint.steps_of(tmp_path / "checkpoints") == [6, 8]
    records = journal.read(tmp_path / "metrics.jsonl")
    for ours, theirs in zip(records, expected, strict=True):
        assert ours == pytest.approx(theirs, rel=2e-3)
