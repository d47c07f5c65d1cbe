"""The audit's page in a real browser, and the way from its CSV back into captions.parquet."""

import csv
import io
import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.llm.captioner import CaptionBatch
from pipelines.stages import caption, caption_audit
from tests.support.browser import HOSTILE, PROBE, QUOTING, needs_chromium
from tests.support.triplets import image
from v4e.captions.corrections import Correction, read_csv
from v4e.captions.vote import TaskLabel
from v4e.captions.write import CaptionRequest, WrittenCaption
from v4e.config import Caption, Config, Run
from v4e.data.captions_table import read_captions, write_captions
from v4e.data.reject import read_rejected
from v4e.language.tasks import TABLE1, TASKS

PER_TASK = 3


def png(number: int) -> bytes:
    buffer = io.BytesIO()
    image(number, 40, 30).save(buffer, "PNG")
    return buffer.getvalue()


def audited(folder: Path) -> Config:
    """A run with 5 captions of each task, one triplet's image broken, one row of two edits, hostile texts."""
    texts = {f"{task}/{n}": f"{task} {n} {HOSTILE} {QUOTING}" for task in TASKS for n in range(5)}
    rows = []
    for number, (key, text) in enumerate(texts.items()):
        task, n = key.split("/")
        rows.append(
            {
                "id": key,
                "instruction": text,
                "caption": f"{text} gradually, while all stays.",
                "task": task,
                "task_source": "rules",
                "rule_task": task,
                "llm_task": "style" if number % 5 == 0 else task,
                "agree": number % 5 != 0 or task == "style",
                "edits": [text, "another"] if n == "1" else [text],
                "turns": [],
                "origin": "template" if n == "0" else "llm",
                "model": "m",
                "prompt_hash": "h",
                "checks": ["drift"] if n == "2" else [],
            }
        )
    table = {
        "omni_edit_id": list(texts),
        "edited_prompt_list": [[text] for text in texts.values()],
        "src_img": [{"bytes": png(n), "path": ""} for n in range(len(texts))],
        "edited_img": [{"bytes": png(100 + n), "path": ""} for n in range(len(texts))],
    }
    (folder / "triplets").mkdir(parents=True)
    pq.write_table(pa.table(table), folder / "triplets" / "train.parquet", row_group_size=20)
    write_captions(str(folder / "captions.parquet"), rows)
    return Config(recipe="test", run=Run(dir=str(folder)), caption=Caption(audit_per_task=PER_TASK))


@needs_chromium
def test_the_page_shows_samples_images_agreement_and_runs_nothing(browse, tmp_path: Path):
    config = audited(tmp_path / "run")
    caption_audit.run(config)
    page = (tmp_path / "run" / "captions_audit.html").read_text() + PROBE
    dom = browse(page, 1200)
    assert dom.seen["images"] == [[40, 30]] * (2 * PER_TASK * len(TASKS)) and dom.seen["fetched"] == []
    assert (
        dom.texts["title"] == [f"captions: {config.run.dir}"] and len(dom.texts["script"]) == 2
    )  # the page's and the probe's
    assert not [key for _, attrs in dom.tags for key in attrs if key.startswith("on")]
    shown = [text for text in dom.texts["p"] if HOSTILE in text and "gradually" not in text]
    assert len(shown) == PER_TASK * len(TASKS) and all(text.endswith(f"{HOSTILE} {QUOTING}") for text in shown)
    assert Counter(text.split()[0] for text in shown) == dict.fromkeys(TASKS, PER_TASK)

    tasks, agreement = dom.tables
    assert tasks[1:] == [[TABLE1[task].label, "5", "20.0 %"] for task in TASKS]
    assert agreement[0] == ["rules \\ model", *TASKS]
    at = 1 + TASKS.index("style")
    for line, task in zip(agreement[1:], TASKS, strict=True):
        counts = dict(zip(agreement[0][1:], line[1:], strict=True))
        assert line[0] == task and counts[task] == ("5" if task == "style" else "4") and line[at]
    assert [text.strip() for text in dom.texts["b"][:5]] == ["55", "80.0 %", "20.0 %", "80.0 %", "81.8 %"]
    assert browse(page, 500).seen["widths"][1] <= 500


@needs_chromium
def test_corrections_made_on_the_page_come_back_through_its_csv(browse, tmp_path: Path):
    config = audited(tmp_path / "run")
    caption_audit.run(config)
    act = """<script>
        const [first, second] = document.querySelectorAll("article");
        first.querySelector("select").value = "tone";
        second.querySelector("textarea").value = "=1, \\"a\\"\\nb";
        const told = document.createElement("pre");
        told.textContent = JSON.stringify([corrections(), first.dataset.id, second.dataset.id]);
        document.body.append(told);
        </script>"""
    dom = browse((tmp_path / "run" / "captions_audit.html").read_text() + act + PROBE, 1200)
    text, first, second = json.loads(dom.texts["pre"][0])
    (tmp_path / "back.csv").write_bytes(text.encode())
    assert read_csv(str(tmp_path / "back.csv")) == {
        first: Correction(task="tone"),
        second: Correction(caption='=1, "a"\nb'),
    }
    read_as = [text for text in dom.texts["small"] if text.startswith("read as ")]
    assert len(read_as) == PER_TASK * len(TASKS) <= len(dom.texts["li"])


def test_the_sample_does_not_look_at_how_captions_came_out(tmp_path: Path):
    rows = list(read_captions(audited(tmp_path).run.dir + "/captions.parquet").values())
    chosen = [row["id"] for row in caption_audit.sample(rows, 2, 0)]
    assert len(chosen) == 2 * len(TASKS) and chosen == [r["id"] for r in caption_audit.sample(rows[::-1], 2, 0)]
    assert chosen != [row["id"] for row in caption_audit.sample(rows, 2, 1)]
    assert chosen == [r["id"] for r in caption_audit.sample([r | {"origin": "x", "checks": []} for r in rows], 2, 0)]


def test_a_run_without_captions_is_told_what_to_do(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"run pipelines/caption\.py first"):
        caption_audit.run(Config(recipe="test", run=Run(dir=str(tmp_path))))


# From the CSV back into the captions


ROWS = {"a": "make the car blue", "b": "remove the tree", "c": "make it night", "d": "surprise me"}


def label_all_style(request: CaptionRequest, voted: bool) -> WrittenCaption:
    task, source = (request.task, request.source) if request.task else ("tone", "rules")
    label = TaskLabel(task=task, source=source, rule="tone", llm="style" if voted else "")
    if request.instruction == "surprise me":
        label = TaskLabel(task="", source="rules", rule="", llm="")
    turns = ("t",) * len(request.turns)
    return WrittenCaption(
        caption=f"{request.instruction} as {task}", label=label, edits=(), turns=turns, origin="llm", checks=()
    )


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the model was asked for; it labels everything as style."""
    seen: list[str] = []

    def answers(batches, config, _total):
        for index, requests in batches:
            seen.extend(request.instruction for request in requests)
            written = [label_all_style(request, config.vote == "all") for request in requests]
            yield CaptionBatch(index=index, written=written, tokens=1, seconds=1)

    monkeypatch.setattr(caption, "connect", lambda: None)
    monkeypatch.setattr(caption, "write_batches", answers)
    return seen


def corpus(folder: Path, **columns: list) -> None:
    table = {"omni_edit_id": list(ROWS), "edited_prompt_list": [[text] for text in ROWS.values()]}
    (folder / "triplets").mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(table | columns), folder / "triplets" / "train.parquet")


def captions(folder: Path) -> dict[str, dict]:
    return read_captions(str(folder / "captions.parquet"))


def test_corrections_override_and_are_taken_back(tmp_path: Path, asked: list[str]):
    corpus(tmp_path)
    plain = Config(recipe="test", run=Run(dir=str(tmp_path)))
    caption.run(plain)
    first = captions(tmp_path)
    assert list(first) == ["a", "b", "c"] and len(asked) == 4
    assert read_rejected(str(tmp_path))[0]["id"] == "d"  # nobody knows its task

    sheet = tmp_path / "fixed.csv"
    with sheet.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["id", "correct_task", "correct_caption"])
        lines.writerows([["a", "color", ""], ["b", "", "The tree slowly goes, while all stays."], ["z", "tone", ""]])
    asked.clear()
    fixed = Config(recipe="test", run=plain.run, caption=Caption(corrections=str(sheet)))
    caption.run(fixed)
    rows = captions(tmp_path)
    assert asked == ["make the car blue"]  # the rest of their batch is not asked again
    assert (rows["a"]["task"], rows["a"]["task_source"], rows["a"]["caption"]) == (
        "color",
        "person",
        "make the car blue as color",
    )
    assert (rows["b"]["caption"], rows["b"]["origin"]) == ("The tree slowly goes, while all stays.", "person")
    assert rows["c"] == first["c"]
    asked.clear()
    caption.run(fixed)
    assert asked == [] and captions(tmp_path) == rows

    caption.run(plain)
    assert captions(tmp_path) == first


def test_rows_whose_labels_disagree_are_dropped_by_policy_and_come_back(tmp_path: Path, asked: list[str]):
    corpus(tmp_path, task=["tone", "tone", "style", ""])
    keep = Config(recipe="test", run=Run(dir=str(tmp_path)), caption=Caption(vote="all"))
    caption.run(keep)
    kept = captions(tmp_path)
    assert {key: row["agree"] for key, row in kept.items()} == {"a": False, "b": False, "c": False}
    asked.clear()
    drop = Config(recipe="test", run=keep.run, caption=Caption(vote="all", disagree="drop"))
    caption.run(drop)
    assert asked == [] and captions(tmp_path) == {}
    reasons = {row["id"]: row["reason"] for row in read_rejected(str(tmp_path))}
    assert reasons["c"] == "task labels disagree: corpus or decision style, rules tone, model style"
    caption.run(drop)
    assert asked == []  # what was dropped is not asked for again
    caption.run(keep)
    assert asked == [] and captions(tmp_path) == kept


def test_a_label_that_ingest_took_from_the_rules_is_not_called_the_corpuss(tmp_path: Path, asked: list[str]):
    who = {"rules_task": ["tone", "tone", "style", ""], "agreement": ["rules", "differ", "differ", "corpus"]}
    corpus(tmp_path, task=["tone"] * 4, **who)
    caption.run(Config(recipe="test", run=Run(dir=str(tmp_path))))
    rows = captions(tmp_path)
    assert [rows[key]["task_source"] for key in "abc"] == ["rules", "rules", "corpus"]


def test_a_session_of_turns_is_read_and_gets_a_caption_each(tmp_path: Path, asked: list[str]):
    corpus(tmp_path, turns=[["make the car blue", "now make it red"], None, [], None])
    caption.run(Config(recipe="test", run=Run(dir=str(tmp_path))))
    assert [len(row["turns"]) for row in captions(tmp_path).values()] == [2, 0, 0]
    asked.clear()
    caption.run(Config(recipe="test", run=Run(dir=str(tmp_path))))
    assert asked == []
