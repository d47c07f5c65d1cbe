"""Tables that people bring: any format and column names, texts of web pages, images in every wrapping, bad rows."""

import base64
import gzip
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.support.triplets import encoded
from v4e.config import Ingest, parse
from v4e.data.ingest.check import check_chunk, read_checked
from v4e.data.ingest.drawing import drawn
from v4e.data.ingest.output import write_chosen
from v4e.data.ingest.scan import Policy, scan
from v4e.data.ingest.select import Selection, kept, splits
from v4e.data.quality import BadTriplet, decode_image, decode_triplet
from v4e.data.sources import RawTriplet, parts, rows
from v4e.data.sources.files import CorpusFile, corpus_files
from v4e.data.sources.read import label_groups, triplets
from v4e.data.sources.texts import clean, phrasing
from v4e.faults import Fault

LIMIT = 1_000_000
PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8))
PNG = encoded(PHOTO)
COLUMNS = ("source:input_image", "edit:output_image", "instruction:text")


def files_of(place: Path | str, *columns: str) -> list[CorpusFile]:
    return corpus_files(Ingest(folder=(str(place),), columns=columns))[0]


def read(file: CorpusFile) -> list[RawTriplet]:
    places = [label.place for group in label_groups(file) for label in group]
    return [raw for _, raw in triplets(file, places)]


def why_not(file: CorpusFile) -> str:
    with pytest.raises(BadTriplet) as caught:
        decode_triplet(read(file)[0], LIMIT)
    return str(caught.value)


# Texts (D1, D7)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([None, "make it red"], "make it red"),
        (["  ", "make it red"], "make it red"),
        (["<image>", "&nbsp;", "make it red"], "make it red"),
        ([], ""),
        (None, ""),
        ([None], ""),
        (7, "7"),
        ("a &amp; b &lt;c&gt;", "a & b <c>"),
        ("a &amp;amp; b", "a & b"),
        ("make\x00 it\x07 red", "make it red"),
        ("<image>\nmake it red", "make it red"),
        ("<|image_1|> make it red <img>", "make it red"),
        ("<|vision_start|><|image_pad|><|vision_end|>make it red", "make it red"),
        ("\ufeffmake it\u200b red", "make it red"),
        ("make it \ud800red", "make it red"),
        ("if a < b, imagine <b>bold</b>", "if a < b, imagine <b>bold</b>"),
        ("\u2764\ufe0f \U0001f468\u200d\U0001f469", "\u2764\ufe0f \U0001f468\u200d\U0001f469"),
    ],
)
def test_an_instruction_is_what_was_meant(value, text):
    assert phrasing(value) == text and (not isinstance(value, str) or clean(value) == text)


@pytest.mark.parametrize("value", [[None, "make it &amp; red"], ["  ", "<image>\nmake it & red"]])
def test_both_readers_use_the_first_good_phrasing(tmp_path, value):
    table = {"omni_edit_id": ["a"], "src_img": [PNG], "edited_img": [PNG], "edited_prompt_list": [value]}
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    [row] = [row for part in parts(str(tmp_path)) for row in rows(part)]
    [file] = corpus_files(Ingest(triplets=(str(tmp_path),)))[0]
    [again] = read(file)
    assert row.instruction == again.instruction == "make it & red"


# Images (D2, D3, D6)


@pytest.mark.parametrize("form", ["TIFF", "BMP", "AVIF"])
def test_pictures_that_open_in_any_viewer_are_decoded(form):
    image = decode_image(encoded(PHOTO, form), "source", LIMIT)
    assert image.size == PHOTO.size and np.abs(np.asarray(image, int) - np.asarray(PHOTO, int)).mean() < 60


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS"),
        (b"\n <!DOCTYPE HTML><html>404</html>", "web page"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG is not read: convert"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00", "HEIC"),
        (b"\x00\x00\x00\x18ftypisom\x00\x00", "video"),
        (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "JPEG XL is not read: convert"),
        (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "JPEG 2000 is not read: convert"),
        (b"P6 2 2 255 " + b"\x00" * 12, "netpbm file is not read: convert"),
        (b"PK\x03\x04 and more", "ZIP"),
        (b"not an image", "corrupt image (none of PNG"),
    ],
)
def test_what_is_no_picture_that_we_read_is_named(data, words):
    with pytest.raises(BadTriplet, match=r"^source: ") as caught:
        decode_image(data, "source", LIMIT)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_tiffs_of_many_pages_or_of_fractions_are_refused():
    with pytest.raises(BadTriplet, match="an animated TIFF"):
        decode_image(encoded(PHOTO, "TIFF", save_all=True, append_images=[PHOTO]), "source", LIMIT)
    with pytest.raises(BadTriplet, match="fractions"):
        decode_image(encoded(PHOTO.convert("F"), "TIFF"), "source", LIMIT)


TEXT = base64.b64encode(PNG).decode()
WRAPPED = [
    PNG,
    {"bytes": PNG, "path": None},
    [{"bytes": PNG, "path": None}],
    TEXT,
    "\n".join(TEXT[at : at + 76] for at in range(0, len(TEXT), 76)),
    f"data:image/png;base64,{TEXT}",
    {"bytes": None, "path": "a.png"},
    "a.png",
    "./in.png",
    ["in.png"],
]
ODD = [
    ([{"bytes": PNG}, {"bytes": PNG}], "2 images, and an editor takes one"),
    (1.5, "a float"),
    ("https://example.com/a.png", "an address"),
    ("../a.png", "out of its folder"),
    ("none.png", "no file none.png"),
    ({"width": 3}, "a struct of width"),
    ([1, 2, 3], "a list of 3"),
    ("a\x00.png", "no file"),
]


def tar_of(place: Path, files: dict[str, bytes]) -> None:
    with tarfile.open(place, "w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


@pytest.mark.parametrize("number", range(len(WRAPPED)))
def test_an_image_in_any_wrapping_is_read(tmp_path, number):
    (tmp_path / "a.png").write_bytes(PNG)
    tar_of(tmp_path / "images.tar", {"./in.png": PNG})
    table = {"source": [WRAPPED[number]], "edit": [PNG], "instruction": ["x"]}
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    [raw] = read(files_of(tmp_path / "a.parquet")[0])
    assert raw.source == PNG and raw.source_instead == ""


@pytest.mark.parametrize(("value", "words"), ODD)
def test_what_is_no_image_is_told_as_it_was_found(tmp_path, value, words):
    table = {"source": [value], "edit": [PNG], "instruction": ["x"]}
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    reason = why_not(files_of(tmp_path / "a.parquet")[0])
    assert reason.startswith("source: no image but ") and words in reason


def test_a_null_is_no_image_and_the_training_reader_tells_as_well(tmp_path):
    table = {"omni_edit_id": ["a"], "src_img": ["none.png"], "edited_img": [None], "edited_prompt_list": ["x"]}
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    [row] = [row for part in parts(str(tmp_path)) for row in rows(part)]
    with pytest.raises(BadTriplet, match=r"^source: no image but no file none\.png"):
        decode_triplet(row, LIMIT)
    assert (row.edit, row.edit_instead) == (None, "")


# Tables of all formats and columns (D4, D5)

ROW = {"input_image": "a.png", "output_image": "b.png", "text": "make it red", "id": "7", "task": "color"}


def write_table(folder: Path, name: str) -> Path:
    for image in ("a.png", "b.png"):
        (folder / image).write_bytes(PNG)
    line = json.dumps(ROW).encode()
    texts = {
        "metadata.jsonl": line,
        "rows.jsonl": b"\xef\xbb\xbf" + line + b"\r\n\r\n",
        "rows.jsonl.gz": gzip.compress(line),
        "array.json": b"[" + line + b"]",
        "keyed.json": b'{"0": ' + line + b"}",
        "inside.json": b'{"version": 1, "data": [' + line + b"]}",
        "lines.json": line + b"\n" + line.replace(b'"7"', b'"8"'),
        "rows.csv": ("\ufeff" + ",".join(ROW) + "\r\n" + ",".join(ROW.values()) + "\r\n").encode(),
        "rows.tsv": ("\t".join(ROW) + "\n" + "\t".join(ROW.values()) + "\n").encode(),
    }
    if name in texts:
        (folder / name).write_bytes(texts[name])
    else:
        pq.write_table(pa.Table.from_pylist([ROW]), folder / name)
    return folder / name


NAMES = ["metadata.jsonl", "rows.jsonl", "rows.jsonl.gz", "array.json", "keyed.json", "inside.json", "lines.json"]
NAMES += ["rows.csv", "rows.tsv", "rows.parquet", "metadata.parquet"]


@pytest.mark.parametrize("name", NAMES)
def test_columns_are_named_for_every_format(tmp_path, name):
    place = write_table(tmp_path, name)
    for where in (place, tmp_path):
        [file] = files_of(where, *COLUMNS)
        raw = read(file)[0]
        assert (raw.source, raw.edit, raw.instruction, raw.task) == (PNG, PNG, "make it red", "color")
        assert raw.id.endswith(":7")


@pytest.mark.parametrize("name", NAMES)
def test_without_names_the_columns_found_suggest_them(tmp_path, name):
    with pytest.raises(ValueError, match=r"no column 'source', only .*: set ingest\.columns=") as caught:
        files_of(write_table(tmp_path, name))
    assert str(caught.value).endswith(f"set ingest.columns={','.join(COLUMNS)}")


@pytest.mark.parametrize(
    ("names", "value"),
    [
        (
            ("source_image", "target_image", "instruction"),
            "source:source_image,edit:target_image,instruction:instruction",
        ),
        (("input_image", "edit", "output_image"), "source:input_image,edit:output_image,instruction:edit"),
        (
            ("original_image", "edit_prompt", "edited_image"),
            "source:original_image,edit:edited_image,instruction:edit_prompt",
        ),
        (("file_name", "text"), "source:file_name,edit:COLUMN,instruction:text"),
        (
            ("input_file_name", "output_file_name", "prompt"),
            "source:input_file_name,edit:output_file_name,instruction:prompt",
        ),
        (
            ("local_input_image", "output_image", "text", "edit_type"),
            "source:local_input_image,edit:output_image,instruction:text",
        ),
        (("a", "b"), "source:COLUMN,edit:COLUMN,instruction:COLUMN"),
    ],
)
def test_suggestions(tmp_path, names, value):
    (tmp_path / "metadata.jsonl").write_text(json.dumps(dict.fromkeys(names, "x")))
    with pytest.raises(ValueError, match=r"ingest\.columns=") as caught:
        files_of(tmp_path)
    assert str(caught.value).endswith(f"set ingest.columns={value}")


def test_entries_of_lists_and_structs_are_columns(tmp_path):
    row = {"images": [{"bytes": PNG}, {"bytes": PNG[:-1]}], "meta": {"prompt": "make it red"}}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "a.parquet")
    [raw] = read(files_of(tmp_path, "source:images.0", "edit:images.1", "instruction:meta.prompt")[0])
    assert (raw.source, raw.edit, raw.instruction) == (PNG, PNG[:-1], "make it red")
    (tmp_path / "b.jsonl").write_text(json.dumps({"images": ["x", "y"], "meta": None}))
    [raw] = read(files_of(tmp_path / "b.jsonl", "source:images.0", "edit:images.5", "instruction:meta.prompt")[0])
    assert raw.instruction == "" and raw.edit_instead == ""


def test_columns_that_are_no_roles_are_refused():
    for bad in ("sauce:a", "source", "source:", "source:a,source:b"):
        with pytest.raises(ValueError, match=r"ingest\.columns=.*source, edit, instruction, id, task, mask"):
            parse([f"ingest.columns={bad}"])


def test_tar_shards_are_read_by_sample(tmp_path):
    files = {"__MACOSX/x": b"", "s/0001.input.png": PNG, "s/0001.output.png": PNG[:-1], "s/0001.txt": b"make it red"}
    files |= {
        "s/0002.input.png": PNG,
        "s/0002.output.png": PNG,
        "s/0002.json": b'{"txt": "add a hat", "task": "color"}',
    }
    files |= {"s/0003.input.png": PNG, "s/0003.json": b"{broken"}
    tar_of(tmp_path / "000.tar", files)
    with pytest.raises(ValueError, match=r"source:input\.png,edit:output\.png,instruction:txt"):
        files_of(tmp_path)
    named = ("source:input.png", "edit:output.png", "instruction:txt", "id:__key__")
    [file] = files_of(tmp_path, *named)
    found = read(file)
    assert [(r.id, r.instruction, r.task) for r in found] == [
        ("000:s/0001", "make it red", ""),
        ("000:s/0002", "add a hat", "color"),
        ("000:s/0003", "", ""),
    ]
    assert (found[0].source, found[0].edit, found[2].edit) == (PNG, PNG[:-1], None)
    for name, data in (("gz.tar", gzip.compress((tmp_path / "000.tar").read_bytes())), ("cut.tar", b"x" * 600)):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ValueError, match="tar archive"):
            files_of(tmp_path / name, *named)


# Rows that cannot be read (D9)


def policy(ingest: Ingest) -> Policy:
    return Policy(ingest=ingest, seed=0, keep=kept(ingest), refused=frozenset())


@pytest.mark.parametrize("bad", ["{broken", "[1]", "null", '{"a": ' * 3000, "\ud800"])
def test_a_line_that_is_no_json_is_listed_with_its_reason(tmp_path, bad):
    good = json.dumps({"source": "a.png", "edit": "b.png", "instruction": "make the mug red"})
    text = "\n".join([good, bad, good]).encode("utf-8", "surrogatepass")
    (tmp_path / "metadata.jsonl").write_bytes(text)
    [file] = files_of(tmp_path)
    found = scan(file, policy(Ingest(folder=(str(tmp_path),))))
    [(where, reason)] = found.damaged
    assert where.endswith(":1") and reason.startswith("line 2 is no JSON")
    assert not any(reason == "empty instruction" for _, reason in found.dropped) and sum(found.passed.values()) == 2


def test_a_line_of_csv_with_other_cells_is_listed(tmp_path):
    (tmp_path / "metadata.csv").write_text("source,edit,instruction\na,b,make, it red\na,b\na,b,make the mug red\n")
    found = scan(files_of(tmp_path)[0], policy(Ingest(folder=(str(tmp_path),))))
    assert [reason for _, reason in found.damaged] == [
        "line 2: expected 3 cells, got 4 cells",
        "line 3: expected 3 cells, got 2 cells",
    ]


def test_what_is_no_table_is_told(tmp_path):
    for name, data in (
        ("a.json", b"nonsense"),
        ("b.csv", b"source,edit,instruction\n\xff,b,c"),
        ("c.jsonl.gz", b"no gzip"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(Fault, match=rf"none of 1 files .*{name}: ") as caught:
            files_of(tmp_path / name)
        assert caught.value.code == "D01"


# What goes along


def test_masks_losing_edits_and_earlier_turns_are_kept_in_columns(tmp_path):
    made = drawn("color", "kept", (160, 120))
    mask = encoded(Image.new("L", (160, 120), 255))
    line = {
        "a": "s.png",
        "b": "e.png",
        "text": "make the mug red",
        "m": "m.png",
        "worse": "w.png",
        "before": ["add a mug", None],
    }
    for name, data in (("s", encoded(made.source)), ("e", encoded(made.edit)), ("m", mask), ("w", b"damaged")):
        (tmp_path / f"{name}.png").write_bytes(data)
    (tmp_path / "a.jsonl").write_text(json.dumps(line))
    named = ("source:a", "edit:b", "instruction:text", "mask:m", "rejected:worse", "turns:before")
    ingest = Ingest(folder=(str(tmp_path),), columns=named, count=30, min_side=64)
    files, _ = corpus_files(ingest)
    selection = Selection(
        ingest=ingest,
        corpora=("folder",),
        candidates=scan(files[0], policy(ingest)).candidates,
        excluded=np.array([], np.uint64),
    )
    todo = selection.todo()
    chunks = selection.chunks(todo, files, str(tmp_path / "aside"))
    for chunk in chunks:
        check_chunk(ingest, LIMIT, chunk)
    chosen, _ = splits(selection.with_checked(todo, [one for chunk in chunks for one in read_checked(chunk)]), 0)
    write_chosen(str(tmp_path / "out.parquet"), chosen, "x")
    [row] = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert row["mask_img"]["bytes"] == mask and row["rejected_img"] is None and row["turns"] == ["add a mug"]
    [raw] = [raw for part in parts(str(tmp_path / "out.parquet")) for raw in rows(part)]
    assert raw.turns == ("add a mug",)


# Corpora of 2025 and 2026, in the columns and layouts of their cards and of public readers


def scaleedit(place: Path) -> None:
    row = {"id": 0, "edit_task": "color_change", "edit_instruction": "make it red"}
    row |= {"source_image": PNG, "edited_image": PNG[:-1], "instruction_following_score": 3}
    (place / "3.1_color_change").mkdir()
    pq.write_table(pa.Table.from_pylist([row]), place / "3.1_color_change" / "color_change_0000.parquet")


def humanedit(place: Path) -> None:
    images = {"INPUT_IMG": {"bytes": PNG}, "OUTPUT_IMG": {"bytes": PNG[:-1]}, "MASK_IMG": {"bytes": PNG[:-2]}}
    pq.write_table(pa.Table.from_pylist([images | {"EDITING_INSTRUCTION": "make it red"}]), place / "a.parquet")


def pico(place: Path) -> None:
    row = {"open_image_input_url": "https://example.com/1.jpg", "text": "make it red", "edit_type": "Color"}
    row |= {"output_image": "images/positive-edit/1.png", "local_input_image": "openimages/0.jpg"}
    for name, data in (("images/positive-edit/1.png", PNG[:-1]), ("openimages/0.jpg", PNG)):
        (place / name).parent.mkdir(parents=True)
        (place / name).write_bytes(data)
    (place / "sft.jsonl").write_text(json.dumps(row))


def sharegpt(place: Path) -> None:
    row = {"input_prompt": "make it red", "input_image": ["image/v2v_0.png"], "output_image": "image/v2v_1.png"}
    both = row | {"input_image": ["image/v2v_0.png", "image/v2v_1.png"]}
    (place / "text_and_image_to_image.json").write_text(json.dumps([row, both]))
    tar_of(place / "text_and_image_to_image_part_0.tar", {"image/v2v_0.png": PNG})
    tar_of(place / "text_and_image_to_image_part_1.tar", {"image/v2v_1.png": PNG[:-1]})


def x2edit(place: Path) -> None:
    """Archives behind each other, whose names repeat."""
    whole = b""
    for text in ("make it red", "make it blue"):
        told = json.dumps({"instruction": text, "task": "color_change"}).encode()
        files = {"0.1.0.jpg": PNG, "0.2.jpg": PNG[:-1], "0.json": told, "0.txt": text.encode()}
        tar_of(place / "part", files)
        whole += (place / "part").read_bytes()
    (place / "part").unlink()
    (place / "0000.tar").write_bytes(whole)


def interedit(place: Path) -> None:
    row = {"sample_id": 0, "instruction": "make it red", "edit_type": "Local", "mask_file": "masks/mask_0.png"}
    row |= {"source_archive": "source-0.tar", "source_file": "sources/source_0.png"}
    row |= {"asset_archive": "asset-0.tar", "target_file": "targets/target_0.png"}
    for name in ("metadata", "source_shards", "asset_shards"):
        (place / name).mkdir()
    (place / "manifest.json").write_text('{"num_samples": 1}')
    (place / "metadata" / "train-0.jsonl.gz").write_bytes(gzip.compress(json.dumps(row).encode()))
    tar_of(place / "source_shards" / "source-0.tar", {"sources/source_0.png": PNG})
    tar_of(place / "asset_shards" / "asset-0.tar", {"targets/target_0.png": PNG[:-1], "masks/mask_0.png": PNG[:-2]})


BROUGHT = {
    scaleedit: "source:source_image,edit:edited_image,instruction:edit_instruction",
    humanedit: "source:INPUT_IMG,edit:OUTPUT_IMG,instruction:EDITING_INSTRUCTION,mask:MASK_IMG",
    pico: "source:local_input_image,edit:output_image,instruction:text",
    sharegpt: "source:input_image,edit:output_image,instruction:input_prompt",
    x2edit: "source:1.0.jpg,edit:2.jpg,instruction:instruction",
    interedit: "source:source_archive+source_file,edit:asset_archive+target_file,instruction:instruction,"
    "mask:asset_archive+mask_file",
}


@pytest.mark.parametrize("write", BROUGHT, ids=lambda write: write.__name__)
def test_corpora_of_2025_and_2026_are_read_by_their_columns(tmp_path, write):
    write(tmp_path)
    files = files_of(tmp_path, *BROUGHT[write].split(","))
    found = [raw for file in files for raw in read(file)]
    assert (found[0].source, found[0].edit, found[0].instruction) == (PNG, PNG[:-1], "make it red")
    assert found[0].mask == (PNG[:-2] if "mask:" in BROUGHT[write] else None)
    if write is x2edit:
        assert [raw.instruction for raw in found] == ["make it red", "make it blue"]
    if write is sharegpt:
        assert found[1].source_instead == "2 images, and an editor takes one"


@pytest.mark.parametrize("name", ["../source_shards/source-0.tar", "none.tar", ""])
def test_an_archive_that_is_not_there_or_leads_out_is_told(tmp_path, name):
    interedit(tmp_path)
    row = {"a": name, "b": "sources/source_0.png", "edit": "x", "instruction": "x"}
    (tmp_path / "metadata" / "x.jsonl").write_text(json.dumps(row))
    [raw] = read(files_of(tmp_path / "metadata" / "x.jsonl", "source:a+b")[0])
    assert raw.source is None and "no file sources/source_0.png" in raw.source_instead
