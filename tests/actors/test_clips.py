"""One picture of the teacher's clips at several lengths and places."""

import json

import numpy as np
import pytest
from PIL import Image

from pipelines.stages import clips
from v4e.config import parse
from v4e.tiny.world.write import write_split


@pytest.mark.slow
def test_clips_of_every_length_are_in_one_picture(tmp_path, random_family):
    write_split(str(tmp_path / "triplets" / "train.parquet"), "train", 1, 0)
    clips.run(
        parse(
            [
                f"run.dir={tmp_path}",
                f"models.teacher={random_family}/tiny-wan-flf2v",
                *("data.limit=2", "teacher.steps=2", "teacher.solver=unipc", "teacher.guidance=2"),
            ]
        )
    )
    figures = json.loads((tmp_path / "clips.json").read_text())
    assert [f["variant"] for f in figures] == [*clips.VARIANTS, *clips.VARIANTS]
    assert len({f["id"] for f in figures}) == 2 and all(0 < f["largest_step"] <= 1 for f in figures)
    by_name = {f["variant"]: f["last_db"] for f in figures[: len(clips.VARIANTS)]}
    assert by_name["5"] != by_name["5 at 0, 7"]  # the places reach the teacher
    with Image.open(tmp_path / "clips.png") as picture:
        assert picture.width > 2 * 6 * 96 and picture.height > 5 * 96  # a block for each triplet, of six columns


def test_a_cut_and_an_even_evolution_are_told_apart():
    even = np.linspace(0, 200, 5).astype(np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8)
    cut = even.copy()
    cut[1:4], cut[4] = even[0], even[4]
    edit = even[-1]
    assert clips.measured(even, edit)["largest_step"] == pytest.approx(0.25)
    assert clips.measured(cut, edit)["largest_step"] == pytest.approx(1)
    assert clips.measured(even, edit)["last_db"] > 70 > clips.measured(even, edit - 20)["last_db"] > 20
