"""report.html in a real browser: what it shows is what it was given, nothing is run, nothing is fetched, all fits."""

import base64
import io
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.stages import report
from tests.support.browser import HOSTILE, PROBE, QUOTING, Dom, needs_chromium
from tests.support.triplets import image
from v4e.config import Config, parse
from v4e.files import journal
from v4e.files.pictures import ZOOM
from v4e.language.tasks import TABLE1, TASKS
from v4e.types import EditTriplet
from v4e.watch.report import MODEL_NAMES, RunFiles, embedded, render

pytestmark = needs_chromium

WIDTH, HEIGHT, FRAMES = 48, 32, 5
GAP = 2  # pixels between frames, before they are enlarged
REJECTED = [{"id": f"t/{n:03d} {QUOTING}", "stage": "precompute", "reason": f"{n} {HOSTILE}"} for n in range(60)]
CAPTIONS = [{"instruction": f"{HOSTILE} it", "caption": f"{QUOTING} turns", "origin": "template"}]
STAGES = {name: {"seconds": 1.5 * n, "peak_rss_mib": 700.0 + n} for n, name in enumerate(("rollout", "train"), 1)}


def clip(number: int) -> np.ndarray:
    return np.stack([np.asarray(image(100 * number + frame, WIDTH, HEIGHT)) for frame in range(FRAMES)])


def triplet(task: str, number: int) -> EditTriplet:
    """Twice the model's size: the report shows both on the model's grid."""
    source, edit = (image(number + n, 2 * WIDTH, 2 * HEIGHT) for n in (0, 1))
    return EditTriplet(id=f"{number}", instruction=f"{HOSTILE} {QUOTING} {number}", source=source, edit=edit, task=task)


EXAMPLES = [(triplet(task, 2 * n), {"ema": clip(2 * n), "native_i2v": clip(2 * n + 1)}) for n, task in enumerate(TASKS)]


def figures(rng: np.random.Generator, n: int) -> dict:
    success, l1 = (round(float(x), 4) for x in rng.uniform(size=2))
    return {"success": success, "edit_l1": l1, "preserve_psnr": round(float(rng.uniform(9, 99)), 2), "n": n}


@pytest.fixture(scope="module")
def table() -> dict:
    rng = np.random.default_rng(0)
    found = {m: {"overall": figures(rng, 220), "by_task": {t: figures(rng, 20) for t in TASKS}} for m in MODEL_NAMES}
    found["copy"]["overall"]["preserve_psnr"] = None
    return found


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Config:
    folder = tmp_path_factory.mktemp("report") / "<b>run"
    folder.mkdir()
    return parse([f"run.dir={folder}", f"data.width={WIDTH}", f"data.height={HEIGHT}"])


def found(table: dict, **changed) -> RunFiles:
    records: list[journal.Record] = [{"step": step, "kd": 1 / step, "tail": 2 / step} for step in range(1, 50)]
    whole = RunFiles(
        table=table, examples=EXAMPLES, stages=STAGES, captions=CAPTIONS, rejected=REJECTED, records=records
    )
    return replace(whole, **changed)


@pytest.fixture(scope="module")
def page(config, table) -> str:
    return render(config, found(table))


@pytest.fixture(scope="module")
def dom(browse, page) -> Dom:
    return browse(page + PROBE, 1200)


@pytest.mark.slow
def test_pictures_are_source_evolution_and_ground_truth_in_the_page_itself(dom):
    pictures = [attrs["src"] for tag, attrs in dom.tags if tag == "img"]
    size = (ZOOM * ((WIDTH + GAP) * (FRAMES + 1) - GAP), ZOOM * HEIGHT)
    assert dom.seen["images"] == [list(size)] * len(pictures) and len(pictures) == 2 * len(TASKS)
    shown = iter(pictures)
    for example, clips in EXAMPLES:
        source, edit = (
            np.asarray(side.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS))
            for side in (example.source, example.edit)
        )
        for frames in clips.values():
            kind, data = next(shown).split(",", 1)
            picture = Image.open(io.BytesIO(base64.b64decode(data, validate=True)))
            assert (kind, picture.format, picture.size) == ("data:image/png;base64", "PNG", size)
            pixels = np.asarray(picture.convert("RGB"))[::ZOOM, ::ZOOM]
            for at, expected in enumerate([source, *frames[1:], edit]):
                assert (pixels[:, at * (WIDTH + GAP) :][:, :WIDTH] == expected).all()


def test_numbers_are_those_of_the_input(dom, table):
    scores, stages = dom.tables[:2]
    assert scores[0] == ["task", *MODEL_NAMES.values()]
    rows = {row[0]: row[1:] for row in scores[1:]}
    assert list(rows)[: len(TASKS)] == [TABLE1[task].label for task in TASKS] and len(rows) == len(TASKS) + 3
    for at, model in enumerate(MODEL_NAMES):
        overall, by_task = table[model]["overall"], table[model]["by_task"]
        for task in TASKS:
            assert float(rows[TABLE1[task].label][at]) == pytest.approx(by_task[task]["success"], abs=0.00501)
        assert float(rows["overall"][at]) == pytest.approx(overall["success"], abs=0.000501)
        assert float(rows["L1 inside the edit"][at]) == pytest.approx(overall["edit_l1"], abs=0.000501)
        kept = overall["preserve_psnr"]
        assert rows["PSNR outside, dB"][at] == ("\N{EN DASH}" if kept is None else f"{kept:.2f}")
    percent = [f"{100 * table[model]['overall']['success']:.0f} %" for model in ("ema", "native_i2v", "vae")]
    assert dom.texts["b"][:4] == [*percent, "220"]
    assert stages[1:] == [["rollout", "1.5", "701"], ["train", "3.0", "702"], ["together", "4.5", ""]]
    assert "svg" in dom.texts  # the loss curves


def test_hostile_text_is_shown_and_not_run(dom, config):
    assert dom.texts["title"] == [f"v4e: {config.run.dir}"] and dom.texts["h1"] == [config.run.dir]
    for (example, _), told in zip(EXAMPLES, dom.texts["figcaption"], strict=True):
        assert told == f"{TABLE1[example.task].label} — “{example.instruction}”"
    assert dom.tables[2][1:] == [[row["instruction"], row["caption"], row["origin"]] for row in CAPTIONS]
    assert len(dom.texts["script"]) == 1  # the probe's
    assert not [key for _, attrs in dom.tags for key in attrs if key.startswith("on")]


def test_nothing_is_fetched(dom):
    assert dom.seen["fetched"] == []
    links = [attrs[key] for _, attrs in dom.tags for key in ("src", "href", "xlink:href", "srcset") if key in attrs]
    assert links and all(link.startswith(("data:", "#")) for link in links)


@pytest.mark.slow
def test_rejected_triplets_are_listed_and_those_beyond_the_page_counted(dom, config, table):
    assert dom.tables[3][1:] == [[row["id"], row["stage"], row["reason"]] for row in REJECTED[:50]]
    assert "and 10 more in rejected.parquet" in dom.texts["p"]
    without = render(config, found(table, rejected=[]))
    assert "No triplet was rejected." in without and "rejected.parquet" not in without


def test_a_wide_window_shows_every_column_and_a_narrow_one_needs_no_sideways_scrolling(browse, dom, page):
    assert dom.seen["widths"][0] == 1200 and dom.seen["cut"] == 0
    narrow = browse(page.replace("<figcaption>", "<figcaption>" + 200 * "w") + PROBE, 500)
    window, needed = narrow.seen["widths"]
    assert window == 500 and needed <= window
    assert narrow.seen["cut"] > 0  # tables scroll on their own


# A run under way


STEPS = (0, 200, 400)


def watched_records() -> list[journal.Record]:
    """A run of 450 steps whose kd stops falling, with two bad steps, and a pool that grows and loses a replica."""
    rng = np.random.default_rng(0)
    return [
        {
            "step": step,
            "loss": float("nan") if step in (30, 31) else 1.0,
            "kd": float(np.exp(-min(step, 40) / 20 + 0.01 * rng.standard_normal())),
            "tail": float(np.exp(-step / 200)),
            "seconds": 2.0,
            "wait_s": 0.5,
            "io_s": 0.1,
            "watch_s": 10.0 if step in STEPS else 0.0,
            "replicas": 1 + (step > 100),
            "queue": 3,
            "restarts": int(step > 300),
            "grown": int(step > 100),
        }
        for step in range(1, 451)
    ]


@pytest.fixture(scope="module")
def watched(tmp_path_factory) -> str:
    """The page of that run, as pipelines/report.py makes it from a folder with nothing else in it."""
    folder = tmp_path_factory.mktemp("watched")
    for record in watched_records():
        journal.append(folder / "metrics.jsonl", record)
    for number, step in enumerate(STEPS):
        strip_file(folder, step, number)
        figures = {f"{key}_{name}": 0.5 for key in ("success", "edit_l1") for name in ("student", "ema", "teacher")}
        psnr = {f"preserve_psnr_{name}": 25.0 - 5 * number for name in ("student", "ema", "teacher")}
        journal.append(folder / "samples.jsonl", {"step": step, **figures, **psnr, "seconds": 3.0, "decode_s": 0.25})
    (folder / "samples" / "chosen.json").write_text('{"from": "held-out"}')
    saved = asdict(parse(["optim.steps=900", "kd.taps=2,4", "run.dir=elsewhere"])) | {"later": {"unknown": 1}}
    (folder / "config.json").write_text(json.dumps(saved))
    report.run(parse([f"run.dir={folder}"]))
    return (folder / "report.html").read_text()


def strip_file(folder: Path, step: int, number: int, size: tuple[int, int] = (90, 60)) -> Path:
    path = folder / "samples" / f"step-{step:06d}.png"
    path.parent.mkdir(exist_ok=True)
    image(number, *size).save(path)
    return path


@pytest.mark.slow
def test_the_slider_shows_one_strip_at_a_time(browse, watched):
    dom = browse(watched + PROBE, 1200)
    assert dom.seen["images"] == [[90, 60]] * 3 and dom.seen["fetched"] == []
    figures = "{}: 50 % done, L1 0.500 inside, {:.1f} dB outside"
    assert [[text.strip() for text in shown] for shown in dom.seen["slid"]] == [
        [f"step {step} · {figures.format('student', psnr)} · {figures.format('EMA', psnr)}"]
        for step, psnr in ((400, 15), (0, 25), (200, 20))
    ]
    assert len(dom.texts["script"]) == 2  # the slider's and the probe's
    assert not [key for _, attrs in dom.tags for key in attrs if key.startswith("on")]


def test_a_run_under_way_shows_alarms_events_shares_and_its_own_settings(browse, watched):
    dom = browse(watched + PROBE, 500)
    assert dom.seen["widths"][1] <= 500
    [alarms, events] = dom.tables
    assert alarms[0] == ["step", "what"] and [row[0] for row in alarms[1:]] == ["30", "200", "250"]
    assert alarms[1][1] == "the loss or its gradient is not finite: skipped"
    assert alarms[2][1] == "the EMA drifts outside the edit: 20.0 dB, 5.0 dB below step 0"
    assert alarms[3][1].startswith("kd has stopped falling")
    assert events == [
        ["step", "times", "what"],
        ["101", "1", "replicas added, because students waited"],
        ["301", "1", "teacher replicas started again"],
    ]
    told = " ".join(" ".join(dom.texts[tag]) for tag in ("p", "h2", "pre"))
    assert "step 450 of 900" in told and '"taps": [\n   2,\n   4\n  ]' in told and '"dir": "elsewhere"' not in told
    assert "A strip took 3.0 s, 0.2 s of it to decode; all strips together 2.2 % of the training time" in told
    assert "The loss is 1.0 kd + 20.0 tail" in told
    for title in ("Alarms", "Samples while it trained", "Losses", "Where the time went", "Teacher pool", "Settings"):
        assert title in dom.texts["h2"]
    for absent in ("Edits", "Success per task", "Time and memory", "Evolution captions", "Rejected"):
        assert absent not in dom.texts["h2"]


def test_an_empty_folder_gets_a_page_that_says_so_and_none_is_refused(tmp_path):
    report.run(parse([f"run.dir={tmp_path}"]))
    assert "Nothing yet" in (tmp_path / "report.html").read_text()
    with pytest.raises(FileNotFoundError, match="no run at"):
        report.run(parse([f"run.dir={tmp_path / 'none'}"]))


@pytest.mark.slow
def test_many_and_large_strips_do_not_make_a_page_that_no_browser_opens(tmp_path, monkeypatch):
    few = embedded({step: str(strip_file(tmp_path, step, step, (16, 16))) for step in range(0, 1000, 5)})
    assert len(few) <= 81 and {0, 995} <= set(few) and list(few) == sorted(few)
    gaps = set(np.diff(sorted(few))[:-1])
    assert len(gaps) == 1  # even
    monkeypatch.setattr("v4e.watch.report.PAGE_BYTES", 1 << 20)
    shown = embedded({step: str(strip_file(tmp_path, step, step, (400, 400))) for step in range(2000, 2010)})
    assert {2000, 2009} <= set(shown) and 2 < len(shown) < 10
    assert all(uri.startswith("data:image/webp") for uri in shown.values())
    assert sum(map(len, shown.values())) <= 1 << 20
