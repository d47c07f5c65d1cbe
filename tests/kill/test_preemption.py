"""A node that goes: with notice the very step is saved, without it the run goes on from the last checkpoint."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from ray._raylet import GcsClient
from ray.core.generated import autoscaler_pb2

from benchmarks.support.nodes import Nodes
from tests.support import ranks, runs
from tests.support.wait import until
from v4e.config import Config, parse
from v4e.files import journal
from v4e.training import checkpoint

STEPS = 60
Seen = tuple[list[int], list[int]]  # numbers of workers; steps with a checkpoint when the node ended


def arguments(place: Path, name: str, *more: str) -> list[str]:
    """A run that saves only when it must: no checkpoint is due before the last step, unless `more` says so."""
    objective = ("kd.weight=0", "flow.weight=1", f"optim.steps={STEPS}", "optim.accumulate=2", "optim.batch=4")
    rest = ("watch.samples_every=0", "watch.tracker=")
    if not any(argument.startswith("train.checkpoint_every") for argument in more):
        rest = (*rest, f"train.checkpoint_every={STEPS}")
    return runs.arguments(place / name, place, *objective, *rest, *more)


@pytest.fixture(scope="module")
def place(tmp_path_factory, random_family) -> Path:
    return runs.prepare(tmp_path_factory.mktemp("preemption"), random_family)


@pytest.fixture(scope="module")
def undisturbed(place) -> runs.Losses:
    runs.run_here(arguments(place, "undisturbed"))
    return runs.losses(place / "undisturbed", STEPS)


def drain(nodes: Nodes, seconds: int) -> None:
    """Says that a node goes, as ``ray drain-node`` does, which takes seconds to start."""
    reason = autoscaler_pb2.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
    deadline_ms = int(1000 * (time.time() + seconds))
    gcs, node = GcsClient(address=nodes.cluster.address), nodes.workers()[0]
    accepted, why = gcs.drain_node(node.node_id, reason, "a test", deadline_ms)
    assert accepted, why


def preempted(settings: Config, seconds: int, saved: bool, grow: bool) -> Seen:
    """A run one of whose two nodes gets notice, and is killed once `saved`, or else at once."""
    from actors.student import launch
    from pipelines.stages import train

    os.environ["RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S"] = "0.1"
    launch.RESIZE_S, launch.GRACE_S = 1.0, 14.0
    nodes = Nodes(2, cpus=1)
    folder, metrics = Path(settings.run.dir, "checkpoints"), Path(settings.run.dir, "metrics.jsonl")

    def workers() -> int:
        return len(nodes.processes("RayTrainWorker"))

    def reached(step: int) -> Callable[[], bool]:
        return lambda: any(record["step"] >= step for record in journal.read(metrics))

    run = threading.Thread(target=train.run, args=(settings,), daemon=True)
    run.start()
    try:
        until(reached(5), while_alive=run)
        seen = [workers()]
        drain(nodes, seconds)
        if saved:
            until(lambda: bool(checkpoint.steps_of(folder)), while_alive=run)
        steps = checkpoint.steps_of(folder)
        nodes.kill(nodes.workers()[0])
        until(lambda: workers() == 0, while_alive=run)
        until(lambda: workers() > 0, while_alive=run)
        seen.append(workers())
        if grow:
            nodes.add()
            until(lambda: workers() == 2, while_alive=run)
            seen.append(2)
        run.join()
        return seen, steps
    finally:
        nodes.close()


def apart(*arguments) -> Seen:
    """:func:`preempted` in a process of its own: this one may be connected to another Ray."""
    return ranks.result(preempted, *arguments)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.ray
def test_a_notice_saves_that_very_step_and_the_run_goes_on_from_it_with_the_nodes_that_remain(place, undisturbed):
    settings = parse(arguments(place, "noticed", "train.workers=2", "train.min_workers=1", "train.notice_s=1"))
    workers, [step] = apart(settings, 8, True, False)
    assert workers == [2, 1]
    assert 5 <= step < STEPS
    for ours, single in zip(runs.losses(settings.run.dir, STEPS), undisturbed, strict=True):
        assert ours == pytest.approx(single, rel=2e-3)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.ray
def test_a_notice_without_time_saves_nothing_and_the_run_goes_on_from_the_last_checkpoint_and_grows_back(
    place, undisturbed
):
    more = ("train.workers=2", "train.min_workers=1", "train.notice_s=60", "train.checkpoint_every=4")
    settings = parse(arguments(place, "late", *more))
    workers, steps = apart(settings, 8, False, True)
    assert workers == [2, 1, 2]
    assert all(step % 4 == 0 for step in steps)
    for ours, single in zip(runs.losses(settings.run.dir, STEPS), undisturbed, strict=True):
        assert ours == pytest.approx(single, rel=2e-3)
