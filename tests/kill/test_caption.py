"""pipelines/caption.py with its real model, killed in the middle: the next run goes on and writes the same captions."""

from pathlib import Path

import pytest

from tests.support.processes import finish, kill_once, start
from v4e.data.captions_table import read_captions
from v4e.tiny.world.write import write_split


def command(folder: Path) -> list[str]:
    return [f"run.dir={folder}", "caption.batch=2", "caption.candidates=3"]


def captions(folder: Path, suffix: str = "") -> dict[str, dict]:
    return read_captions(str(folder / f"captions.parquet{suffix}"))


@pytest.mark.ray
@pytest.mark.slow
def test_sigkill_and_the_same_command_give_the_same_captions(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        write_split(str(folder / "triplets" / "train.parquet"), "train", 1, 0)  # 11 instructions: 6 batches
    kill_once(start("caption.py", command(killed)), lambda: len(captions(killed, ".parts")) > 2)
    before = captions(killed, ".parts")
    assert 2 < len(before) < 11 and not captions(killed), "the kill was meant to fall into the middle"

    output = finish(start("caption.py", command(killed)))
    assert f"11, of which {len(before)} are done" in output
    finish(start("caption.py", command(whole)))
    rows = captions(whole)
    assert list(captions(killed).items()) == list(rows.items()) and len(rows) == 11
    assert {key: rows[key] for key in before} == before
    assert any(row["origin"] != "template" for row in rows.values())  # a model was asked
    assert not (killed / "captions.parquet.parts").exists()
