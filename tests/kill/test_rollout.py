"""pipelines/rollout.py killed in the middle: the next run goes on, and the rollouts are the same to the byte."""

from pathlib import Path

import pytest

from pipelines.stages import rollout
from tests.support.processes import kill_once, start
from tests.support.synthetic import stored
from v4e.config import parse

COUNT, BATCH = 14, 2


def command(folder: Path, family: Path) -> list[str]:
    models = [f"models.student={family / 'tiny-wan-i2v'}", f"models.teacher={family / 'tiny-wan-flf2v'}"]
    return [f"run.dir={folder}", f"teacher.batch={BATCH}", "tail.context=source", *models]  # as the synthetic store


def rollouts(folder: Path) -> dict[str, Path]:
    return {path.name: path for path in folder.glob("store/rollouts/*/*.safetensors")}


@pytest.mark.ray
@pytest.mark.slow
def test_sigkill_and_the_same_command_give_the_same_rollouts(cluster, tmp_path, random_family):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        stored(folder, random_family, COUNT)
    kill_once(start("rollout.py", command(killed, random_family)), lambda: len(rollouts(killed)) > BATCH)
    rollouts(killed)["s000.safetensors"].unlink()  # as if killed within a batch
    before = {name: path.stat().st_mtime_ns for name, path in rollouts(killed).items()}
    assert 0 < len(before) < COUNT, "the kill was meant to fall into the middle"

    for folder in (killed, whole):
        rollout.run(parse(command(folder, random_family)))
    after = rollouts(killed)
    assert {name: after[name].stat().st_mtime_ns for name in before} == before
    bytes_of = [{name: path.read_bytes() for name, path in rollouts(folder).items()} for folder in (killed, whole)]
    assert bytes_of[0] == bytes_of[1] and len(after) == COUNT
