"""Readers and writer of triplets: what is written comes back, from files, folders and globs, in bounded memory."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from v4e.data.quality import decode_triplet
from v4e.data.sources import RawTriplet, parts, rows
from v4e.data.write import IMAGE, rgb_png, write_triplets
from v4e.tiny.world import make_triplets
from v4e.tiny.world.write import write_split
from v4e.types import EditTriplet


def image(number: int, size: tuple[int, int] = (6, 5)) -> Image.Image:
    pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def triplet(number: int) -> EditTriplet:
    return EditTriplet(
        id=f"x/{number:03d}", instruction=f"do {number}", source=image(number), edit=image(-number % 97), task="color"
    )


def read(uri: str | Path, limit: int = 0, images: bool = True) -> list[RawTriplet]:
    return [row for part in parts(str(uri), limit) for row in rows(part, images)]


def test_written_triplets_come_back_in_order_and_to_the_pixel(tmp_path: Path):
    path = tmp_path / "train.parquet"
    assert write_triplets(str(path), (triplet(n) for n in range(150))) == 150
    found = read(path)
    assert [row.id for row in found] == [f"x/{n:03d}" for n in range(150)]
    assert found[7].instruction == "do 7" and found[7].task == "color"
    assert found[7].source == rgb_png(image(7)) and found[149].edit == rgb_png(image(-149 % 97))
    assert [row.id for row in read(path, limit=70)] == [f"x/{n:03d}" for n in range(70)]
    assert len(parts(str(path), limit=70)) == 2, "row groups that are not asked for are not read"
    texts = read(path, images=False)
    assert texts[3].instruction == "do 3" and texts[3].source is None


def test_the_same_triplets_give_the_same_bytes_and_omniedits_schema(tmp_path: Path):
    for name in "ab":
        write_triplets(str(tmp_path / name), [triplet(n) for n in range(5)])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    expected = {
        "omni_edit_id": "string",
        "task": "string",
        "src_img": "struct<bytes: binary, path: string>",
        "edited_img": "struct<bytes: binary, path: string>",
        "edited_prompt_list": "list<element: string>",
        "width": "int64",
        "height": "int64",
        "sc_score_1": "int64",
        "sc_score_2": "int64",
        "pq_score": "int64",
        "sc_reasoning": "string",
        "pq_reasoning": "string",
        "o_score": "double",
    }
    assert {field.name: str(field.type) for field in pq.read_schema(tmp_path / "a")} == expected
    assert pq.read_table(tmp_path / "a").select(["width", "height"]).to_pylist()[0] == {"width": 6, "height": 5}


def test_folders_and_globs_are_read_by_name(tmp_path: Path):
    for shard in (2, 0, 1):
        write_triplets(str(tmp_path / f"part-{shard}.parquet"), [triplet(10 * shard + n) for n in range(3)])
    every = [f"x/{10 * shard + n:03d}" for shard in range(3) for n in range(3)]
    assert [row.id for row in read(tmp_path)] == every
    assert [row.id for row in read(tmp_path / "part-[12].parquet")] == every[3:]
    assert [row.id for row in read(f"{tmp_path}/part-*.parquet", limit=4)] == every[:4]


def test_files_of_one_corpus_may_differ_in_columns(tmp_path: Path):
    write_triplets(str(tmp_path / "0.parquet"), [triplet(0)])
    table = pq.read_table(tmp_path / "0.parquet").select(
        ["edited_img", "src_img", "edited_prompt_list", "omni_edit_id"]
    )
    table = table.append_column("mask_image", pa.nulls(1))  # as UltraEdit's free-form shards have it
    pq.write_table(table, tmp_path / "1.parquet")
    found = read(tmp_path)
    assert [row.task for row in found] == ["color", ""] and found[0].source == found[1].source


def test_images_may_lie_beside_the_file_but_not_above_it(tmp_path: Path):
    write_triplets(str(tmp_path / "secret.parquet"), [triplet(1)])
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "a.png").write_bytes(rgb_png(image(1)))
    images = [
        {"bytes": None, "path": path} for path in ("a.png", "../secret.parquet", "/etc/hostname", "none.png", None)
    ]
    table = {
        "omni_edit_id": pa.array([str(n) for n in range(5)]),
        "src_img": pa.array(images, IMAGE),
        "edited_img": pa.array([None] * 5, IMAGE),
        "edited_prompt_list": pa.array([["a", "b"], [], None, [None], ["c"]], pa.list_(pa.string())),
    }
    pq.write_table(pa.table(table), folder / "local.parquet")
    found = read(folder / "local.parquet")
    assert [row.source for row in found] == [rgb_png(image(1)), None, None, None, None]
    assert [row.instruction for row in found] == ["a", "", "", "", "c"]


def test_plain_columns_are_read_too(tmp_path: Path):
    """Images without a struct, numbers as ids, one phrasing without a list."""
    table = {
        "omni_edit_id": pa.array([0, 12, None]),
        "src_img": pa.array([rgb_png(image(1)), None, b"x"]),
        "edited_img": pa.array([1.5, None, 2.5]),
        "edited_prompt_list": pa.array(["make it red", None, ""]),
    }
    pq.write_table(pa.table(table), tmp_path / "plain.parquet")
    found = read(tmp_path / "plain.parquet")
    assert [row.id for row in found] == ["0", "12", ""]
    assert [row.instruction for row in found] == ["make it red", "", ""]
    assert [row.source for row in found] == [rgb_png(image(1)), None, b"x"]
    assert [row.edit for row in found] == [None, None, None], "numbers are no image"


def test_what_is_no_corpus_is_refused(tmp_path: Path):
    for nothing in (tmp_path / "none.parquet", tmp_path):
        with pytest.raises(FileNotFoundError, match=r"data\.train"):
            parts(str(nothing))
    pq.write_table(pa.table({"omni_edit_id": ["a"]}), tmp_path / "bad.parquet")
    with pytest.raises(ValueError, match=r"'edited_prompt_list'.*OmniEdit"):
        parts(str(tmp_path / "bad.parquet"))


@pytest.mark.parametrize("key", ["data.train", "data.heldout"])
def test_a_refusal_names_the_file_the_setting_and_what_to_do(tmp_path: Path, key: str):
    (tmp_path / "notes.txt").write_text("not Parquet, but long enough to have a footer")
    (tmp_path / "empty.parquet").touch()
    write_triplets(str(tmp_path / "rows.parquet"), [])
    pq.write_table(pa.table({"omni_edit_id": ["a"]}), tmp_path / "columns.parquet")
    local = ("notes.txt", "empty.parquet", "rows.parquet", "columns.parquet", "none.parquet")
    for uri in (*(str(tmp_path / name) for name in local), "s3x://bucket/train.parquet"):
        with pytest.raises((ValueError, FileNotFoundError)) as caught:
            parts(uri, key=key)
        assert uri in str(caught.value)
        assert f"set {key} to a Parquet file, folder or glob in OmniEdit's schema" in str(caught.value)


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path):
    path = tmp_path / "a.parquet"
    write_triplets(str(path), [triplet(0)])
    before = path.read_bytes()

    def broken():
        yield triplet(1)
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        write_triplets(str(path), broken())
    assert path.read_bytes() == before


def test_the_world_is_written_once_and_again_when_its_settings_change(tmp_path: Path):
    path = tmp_path / "heldout.parquet"
    write_split(str(path), "heldout", 1, 3)
    made = list(make_triplets("heldout", 1, 3))
    found = [decode_triplet(row, 10_000) for row in read(path)]
    assert [(row.id, row.task) for row in found] == [(record.id, record.task) for record in made]
    assert np.array_equal(np.asarray(found[4].edit), made[4].edit)
    stamp = path.stat().st_mtime_ns
    write_split(str(path), "heldout", 1, 3)
    assert path.stat().st_mtime_ns == stamp
    write_split(str(path), "heldout", 2, 3)
    assert len(read(path)) == 22


def test_any_filesystem(tmp_path: Path):
    write_triplets("memory://corpus/train.parquet", [triplet(n) for n in range(3)])
    assert [row.id for row in read("memory://corpus")] == ["x/000", "x/001", "x/002"]


def test_a_row_group_is_streamed(tmp_path: Path):
    """Arrow holds a small share of a huge row group whose pages are small."""
    blob, count = np.random.default_rng(0).bytes(1 << 16), 512
    struct = {"bytes": blob, "path": None}
    table = pa.table(
        {
            "omni_edit_id": pa.array([str(n) for n in range(count)]),
            "src_img": pa.array([struct] * count, IMAGE),
            "edited_img": pa.array([struct] * count, IMAGE),
            "edited_prompt_list": pa.array([["x"]] * count),
        }
    )
    pq.write_table(table, tmp_path / "one.parquet", use_dictionary=False, write_batch_size=16)
    del table
    [part] = parts(str(tmp_path / "one.parquet"))
    held = pa.total_allocated_bytes()
    peak = max(pa.total_allocated_bytes() - held for _ in rows(part))
    assert peak < count * len(blob) * 2 / 4
