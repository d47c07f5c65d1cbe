"""The published corpora: every column of their schemas, read by projection, images of chosen rows alone."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec import filesystem, register_implementation
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from v4e.config import Ingest, parse
from v4e.data.ingest.drawing import drawings
from v4e.data.ingest.fixtures import ROW_GROUP, write_all, write_hqedit
from v4e.data.quality import decode_image
from v4e.data.sources import RawTriplet
from v4e.data.sources.files import CorpusFile, corpus_files
from v4e.data.sources.formats import CORPORA, omniedit_tasks
from v4e.data.sources.read import Label, label_groups, triplets
from v4e.language.tasks import TASKS, rule_task

PUBLIC = tuple(name for name in CORPORA if name != "triplets")
IMAGE = "struct<bytes: binary, path: string>"


@pytest.fixture(scope="module")
def corpora(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("corpora")
    write_all(folder, per_task=2, scale=0.1)
    return folder


def files_of(corpora: Path, *names: str) -> list[CorpusFile]:
    files, unreadable = corpus_files(Ingest(**{name: (str(corpora / name),) for name in names}))
    assert not unreadable
    return files


def labels_of(file: CorpusFile) -> list[Label]:
    return [label for group in label_groups(file) for label in group]


def triplets_of(file: CorpusFile) -> Iterator[RawTriplet]:
    for _, raw in triplets(file, [label.place for label in labels_of(file)]):
        yield raw


def types_of(path: Path) -> dict[str, str]:
    return {field.name: str(field.type) for field in pq.read_schema(path)}


def test_fixtures_have_the_published_schemas(corpora: Path):
    """Types as the dataset cards and files give them; free-form shards of UltraEdit have columns of type null."""
    hqedit = types_of(corpora / "hqedit/data/train-00000-of-00190.parquet")
    assert hqedit == dict.fromkeys(("input", "output", "edit", "inverse_edit"), "string") | {
        "input_image": IMAGE,
        "output_image": IMAGE,
    }
    ultraedit = corpora / "ultraedit"
    free = types_of(ultraedit / "UltraEdit/data/FreeForm_0-00000-of-00002.parquet")
    half = types_of(ultraedit / "UltraEdit_500k/data/FreeForm-00000-of-00390.parquet")
    region = types_of(ultraedit / "UltraEdit_Region_Based_100k/data/RegionBase-00000-of-00108.parquet")
    assert (free["mask_image"], free["edit_object"]) == ("null", "null")
    assert (region["mask_image"], region["edit_object"]) == (IMAGE, "string")
    assert set(half) == set(region) - {"mask_image", "edit_object"}
    assert (free["clip_sim_dir"], free["idx"], free["edited_image"]) == ("double", "int64", IMAGE)
    magicbrush = types_of(corpora / "magicbrush/data/train-00000-of-00051.parquet")
    assert magicbrush["turn_index"] == "int32" and magicbrush["target_img"] == IMAGE
    assert types_of(corpora / "omniedit/data/dev-00000-of-00001.parquet")["src_img"] == "binary"


@pytest.mark.parametrize("name", PUBLIC)
def test_every_row_of_a_corpus_is_read(corpora: Path, name: str):
    corpus = CORPORA[name]
    for file in files_of(corpora, name):
        found = labels_of(file)
        assert len(found) == file.rows * len(corpus.pairs)
        assert len({label.id for label in found}) == len(found) and all(label.id for label in found)
        assert all(set(label.scores) == set(corpus.scores) for label in found)
        for label, raw in zip(found, triplets_of(file), strict=True):
            assert (raw.id, raw.instruction, raw.task, raw.corpus) == (label.id, label.instruction, label.label, name)
            source = decode_image(raw.source, "source", 10**6)
            assert source.size == decode_image(raw.edit, "edit", 10**6).size
            assert label.size in (None, source.size)


def test_an_inverse_edit_turns_its_pair_round(corpora: Path):
    [file] = files_of(corpora, "hqedit")
    there, back = list(triplets_of(file))[:2]
    assert (back.source, back.edit) == (there.edit, there.source)
    assert back.id == f"{there.id}-inverse" and back.instruction == f"undo: {there.instruction}"


def test_paraphrase_0_is_the_instruction(corpora: Path):
    train = next(file for file in files_of(corpora, "omniedit") if "train" in file.uri)
    assert not any(label.instruction.startswith("please") for label in labels_of(train))


def test_labels_are_read_without_images(tmp_path: Path, monkeypatch):
    """Of a file that is almost only images, a small part is read; and of those, one row group of many."""
    write_hqedit(tmp_path / "hqedit", drawings("hqedit", 3, (300, 300)))
    read: list[int] = []
    open_file = LocalFileSystem._open

    def counted(self, path, *args, **kwargs):
        opened = open_file(self, path, *args, **kwargs)
        plain = opened.read

        def read_some(*size):
            data = plain(*size)
            read.append(len(data))
            return data

        opened.read = read_some
        return opened

    monkeypatch.setattr(LocalFileSystem, "_open", counted)
    [file] = files_of(tmp_path, "hqedit")
    assert file.rows == 33 and file.size > 500_000
    read.clear()
    places = [label.place for label in labels_of(file)]
    assert 0 < sum(read) < 0.2 * file.size
    read.clear()
    assert len(list(triplets(file, [place for place in places if 8 <= place[0] < 10]))) == 4
    assert 0 < sum(read) < 0.5 * file.size


def test_a_damaged_row_group_spoils_no_other(corpora: Path, tmp_path: Path):
    [file] = files_of(corpora, "hqedit")
    data = bytearray(Path(file.uri.removeprefix("file://")).read_bytes())
    metadata = pq.read_metadata(file.uri.removeprefix("file://")).row_group(0)
    for column in range(metadata.num_columns):
        start = metadata.column(column).data_page_offset
        data[start : start + 40] = b"\xff" * 40
    (tmp_path / "train.parquet").write_bytes(data)
    broken = replace(file, uri=str(tmp_path / "train.parquet"))
    groups = label_groups(broken)
    with pytest.raises((pa.ArrowException, OSError)):
        list(next(groups))
    rest = [label.place for group in groups for label in group]
    assert rest == [label.place for label in labels_of(file)][2 * ROW_GROUP :]
    assert [raw.source for _, raw in triplets(broken, rest)] == [raw.source for _, raw in triplets(file, rest)]


def test_files_that_cannot_be_used_are_told_and_the_rest_is_read(corpora: Path, tmp_path: Path):
    good = (corpora / "hqedit/data/train-00000-of-00190.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(good[: len(good) // 2])
    (tmp_path / "b.parquet").write_bytes(good)
    pq.write_table(pa.table({"edit": ["make it red"]}), tmp_path / "c.parquet")
    (tmp_path / "readme.txt").write_text("not Parquet")
    files, unreadable = corpus_files(Ingest(hqedit=(str(tmp_path),)))
    assert [file.stem for file in files] == ["b"]
    assert [one.uri.rsplit("/", 1)[1] for one in unreadable] == ["a.parquet", "c.parquet"]
    assert "no column 'input_image', only edit" in unreadable[1].reason


def test_what_cannot_be_read_at_all_is_refused(corpora: Path, tmp_path: Path):
    with pytest.raises(ValueError, match=r"no corpus is named.*ingest\.omniedit.*fixtures"):
        corpus_files(Ingest())
    with pytest.raises(FileNotFoundError, match=r"HQ-Edit at .*set ingest\.hqedit"):
        corpus_files(Ingest(hqedit=(str(tmp_path),)))
    with pytest.raises(ValueError, match=r"ingest\.hqedit: none of 2 files .* no column 'input_image'"):
        corpus_files(Ingest(hqedit=(str(corpora / "omniedit"),)))
    for folder in "ab":
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "0.parquet").write_bytes(
            (corpora / "hqedit/data/train-00000-of-00190.parquet").read_bytes()
        )
    with pytest.raises(ValueError, match=r"2 are called 0, .*rename"):
        corpus_files(Ingest(hqedit=(str(tmp_path / "a"), str(tmp_path / "b"))))


class Locked(MemoryFileSystem):
    """An object store that lets nobody look."""

    protocol = "locked"

    def isdir(self, path):
        raise PermissionError("no key")


def test_a_store_that_lets_nobody_look_is_told_with_its_setting():
    register_implementation("locked", Locked, clobber=True)
    with pytest.raises(
        ValueError, match=r"locked://a cannot be listed \(PermissionError: no key\): set ingest\.hqedit"
    ):
        corpus_files(Ingest(hqedit=("locked://a",)))


def test_settings_without_a_number_are_refused():
    for setting in ("candidates=inf", "min_clip_dir=nan", "min_side=0"):
        with pytest.raises(ValueError, match=rf"^ingest\.{setting}\b"):
            parse([f"ingest.{setting}"])


def test_any_filesystem_and_any_order(corpora: Path):
    data = (corpora / "hqedit/data/train-00000-of-00190.parquet").read_bytes()
    memory = filesystem("memory")
    for name in ("x", "y"):
        memory.pipe_file(f"/hq/{name}.parquet", data)
    names = ("memory://hq/y.parquet", "memory://hq/x.parquet")
    first, second = (corpus_files(Ingest(hqedit=order))[0] for order in (names, names[::-1]))
    assert first == second and [file.number for file in first] == [0, 1]
    assert len(list(triplets_of(first[1]))) == 2 * first[1].rows


def test_a_folder_of_images(tmp_path: Path):
    """JSON lines or CSV; a broken line, a missing image and one outside the folder are rows without what they lack."""
    (tmp_path / "a.png").write_bytes(b"image")
    (tmp_path.parent / "secret.png").write_bytes(b"secret")
    rows = [
        {"source": "a.png", "edit": "none.png", "instruction": "make it red", "id": "one"},
        {"source": "../secret.png", "edit": "a.png", "instruction": "add\n a hat"},
    ]
    (tmp_path / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + "{broken\n")
    files, _ = corpus_files(Ingest(folder=(str(tmp_path),)))
    assert [label.instruction for label in labels_of(files[0])] == ["make it red", "add a hat", ""]
    found = [(raw.source, raw.edit) for raw in triplets_of(files[0])]
    assert found == [(b"image", None), (None, b"image"), (None, None)]
    (tmp_path / "metadata.jsonl").unlink()
    (tmp_path / "metadata.csv").write_text("source,edit,instruction,task\na.png,a.png,make it red,color\n")
    files, _ = corpus_files(Ingest(folder=(str(tmp_path),)))
    assert [(raw.source, raw.task) for raw in triplets_of(files[0])] == [(b"image", "color")]
    (tmp_path / "metadata.csv").write_text("before,after\na.png,a.png\n")
    with pytest.raises(ValueError, match="no column 'source', only before, after"):
        corpus_files(Ingest(folder=(str(tmp_path),)))


def test_omniedits_labels_mean_tasks_of_ours():
    """The id's beginning is finer than the label; what the two say is never more than the label may mean."""
    assert omniedit_tasks("attribute_modification", "task_attr_mod_color_1") == ("color",)
    assert omniedit_tasks("env", "task_env_weather_2") == ("tone",)
    assert omniedit_tasks("env", "unknown") == ("tone", "background")
    assert omniedit_tasks("swap", "task_obj_swap_joint_mask_3") == ("replacement", "background")
    assert omniedit_tasks("nothing", "unknown") == ()
    assert omniedit_tasks("motion", "world") == ("motion",), "files of ours have tasks of ours"


def test_the_fixtures_instructions_are_what_their_rules_say(corpora: Path):
    [file] = files_of(corpora, "folder")
    agree = [rule_task(label.instruction)[0] == label.label for label in labels_of(file)]
    assert {label.label for label in labels_of(file)} == set(TASKS)
    assert sum(agree) / len(agree) > 0.9
