"""pipelines/caption.py: reading, batching, resuming; and a whole run with a scripted model."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.llm.captioner import CaptionBatch
from pipelines.stages import caption
from pipelines.stages.caption import _batches, _current, run
from tests.support.openai_server import Server, serve
from v4e.captions.checks import check_caption
from v4e.captions.vote import TaskLabel
from v4e.captions.write import CaptionRequest, WrittenCaption
from v4e.config import Caption, Config, Data, Run
from v4e.data.captions_table import SCHEMA, read_captions, read_instructions, write_captions
from v4e.data.reject import read_rejected
from v4e.data.sources import parts
from v4e.data.store.jobs import DUPLICATE, plan_work
from v4e.files.uri import remove
from v4e.language.tasks import TASKS

ROWS = [
    ("a/1", "remove the red lamp", "removal"),
    ("a/2", "make the red circle blue", "attribute_modification"),
    ("a/3", " ", "style"),
    ("a/4", "remove the red lamp", "removal"),
    ("a/5", "replace the red circle with a green star", "replacement"),
    ("a/6", "change the sign to say 'GO'", "text"),
]


READ = [(identity, text.strip() or "another phrasing", task) for identity, text, task in ROWS]


def write_triplets(path: Path, rows: list[tuple[str, str, str]], second: str = "another phrasing") -> str:
    """OmniEdit's columns, as far as captions need them, and an image column that must not be read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = {
        "omni_edit_id": [row[0] for row in rows],
        "task": [row[2] for row in rows],
        "src_img": [{"bytes": b"not an image", "path": ""} for _ in rows],
        "edited_prompt_list": [[row[1], second] for row in rows],
    }
    pq.write_table(pa.table(table), path)
    return str(path)


def caption_row(identity: str, **changed) -> dict:
    row = {
        "id": identity,
        "instruction": "make it night",
        "caption": "The image gradually becomes night, while structure and content remain unchanged.",
        "task": "tone",
        "task_source": "rules",
        "rule_task": "tone",
        "llm_task": "",
        "agree": True,
        "edits": ["make it night"],
        "turns": [],
        "origin": "llm",
        "model": "m",
        "prompt_hash": "h",
        "checks": [],
    }
    return row | changed


def test_instructions_are_the_first_phrasing_that_says_something(tmp_path: Path):
    uri = write_triplets(tmp_path / "train.parquet", ROWS)
    assert read_instructions(uri) == READ
    assert read_instructions(uri, limit=2) == READ[:2]
    write_triplets(tmp_path / "folder" / "0.parquet", ROWS[:3])
    write_triplets(tmp_path / "folder" / "1.parquet", ROWS[3:])
    assert read_instructions(str(tmp_path / "folder")) == READ


def test_instructions_are_read_as_triplets_are(tmp_path: Path):
    """From globs and from folders with other files, with or without a column of tasks."""
    write_triplets(tmp_path / "1.parquet", ROWS[3:])
    uri = write_triplets(tmp_path / "0.parquet", ROWS[:3])
    pq.write_table(pq.read_table(uri).drop_columns(["task"]), uri)
    (tmp_path / "README.md").write_text("not Parquet")
    expected = [(row[0], row[1], "") for row in READ[:3]] + READ[3:]
    assert read_instructions(str(tmp_path)) == expected
    assert read_instructions(f"{tmp_path}/*.parquet", limit=4) == expected[:4]


def test_wrong_corpora_are_refused(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"data\.train"):
        read_instructions(str(tmp_path / "none.parquet"))
    pq.write_table(pa.table({"omni_edit_id": ["a"]}), tmp_path / "bad.parquet")
    with pytest.raises(ValueError, match="edited_prompt_list"):
        read_instructions(str(tmp_path / "bad.parquet"))


def test_captions_come_back_from_files_and_parts(tmp_path: Path):
    rows = [caption_row("x/1"), caption_row("x/2", checks=["drift"])]
    whole, parts = str(tmp_path / "captions.parquet"), str(tmp_path / "captions.parquet.parts")
    assert read_captions(whole) == {}
    write_captions(whole, rows)
    assert list(read_captions(whole).values()) == rows
    for index, row in enumerate(rows):
        write_captions(f"{parts}/{index:06d}.parquet", [row])
    assert list(read_captions(parts).values()) == rows
    remove(parts)
    assert read_captions(parts) == {} and pq.read_schema(whole).equals(SCHEMA)


def test_a_file_that_is_no_captions_is_refused_by_its_name(tmp_path: Path):
    path = tmp_path / "captions.parquet"
    path.write_bytes(b"half a file")
    with pytest.raises(ValueError, match=r"captions\.parquet cannot be read .*run\.overwrite=true"):
        read_captions(str(path))
    pq.write_table(pa.table({"id": ["x"]}), path)
    with pytest.raises(ValueError, match=r"no column 'instruction', only id: .*run\.overwrite=true"):
        read_captions(str(path))


def todo(rows: list[tuple[str, str, str]]) -> dict[str, CaptionRequest]:
    return {row[0]: CaptionRequest(instruction=row[1], task=row[2] if row[2] in TASKS else "") for row in rows}


def test_equal_requests_share_one_question_and_batches_do_not_depend_on_what_is_done():
    rows = [row for row in ROWS if row[1].strip()]
    batches = _batches(todo(rows), 2)
    assert [list(batch) for batch in batches] == [
        [
            CaptionRequest(instruction="remove the red lamp", task="removal"),
            CaptionRequest(instruction="make the red circle blue", task=""),
        ],
        [
            CaptionRequest(instruction="replace the red circle with a green star", task="replacement"),
            CaptionRequest(instruction="change the sign to say 'GO'", task="text"),
        ],
    ]
    assert batches[0][CaptionRequest(instruction="remove the red lamp", task="removal")] == ["a/1", "a/4"]
    more = [*rows, ("b/1", "make it night", "tone")]
    assert _batches(todo(more), 2)[:2] == batches


def test_a_caption_is_stale_when_what_it_depends_on_changed():
    asked = CaptionRequest(instruction="make it night")
    assert _current(caption_row("x/1"), asked, "h")
    assert not _current(None, asked, "h")
    assert not _current(caption_row("x/1"), asked, "other prompts")
    assert not _current(caption_row("x/1"), CaptionRequest(instruction="make it day"), "h")
    assert not _current(caption_row("x/1"), CaptionRequest(instruction="make it night", task="style"), "h")
    assert not _current(
        caption_row("x/1"), CaptionRequest(instruction="make it night", task="tone", source="person"), "h"
    )
    assert not _current(caption_row("x/1", origin="person"), asked, "h")  # its correction was taken back
    assert not _current(caption_row("x/1"), CaptionRequest(instruction="make it night", turns=("a", "b")), "h")


def test_bad_rows_are_recorded_and_the_first_of_an_id_is_captioned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def answers(asked, _caption, _total):
        for index, requests in asked:
            label = TaskLabel(task="tone", source="rules", rule="tone", llm="")
            one = WrittenCaption(caption="c", label=label, edits=("e",), turns=(), origin="template", checks=())
            written = [one for _ in requests]
            yield CaptionBatch(index=index, written=written, tokens=0, seconds=0)

    monkeypatch.setattr(caption, "connect", lambda: None)
    monkeypatch.setattr(caption, "write_batches", answers)
    config = Config(recipe="test", run=Run(dir=str(tmp_path)))
    rows = [("a", "make it night", ""), (None, "make it day", ""), ("a", "make it dawn", ""), ("b", " ", "")]
    uri = write_triplets(tmp_path / "triplets" / "train.parquet", rows, second="")  # pyright: ignore[reportArgumentType]
    run(config)
    captions = read_captions(str(tmp_path / "captions.parquet"))
    assert {key: row["instruction"] for key, row in captions.items()} == {"a": "make it night"}
    recorded = {row["id"]: row["reason"] for row in read_rejected(str(tmp_path))}
    assert recorded == {"": "id of 0 characters: expected 1 to 180 bytes", "b": "empty instruction"}
    work = plan_work(parts(uri, images=False), captions, {}, batch=4)
    assert work.missing == 1 and {row["id"]: row["reason"] for row in work.rejected} == {**recorded, "a": DUPLICATE}


@pytest.fixture
def scripted():
    with serve() as server:
        yield server


@pytest.mark.slow
@pytest.mark.ray
def test_a_run_is_complete_resumable_and_idempotent(
    cluster, scripted: Server, tmp_path: Path, capsys: pytest.CaptureFixture
):
    settings = Caption(url=scripted.url, model="any", vote="never", batch=2, candidates=3)
    config = Config(recipe="test", run=Run(dir=str(tmp_path)), data=Data(frames=5), caption=settings)
    write_triplets(tmp_path / "triplets" / "train.parquet", ROWS, second="")
    out = tmp_path / "captions.parquet"
    run(config)
    first = pq.read_table(out).to_pylist()
    assert [row["id"] for row in first] == ["a/1", "a/2", "a/4", "a/5", "a/6"]
    assert first[0]["caption"] == first[2]["caption"]
    assert [row["task_source"] for row in first] == ["corpus", "rules", "corpus", "corpus", "corpus"]
    for row in first:
        assert check_caption(row["caption"], row["instruction"], row["task"]) == row["checks"] == []
    assert pq.read_table(tmp_path / "rejected.parquet").to_pylist()[0]["id"] == "a/3"
    assert not (tmp_path / "captions.parquet.parts").exists()
    assert "by the model" in capsys.readouterr().out

    changed, asked = out.stat().st_mtime_ns, len(scripted.asked)
    run(config)  # nothing is missing, nothing is asked or written
    assert (out.stat().st_mtime_ns, len(scripted.asked)) == (changed, asked)

    # as if killed after the first batch: its part is there, the rest is not
    write_captions(f"{out}.parts/000000.parquet", first[:3])
    out.unlink()
    run(config)
    assert pq.read_table(out).to_pylist() == first
