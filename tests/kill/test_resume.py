"""Exact resume: whatever is killed whenever, the losses are those of a run that was left alone."""

import math
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh

from benchmarks.support.nodes import Nodes
from tests.support import ranks, runs
from tests.support.object_store import BUCKET, object_store
from tests.support.processes import finish, kill_once, start
from tests.support.student import CPU, make_batch, make_dit, make_trainer
from tests.support.synthetic import config
from tests.support.wait import until
from v4e.config import Config, parse
from v4e.files import journal
from v4e.files.uri import join
from v4e.training import checkpoint
from v4e.training.student import Batch, StudentTrainer

STEPS = 6  # a checkpoint is made after every second


@pytest.fixture(scope="module")
def s3():
    with object_store() as store:
        yield store


# Saving beside the training, without Ray


def train(settings: Config, trainer: StudentTrainer, batches: Callable[[int], list[Batch]], stop: int = STEPS) -> None:
    """What actors/student/worker.py does, on batches made up here, up to step `stop`."""
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


def alone(settings: Config, stop: int = STEPS) -> None:
    train(settings, make_trainer(settings), lambda step: [make_batch(step, forward) for forward in range(2)], stop)


def settings_of(run_dir: str, seen: Path, **train: object) -> Config:
    return config(run={"dir": run_dir}, data={"store": str(seen)}, train=train, optim={"steps": STEPS})


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> list[journal.Record]:
    """Records of STEPS steps that nothing disturbed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    alone(settings_of(str(folder), folder / "seen"))
    return journal.read(folder / "metrics.jsonl")


@pytest.mark.slow
def test_training_goes_on_while_a_checkpoint_is_written_and_a_kill_leaves_the_one_before(s3, tmp_path, expected):
    seen = tmp_path / "seen"
    settings = settings_of(f"{BUCKET}/alone", seen, keep=1)
    folder = join(settings.run.dir, "checkpoints")
    s3.hold("step-000004/__0_0.distcp")
    process = ranks.start(alone, settings)
    until(lambda: len(journal.read(seen)) == 6 and s3.reached.is_set(), while_alive=process)  # while 4 is written
    assert not any("step-000006" in path for path in s3.uploads)  # which waits for step 4
    process.kill()
    process.join()
    s3.release()
    assert checkpoint.steps_of(folder) == [2]
    assert len(journal.read(join(settings.run.dir, "metrics.jsonl"))) >= 2  # not behind it; ahead is rewound
    alone(settings)
    assert checkpoint.steps_of(folder) == [STEPS]
    assert journal.read(join(settings.run.dir, "metrics.jsonl")) == expected


def rank_main(rank: int, folder: str) -> None:
    settings = settings_of(folder, Path(folder, "seen"), workers=2)

    def together(name: str, stop: int) -> None:
        dist.init_process_group("gloo", init_method=f"file://{folder}/{name}", rank=rank, world_size=2)
        trainer = StudentTrainer(settings, make_dit(), device=CPU, mesh=init_device_mesh("cpu", (2,)))
        train(settings, trainer, lambda step: [make_batch(step, rank)], stop)
        dist.destroy_process_group()

    together("two", stop=2)
    if rank == 0:
        alone(settings, stop=4)
    together("two-again", stop=STEPS)  # rank 1 waits here meanwhile

    dist.init_process_group("gloo", init_method=f"file://{folder}/clocks", rank=rank, world_size=2)
    for minutes, rank_that_is_late in ((1e-9, 1), (1.0, 0)):  # only rank 0's clock counts
        saver = checkpoint.Saver(f"{folder}/none", config(train={"checkpoint_every": 0, "checkpoint_minutes": minutes}))
        saver.since = math.inf if rank != rank_that_is_late else -math.inf
        assert saver.due(1) == (rank_that_is_late == 0)
        assert saver.due(6)  # the last
    dist.destroy_process_group()


@pytest.mark.long
@pytest.mark.slow
def test_two_workers_one_and_two_again_train_the_same_steps(tmp_path, expected):
    ranks.run(rank_main, 2, str(tmp_path))
    assert checkpoint.steps_of(tmp_path / "checkpoints") == [4, STEPS]
    records = journal.read(tmp_path / "metrics.jsonl")
    for ours, theirs in zip(records, expected, strict=True):
        assert ours == pytest.approx(theirs, rel=2e-3)


# Whole runs


def arguments(run_dir: str | Path, place: Path, *more: str) -> list[str]:
    """A run without a teacher, whose faults are tests/kill/test_faults.py's."""
    objective = ("kd.weight=0", "flow.weight=1", "optim.steps=10", "optim.batch=2", "optim.accumulate=2")
    # A tracker of a run on an object store writes below the working folder.
    return runs.arguments(run_dir, place, *objective, "train.checkpoint_every=2", "watch.tracker=", *more)


def losses(run_dir: str | Path) -> runs.Losses:
    return runs.losses(run_dir, 10)


@pytest.fixture(scope="module")
def place(tmp_path_factory, random_family) -> Path:
    return runs.prepare(tmp_path_factory.mktemp("runs"), random_family)


@pytest.fixture(scope="module")
def undisturbed(place) -> runs.Losses:
    runs.run_here(arguments(place / "undisturbed", place))
    return losses(place / "undisturbed")


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.ray
def test_a_killed_worker_changes_nothing(cluster, place):
    from pipelines.stages.train import run

    undisturbed, folder = place / "two-workers", place / "worker-killed"
    run(parse(arguments(undisturbed, place, "train.workers=2")))
    killed = []

    def kill_after_five_steps() -> None:
        until(lambda: len(journal.read(folder / "metrics.jsonl")) >= 5)
        processes = psutil.Process().children(recursive=True)
        killed.extend(p for p in processes if p.cmdline() and p.cmdline()[0].startswith("ray::RayTrainWorker"))
        killed[-1].kill()

    threading.Thread(target=kill_after_five_steps, daemon=True).start()
    run(parse(arguments(folder, place, "train.workers=2")))
    assert len(killed) == 2
    assert losses(folder) == losses(undisturbed)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.ray
def test_a_run_on_an_object_store_whose_driver_is_killed_while_saving(s3, place, undisturbed):
    run_dir = f"{BUCKET}/driver-killed"
    s3.hold("driver-killed/checkpoints/step-000006/__0_0.distcp")
    process = start("train.py", arguments(run_dir, place), own_ray=True)  # whose workers know of the object store
    kill_once(process, s3.reached.is_set)
    s3.release()
    assert checkpoint.steps_of(join(run_dir, "checkpoints"))[-1] == 4
    output = finish(start("train.py", arguments(run_dir, place), own_ray=True))
    assert "step 10/10" in output
    assert losses(run_dir) == undisturbed
    assert checkpoint.steps_of(join(run_dir, "checkpoints")) == [8, 10]


def resized(place: Path) -> tuple[list[int], runs.Losses]:
    """Numbers of workers, and losses, of a run that loses a node while saving and gets another one later."""
    from actors.student import launch
    from pipelines.stages import train

    def workers() -> int:
        return len(nodes.processes("RayTrainWorker"))

    launch.RESIZE_S = 1.0
    with object_store() as store:
        nodes = Nodes(2, cpus=1)
        run_dir = f"{BUCKET}/resized"
        store.hold("step-000004/__0_0.distcp")
        settings = parse(arguments(run_dir, place, "train.workers=2", "train.min_workers=1"))
        run = threading.Thread(target=train.run, args=(settings,), daemon=True)
        run.start()
        until(store.reached.is_set, while_alive=run)
        seen = [workers()]
        nodes.kill(nodes.workers()[0])
        store.release()
        store.hold("step-000008/__0_0.distcp")
        until(store.reached.is_set, while_alive=run)
        seen.append(workers())
        nodes.add()
        until(lambda: workers() == 2, while_alive=run)
        store.release()
        run.join()
        seen.append(2)
        found = losses(run_dir)
        nodes.close()
    return seen, found


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.ray
def test_a_run_shrinks_with_a_dead_node_and_grows_with_a_new_one(place, undisturbed):
    seen, found = ranks.result(resized, place)
    assert seen == [2, 1, 2]
    for ours, single in zip(found, undisturbed, strict=True):
        assert ours == pytest.approx(single, rel=2e-3)


# Refusals


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train.checkpoint_every=0"], r"both 0.*set train\.checkpoint_every=100"),
        (["train.min_workers=2"], r"train\.min_workers=2 must be in 0\.\.1.*set train\.min_workers=1"),
        (
            ["train.workers=4", "train.min_workers=2", "optim.accumulate=8"],
            r"over \[3\] workers.*set train\.min_workers=4, or optim\.accumulate=12$",
        ),
    ],
)
def test_what_cannot_be_resumed_or_resized_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        parse(arguments)


def test_workers_between_two_numbers():
    settings = parse(["train.workers=4", "train.min_workers=1", "optim.accumulate=12"])
    assert list(settings.train.worlds) == [1, 2, 3, 4]
    assert list(parse(["train.workers=4", "optim.accumulate=4"]).train.worlds) == [4]
