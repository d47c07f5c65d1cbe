"""Readers and writer of triplets: what is written comes back, from a file, a folder or a glob, and in bounded memory."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from v4e.data.order import sample_order
from v4e.data.sources import RawTriplet, parts, rows
from v4e.data.write import IMAGE, png, write_triplets
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
    assert found[7].source == png(image(7)) and found[149].edit == png(image(-149 % 97))
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
    (folder / "a.png").write_bytes(png(image(1)))
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
    assert [row.source for row in found] == [png(image(1)), None, None, None, None]
    assert [row.instruction for row in found] == ["a", "", "", "", "c"]


def test_a_plain_folder_needs_no_parquet(tmp_path: Path):
    for name in ("b", "a"):
        (tmp_path / f"{name}.source.png").write_bytes(png(image(1)))
        (tmp_path / f"{name}.edit.png").write_bytes(png(image(2)))
        (tmp_path / f"{name}.txt").write_text(f"make it {name}\n")
    (tmp_path / "c.source.png").write_bytes(png(image(1)))
    found = read(tmp_path)
    assert [(row.id, row.instruction) for row in found] == [("a", "make it a"), ("b", "make it b"), ("c", "")]
    assert found[0].source == png(image(1)) and found[2].edit is None
    assert [row.id for row in read(tmp_path, limit=1)] == ["a"]
    listed = {"id": "z", "instruction": "hide", "source": "a.source.png", "edit": "b.edit.png", "task": "removal"}
    (tmp_path / "metadata.jsonl").write_text(json.dumps(listed) + "\n\n")
    [row] = read(tmp_path)
    assert (row.id, row.instruction, row.task, row.edit) == ("z", "hide", "removal", png(image(2)))


def test_what_is_no_corpus_is_refused(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"data\.train"):
        parts(str(tmp_path / "none.parquet"))
    with pytest.raises(ValueError, match="holds no triplets"):
        parts(str(tmp_path))
    (tmp_path / "metadata.jsonl").write_text('{"id": "a"}')
    with pytest.raises(ValueError, match="line 1"):
        parts(str(tmp_path))
    pq.write_table(pa.table({"omni_edit_id": ["a"]}), tmp_path / "bad.parquet")
    with pytest.raises(ValueError, match="'edited_prompt_list'.*OmniEdit"):
        parts(str(tmp_path / "bad.parquet"))


def test_any_filesystem(tmp_path: Path):
    write_triplets("memory://corpus/train.parquet", [triplet(n) for n in range(3)])
    assert [row.id for row in read("memory://corpus")] == ["x/000", "x/001", "x/002"]


def test_a_row_group_is_streamed(tmp_path: Path):
    """Peak Arrow memory of one huge row group is a small share of its size."""
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
    pq.write_table(table, tmp_path / "one.parquet", use_dictionary=False, compression="none")
    del table
    [part] = parts(str(tmp_path / "one.parquet"))
    held = pa.total_allocated_bytes()
    peak = max(pa.total_allocated_bytes() - held for _ in rows(part))
    assert peak < count * len(blob) * 2 / 4


def test_the_order_is_a_permutation_of_seed_and_epoch_alone():
    ids = [f"s{n}" for n in range(200)]
    order = sample_order(ids, seed=1, epoch=0)
    assert sorted(order) == sorted(ids) and order != ids
    assert sample_order(reversed(ids), seed=1, epoch=0) == order
    assert sample_order(ids, seed=1, epoch=1) != order != sample_order(ids, seed=2, epoch=0)
    firsts = {sample_order(ids[:4], seed, 0)[0] for seed in range(100)}
    assert firsts == set(ids[:4])
