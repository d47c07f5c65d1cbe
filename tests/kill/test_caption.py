"""pipelines/caption.py killed in the middle: the next run goes on and writes the same captions."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.stages import caption
from tests.support.openai_server import serve
from tests.support.processes import kill_once, start
from v4e.config import parse
from v4e.data.captions_table import read_captions
from v4e.tiny.world.write import write_split

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def captions(folder: Path, suffix: str = "") -> dict[str, dict]:
    return read_captions(str(folder / f"captions.parquet{suffix}"))


def killed_and_whole(folder: Path, *model: str, killed_now: Callable[[], None] = lambda: None) -> dict[str, dict]:
    """Checks that a killed run and the same command give the captions of an undisturbed run; returns the killed one's.

    `killed_now` is called after the kill.
    """
    whole, killed = folder / "whole", folder / "killed"
    for run in (whole, killed):
        write_split(str(run / "triplets" / "train.parquet"), "train", 1, 0)  # 11 instructions: 6 batches

    def command(run: Path) -> list[str]:
        return [f"run.dir={run}", "caption.batch=2", "caption.candidates=3", *model]

    kill_once(start("caption.py", command(killed)), lambda: len(captions(killed, ".parts")) > 2)
    killed_now()
    before = captions(killed, ".parts")
    assert 2 < len(before) < 11 and not captions(killed), "the kill was meant to fall into the middle"
    for run in (killed, whole):
        caption.run(parse(command(run)))
    rows = captions(whole)
    assert list(captions(killed).items()) == list(rows.items()) and len(rows) == 11
    assert {key: rows[key] for key in before} == before
    assert any(row["origin"] != "template" for row in rows.values())  # a model was asked
    assert not (killed / "captions.parquet.parts").exists()
    return before


def test_sigkill_and_the_same_command_give_the_same_captions(cluster, tmp_path, capsys):
    with serve() as server:
        server.delay_s = 0.2  # so that the kill falls into the middle
        model = (f"caption.url={server.url}", "caption.model=any", "caption.vote=never")
        before = killed_and_whole(tmp_path, *model, killed_now=lambda: setattr(server, "delay_s", 0.0))
    assert f"11, of which {len(before)} are done" in " ".join(capsys.readouterr().out.split())


@pytest.mark.long
def test_the_real_model_gives_the_same_captions_too(cluster, tmp_path):
    killed_and_whole(tmp_path)
