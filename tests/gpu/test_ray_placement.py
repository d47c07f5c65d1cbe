"""Actors of the 14B recipe on a cluster whose GPUs are numbers: where they are put, what they see, what they use.

The head has CPUs and no GPU; the nodes with GPUs have no CPU to spare. Models are tiny; the rest is the recipe's.
"""

import multiprocessing
import os
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypedDict

import pytest
import ray
import torch

from actors import reserved
from actors.teacher.actor import Teacher as Loaded
from tests.support import numbered_gpus
from tests.support.numbered_gpus import Used
from tests.support.triplets import triplet
from tests.support.wait import until
from v4e.config import Config, parse
from v4e.data.captions_table import write_captions
from v4e.data.store.paths import captions_uri, train_uri
from v4e.data.store.store import RolloutStore
from v4e.data.write import write_triplets
from v4e.files import journal
from v4e.files.uri import join

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.long]
COUNT, STEPS, NODES, GPUS = 4, 2, 2, 2  # GPUs of each node


class Seen(TypedDict):
    """A run of the stages, as its driver saw it."""

    shown: Mapping[str, str | None]  # CUDA_VISIBLE_DEVICES of actors by what they asked for
    editors: Mapping[int, str]  # devices of actors that edit, by the GPUs that they asked for
    used: dict[str, list[Used]]  # by stage
    left: Mapping[str, float]  # resources after the run


def settings(folder: Path, family: Path) -> Config:
    """The 14B recipe with tiny models and clips, on as many GPUs as there are."""
    return parse(
        [
            "recipe=wan14b_480p",
            f"run.dir={folder}",
            f"models.student={family / 'tiny-wan-i2v'}",
            f"models.teacher={family / 'tiny-wan-flf2v'}",
            "models.attention=native",
            "models.dtype=float32",
            "data.height=32",
            "data.width=32",
            "precompute.actors=1",
            "precompute.readers=1",
            "teacher.steps=2",
            "train.workers=2",
            "kd.taps=1,3",
            f"optim.steps={STEPS}",
            "watch.samples_every=0",
        ]
    )


def stages(folder: Path, config: Config) -> Seen:
    """Precompute, rollouts with replicas of two ranks, and training, on a cluster of this process's own."""
    os.environ |= {numbered_gpus.RECORDS: str(folder), "CUDA_VISIBLE_DEVICES": ",".join(map(str, range(GPUS)))}

    from benchmarks.support.nodes import Nodes
    from pipelines.stages import precompute, rollout, train

    nodes = Nodes(0, 0, head_cpus=2, hook=numbered_gpus.pretend)
    for _ in range(NODES):
        nodes.add(cpus=0, gpus=GPUS)
    try:
        shown: dict[str, str | None] = {name: ray.get(asked.remote()) for name, asked in probes().items()}
        editors = {gpus: edited_on(gpus) for gpus in (0, 1)}
        numbered_gpus.take_records(folder)
        used = {}
        sampled = replace(config, teacher=replace(config.teacher, tp=2))
        for name, stage, made in (
            ("precompute", precompute, config),
            ("rollout", rollout, sampled),
            ("train", train, config),
        ):
            stage.run(made)
            used[name] = numbered_gpus.take_records(folder)
        until(lambda: ray.available_resources().get("GPU", 0) == NODES * GPUS, timeout_s=60)  # Ray says so a bit later
        return Seen(shown=shown, editors=editors, used=used, left=ray.available_resources())
    finally:
        nodes.close()


def edited_on(gpus: int) -> str:
    """The device that an actor for edits is told to use."""
    from actors.batch.editors import Editors

    with Editors(lambda device: lambda _: str(device), 1, gpus) as editors:
        [(_, device)] = editors.edit([0])
    return device


def probes() -> dict:
    """Tasks that tell which GPUs they are shown, by what they ask for."""

    @ray.remote
    def visible() -> str | None:
        return os.environ.get("CUDA_VISIBLE_DEVICES")

    asked = {f"{gpus} GPU": visible.options(**reserved.options(gpus)) for gpus in (0, 1, 2)}
    return asked | {"nothing": visible}


@pytest.fixture(scope="module")
def run(tmp_path_factory, random_family) -> Config:
    config = settings(tmp_path_factory.mktemp("run"), random_family)
    rows = [triplet(n) for n in range(COUNT)]
    write_triplets(train_uri(config), rows)
    captions = [
        {"id": r.id, "instruction": r.instruction, "caption": f"Slowly, {r.id}.", "task": r.task, "origin": "template"}
        for r in rows
    ]
    write_captions(captions_uri(config), captions)
    return config


@pytest.fixture(scope="module")
def seen(tmp_path_factory, run) -> Seen:
    folder = tmp_path_factory.mktemp("records")
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as processes:
        return processes.submit(stages, folder, run).result()


def test_an_actor_sees_the_gpus_that_it_asked_for_and_no_other(seen):
    shown = seen["shown"]
    assert shown["0 GPU"] == shown["nothing"] == ""
    assert shown["1 GPU"] in {"0", "1"} and sorted(str(shown["2 GPU"]).split(",")) == ["0", "1"]
    assert seen["editors"] == {0: "cpu", 1: "cuda:0"}


def test_only_who_reserved_a_gpu_uses_one(seen):
    """Ray Train shows a worker the GPUs of all workers of its node; the others see their own alone."""
    for stage, used in seen["used"].items():
        assert all(each["reserved"] for each in used), stage
        for each in used:
            visible = sorted(each["visible"].split(","))
            assert set(each["reserved"]) <= set(visible)
            assert each["reserved"] == visible or "Train" in each["title"]
        taken = Counter((each["node"], gpu) for each in used for gpu in each["reserved"])
        assert max(taken.values()) == 1, stage  # nobody shares one


def test_every_stage_of_the_recipe_finds_room_on_nodes_without_cpus(seen, run):
    used = seen["used"]
    assert len(used["precompute"]) == run.precompute.actors
    ranks = [each["node"] for each in used["rollout"]]
    assert sorted(Counter(ranks).values()) == [2] * run.teacher.replicas  # a replica's ranks share a node
    assert len(used["train"]) == run.train.workers + run.teacher.replicas
    assert seen["left"]["CPU"] == 2 and seen["left"]["GPU"] == NODES * GPUS  # all of it is given back


def test_what_two_ranks_sampled_on_gpus_is_what_one_process_samples(seen, run):
    rollouts = RolloutStore.open(run)
    alone = Loaded(run)
    for key in rollouts.ids():
        assert torch.allclose(rollouts.read(key), alone.rollouts((key,))[0], atol=1e-3)
    assert [r["step"] for r in journal.read(join(run.run.dir, "metrics.jsonl"))] == list(range(1, STEPS + 1))
