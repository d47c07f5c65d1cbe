"""Training end to end: what it refuses, what each worker sees, and that no crash changes a number."""

import io
import os
import signal
import sys
import threading
from collections import Counter
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
from diffusers import WanImageToVideoPipeline

from pipelines.parts.prepared import prepare
from pipelines.parts.run_view import describe, summary
from pipelines.stages import export, train
from tests.support import runs
from tests.support.processes import kill_once, start
from tests.support.synthetic import config, stored
from tests.support.triplets import triplet
from tests.support.wait import until
from v4e.config import Config, parse
from v4e.data.store.ids import training_ids
from v4e.data.store.paths import store_uri, train_uri
from v4e.data.write import write_triplets
from v4e.files import journal
from v4e.models import sizes, tiny
from v4e.planning.layout import work_for
from v4e.planning.work_table import compared
from v4e.training import checkpoint
from v4e.training import checks as startup
from v4e.training.schedule import requests

IDS = [f"s{n:03d}" for n in range(5)]
DIT = {**tiny.DIT, "num_layers": 6}


# What a worker sees


def test_every_epoch_sees_each_sample_once_and_seeds_differ():
    settings = config(optim={"steps": 10, "batch": 2, "accumulate": 2})
    seen = [key for r in requests(IDS, settings, first_step=0) for key in zip(r.sample_ids, r.seeds, strict=True)]
    assert len(seen) == 40
    for epoch in range(8):
        assert sorted(key for key, _ in seen[5 * epoch : 5 * epoch + 5]) == IDS
    assert len({seed for _, seed in seen}) == 40


def test_a_resumed_worker_goes_on_where_it_was():
    settings = config()
    whole = list(requests(IDS, settings, first_step=0))
    assert list(requests(IDS, settings, first_step=3)) == whole[6:]


def test_the_number_of_workers_changes_who_does_a_forward_not_what_is_in_it():
    settings = config(optim={"steps": 4, "batch": 2, "accumulate": 4})
    single = list(requests(IDS, settings, first_step=0))
    ranks = [list(requests(IDS, settings, first_step=0, rank=rank, world=2)) for rank in range(2)]
    assert Counter(ranks[0] + ranks[1]) == Counter(single)
    for step in range(4):
        of_step = [r for rank in ranks for r in rank[2 * step : 2 * step + 2]]
        assert Counter(of_step) == Counter(single[4 * step : 4 * step + 4])


# metrics.jsonl


def test_journal_holds_each_step_once_after_a_torn_end(tmp_path):
    path = tmp_path / "metrics.jsonl"
    for step in range(1, 6):
        journal.append(path, {"step": step})
    with path.open("a") as file:
        file.write('{"step": 6, "lo')
    assert [r["step"] for r in journal.read(path)] == [1, 2, 3, 4, 5]
    journal.rewind(path, 3)
    journal.append(path, {"step": 4})
    assert [r["step"] for r in journal.read(path)] == [1, 2, 3, 4]


def test_journal_is_followed_over_a_rewind(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert journal.follow(path, 0) == ([], 0)
    for step in range(1, 5):
        journal.append(path, {"step": step})
    records, offset = journal.follow(path, 0)
    assert len(records) == 4
    assert journal.follow(path, offset) == ([], offset)
    journal.append(path, {"step": 5})
    assert journal.follow(path, offset)[0] == [{"step": 5}]
    journal.rewind(path, 2)
    assert [r["step"] for r in journal.follow(path, offset)[0]] == [1, 2]
    for step in range(3, 9):  # longer again than it was, and its lines end elsewhere
        journal.append(path, {"step": step, "seconds": 1.5})
    assert [r["step"] for r in journal.follow(path, offset)[0]] == list(range(1, 9))


def test_bottleneck_line_adds_up():
    record = {
        "step": 1,
        "seconds": 2.0,
        "wait_s": 0.5,
        "io_s": 0.1,
        "mib": 8.0,
        "replicas": 3,
        "starting": 1,
        "queue": 4,
        "restarts": 1,
    }
    line = journal.bottleneck([record, record])
    assert line == "student 70% / wait 25% / io 5% · pool 3 (+1 starting) queue 4 · 4.0 MiB/s · 1 teacher restarts"


# Refusals


@pytest.mark.parametrize(
    ("sections", "student", "teacher", "message"),
    [
        ({"kd": {"taps": (4, 40)}}, DIT, DIT, r"blocks 0\.\.5, not \[40\]"),
        ({}, DIT, None, r"without a teacher.*kd\.weight=0"),
        ({}, {**DIT, "num_attention_heads": 8}, DIT, "differ in width, 320 and 160"),
        ({"teacher": {"tokens": "tail"}}, *2 * ({**DIT, "patch_size": [2, 2, 2]},), r"of 2 latent .*tokens=all$"),
        ({}, DIT, {**DIT, "patch_size": [1, 1, 1]}, "different latent grids: patch_size"),
        ({"teacher": {"tp": 3}}, DIT, DIT, r"over 3 ranks: the DiT has 4 heads.*one of 1, 2, 4$"),
    ],
)
def test_pairs_that_cannot_be_compared_are_refused(sections, student, teacher, message):
    with pytest.raises(ValueError, match=message):
        startup.check_models(config(**sections), sizes.dit(student), teacher and sizes.dit(teacher))


def test_without_kd_no_teacher_is_needed():
    startup.check_models(config(kd={"weight": 0.0}), sizes.dit(DIT), None)


def test_latents_of_other_recipes_are_refused():
    startup.check_latents(config(), sizes.dit(DIT), (16, 2, 8, 8), (16, 8, 8))
    with pytest.raises(ValueError, match=r"3 frames.*precompute"):
        startup.check_latents(config(), sizes.dit(DIT), (16, 3, 8, 8), (16, 8, 8))
    with pytest.raises(ValueError, match=r"tail latents.*tail\.weight=0"):
        startup.check_latents(config(), sizes.dit(DIT), (16, 2, 8, 8), (16, 4, 4))


def test_a_run_is_about_its_own_triplets_in_a_shared_store(tmp_path, random_family):
    settings = stored(tmp_path / "store", random_family, 5, run={"dir": str(tmp_path / "run")}, data={"store": ""})
    settings = replace(settings, data=replace(settings.data, store=store_uri(settings)))
    assert training_ids(settings) == IDS  # no triplets at hand: the whole store
    mine = [replace(triplet(n), id=IDS[n]) for n in (3, 1, 4)]
    write_triplets(train_uri(settings), mine)
    assert training_ids(settings) == ["s001", "s003", "s004"]
    assert training_ids(replace(settings, data=replace(settings.data, limit=2))) == ["s001", "s003"]
    with pytest.raises(FileNotFoundError, match="elsewhere"):
        training_ids(replace(settings, data=replace(settings.data, train=str(tmp_path / "elsewhere.parquet"))))


def test_training_without_rollouts_says_which_command_makes_them(tmp_path, random_family):
    with pytest.raises(ValueError, match=r"5 of 5 samples have no rollout.*pipelines/rollout\.py"):
        train.run(stored(tmp_path, random_family, 5))


# Whole runs, through the command line


def command(folder: Path, *more: str) -> list[str]:
    """The command line of a run in `folder`, which lies beside the shared store."""
    settings = ("optim.steps=8", "optim.batch=2", "optim.accumulate=2", "train.checkpoint_every=3", "train.log_every=2")
    return runs.arguments(folder, folder.parent, *settings, *more)


def losses(folder: Path) -> runs.Losses:
    return runs.losses(folder, 8)


@pytest.fixture(scope="module")
def place(tmp_path_factory, random_family) -> Path:
    return runs.prepare(tmp_path_factory.mktemp("runs"), random_family)


def squeezed(text: str) -> str:
    """The text without white space: tables break lines, and long paths too."""
    return "".join(text.split())


def printed(stage: ModuleType, settings: Config) -> str:
    """Runs a stage here and returns what it prints, squeezed."""
    with redirect_stdout(io.StringIO()) as text:
        stage.run(settings)
    return squeezed(text.getvalue())


@pytest.fixture(scope="module")
def undisturbed(place, cluster) -> tuple[Path, str]:
    """The folder of a run, and what it printed."""
    folder = place / "undisturbed"
    return folder, printed(train, parse(command(folder)))


@pytest.mark.slow
@pytest.mark.ray
def test_a_run_trains_shows_itself_and_exports(undisturbed):
    folder, output = undisturbed
    assert len(losses(folder)) == 8
    assert checkpoint.steps_of(folder / "checkpoints") == [6, 8]
    settings, records = parse(command(folder)), journal.read(folder / "metrics.jsonl")
    for first in range(0, 8, 2):  # train.log_every
        assert squeezed(summary(records[first : first + 2], settings)) in output
    prepared = prepare(settings)
    shown = describe(prepared, 0) | compared(prepared.work, settings, records[1:])  # the first step warms up
    for name, text in shown.items():
        assert squeezed(name + text) in output
    printed(export, settings)
    pipes = [WanImageToVideoPipeline.from_pretrained(folder / "export" / name) for name in ("student", "ema")]
    weights = [pipe.transformer.proj_out.weight for pipe in pipes]
    assert not weights[0].equal(weights[1])
    assert squeezed("step 8, from its checkpoint") in printed(train, settings)
    assert len(losses(folder)) == 8


@pytest.mark.slow
@pytest.mark.ray
def test_a_run_received_the_bytes_that_were_planned_for_it(undisturbed):
    folder, _ = undisturbed
    settings = parse(command(folder))
    student, teacher = (
        sizes.pipeline(getattr(settings.models, side), f"models.{side}") for side in ("student", "teacher")
    )
    planned = work_for(settings, student, teacher).target_bytes * settings.optim.accumulate * settings.optim.steps
    received = [record["mib"] * 2**20 for record in journal.read(folder / "metrics.jsonl")]
    assert sum(received) == pytest.approx(planned, rel=1e-12) and planned > 0  # a step also receives the next's first


@pytest.mark.slow
@pytest.mark.ray
def test_a_killed_driver_and_then_a_killed_teacher_change_no_loss(cluster, place, undisturbed, monkeypatch):
    folder = place / "killed"
    kill_once(start("train.py", command(folder)), lambda: len(journal.read(folder / "metrics.jsonl")) >= 4)
    pools = []

    @contextmanager
    def remembered(config):
        with teacher_pool(config) as pool:
            pools.append(pool)
            yield pool

    teacher_pool = train.teacher_pool
    monkeypatch.setattr(train, "teacher_pool", remembered)
    killed = threading.Event()

    def kill_after_five_steps():
        import ray

        until(lambda: pools and max((r["step"] for r in journal.read(folder / "metrics.jsonl")), default=0) >= 5)
        [replica] = ray.get(pools[0].ready.remote())
        os.kill(replica["pid"], signal.SIGKILL)
        killed.set()

    threading.Thread(target=kill_after_five_steps, daemon=True).start()
    train.run(parse(command(folder)))
    assert killed.is_set()
    assert losses(folder) == losses(undisturbed[0])


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.ray
def test_two_kills_and_the_same_command_give_the_same_losses(cluster, place, undisturbed):
    folder = place / "killed-twice"
    for killed_after in (1, 5):  # before the first checkpoint, and between two
        process = start("train.py", command(folder))
        kill_once(process, lambda n=killed_after: len(journal.read(folder / "metrics.jsonl")) >= n)
    train.run(parse(command(folder)))
    assert losses(folder) == losses(undisturbed[0])


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.ray
def test_a_run_on_the_students_own_states_is_the_same_after_a_kill(cluster, place, undisturbed):
    own = ("distill.states=mixed", "teacher.prefetch=1")
    whole, killed = place / "own-path", place / "own-path-killed"
    train.run(parse(command(whole, *own)))
    kill_once(start("train.py", command(killed, *own)), lambda: len(journal.read(killed / "metrics.jsonl")) >= 4)
    train.run(parse(command(killed, *own)))
    assert losses(killed) == losses(whole) != losses(undisturbed[0])
    assert sum(record["path_s"] for record in journal.read(whole / "metrics.jsonl")) > 0


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.ray
def test_direct_transport_changes_no_number(cluster, place, undisturbed):
    pytest.importorskip("nixl", exc_type=ImportError)
    folder = place / "nixl"
    train.run(parse(command(folder, "teacher.transport=nixl")))
    assert losses(folder) == losses(undisturbed[0])


def test_a_transport_that_is_not_there_is_refused_before_anything_starts(place, monkeypatch):
    monkeypatch.setitem(sys.modules, "nixl", None)
    with pytest.raises(ValueError, match=r"teacher\.transport=nixl needs the package nixl.*pip install nixl, or set"):
        train.run(parse(command(place / "refused", "teacher.transport=nixl")))


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.ray
def test_two_workers_do_the_same_run(cluster, place, undisturbed):
    folder = place / "two-workers"
    train.run(parse(command(folder, "train.workers=2")))
    for ours, single in zip(losses(folder), losses(undisturbed[0]), strict=True):
        assert ours == pytest.approx(single, rel=2e-3)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.ray
def test_controls_need_no_teacher(cluster, place):
    folder = place / "plain"
    settings = parse(command(folder, "kd.weight=0", "tail.weight=0", "flow.weight=1"))
    train.run(settings)
    records = journal.read(folder / "metrics.jsonl")
    assert [r["step"] for r in records] == list(range(1, 9))
    assert all(r["loss"] == r["flow"] and r["replicas"] == 0 for r in records)
    with pytest.raises(ValueError, match=r"optim\.lr"):
        train.run(replace(settings, optim=replace(settings.optim, lr=1.0)))
