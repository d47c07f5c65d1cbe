"""Judging: over real HTTP, killed and resumed, with unreadable replies, refusals, missing and damaged images."""

import base64
import io
import json
import shutil
import statistics
import threading
from pathlib import Path

import pytest
from PIL import Image

from pipelines.stages import benchmark
from tests.support.processes import kill_once, start
from tests.support.suites import (
    arguments,
    config_of,
    honest,
    http_judge,
    lines,
    outputs,
    plant,
    port_of,
    scores_of,
    words_of,
)
from v4e.config import Judge, parse
from v4e.evaluation.suites import imgedit
from v4e.evaluation.suites.estimate import estimate, image_tokens
from v4e.evaluation.suites.items import Picture, Question, encode
from v4e.evaluation.suites.places import read
from v4e.evaluation.suites.prompts import PROMPTS


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "test")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


@pytest.fixture(scope="module")
def edits(benchmarks, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("edits")
    plant(config_of(benchmarks, run))
    return run


def copy(edits: Path, run: Path) -> Path:
    """The planted edits, below another run."""
    return Path(shutil.copytree(edits, run))


@pytest.mark.slow
def test_killed_anywhere_the_same_command_ends_with_the_same_bytes(benchmarks, edits, tmp_path):
    """One run as a process that is killed while replies are under way, one that is not."""
    blocked, answered = threading.Event(), []

    def slow(request: dict) -> str:
        answered.append(1)
        if len(answered) > 9:
            blocked.wait()
        return honest(request)

    whole, torn = (tmp_path / "whole" / "run", tmp_path / "torn" / "run")
    folder = torn / "bench" / "gedit" / "theirs" / "gpt4o"
    with http_judge(slow) as (url, seen):
        copy(edits, torn)
        args = [*arguments(benchmarks, torn), f"judge.url={url}"]
        part = folder / "replies.part.jsonl"
        kill_once(
            start("benchmark.py", args, own_ray=True), lambda: part.exists() and part.read_bytes().count(b"\n") >= 4
        )
        kept = part.read_bytes()
        blocked.set()
        with part.open("ab") as file:
            file.write(b'{"id": "0/torn')  # a line that a crash cut short
        before = len(seen)
        config = parse(args)
        benchmark.run(config)
        asked_again = len(seen) - before
    total = 2 * 22 + 18 + 2
    assert asked_again == total - kept.count(b"\n")  # what had been answered was not asked again
    with http_judge(honest, port_of(url)) as (url, seen):
        copy(edits, whole)
        config = parse([*arguments(benchmarks, whole), f"judge.url={url}"])
        benchmark.run(config)
        assert len(seen) == total
        first = outputs(whole)
        benchmark.run(config)
        assert len(seen) == total and outputs(whole) == first  # a second run asks nothing and changes nothing
    ours = {k: v.replace(str(torn).encode(), str(whole).encode()) for k, v in outputs(torn).items()}
    assert ours == first


@pytest.mark.slow
def test_the_request_is_the_official_one(benchmarks, edits, tmp_path):
    run = copy(edits, tmp_path / "run")
    with http_judge(honest) as (url, seen):
        benchmark.run(parse([*arguments(benchmarks, run, "bench.suites=gedit,imgedit"), f"judge.url={url}"]))
    by_size = {len(r["messages"][0]["content"]): r for r in seen if "max_tokens" in r}
    assert set(by_size) == {2, 3}  # PQ shows the edit, SC both
    request = by_size[3]
    assert {k: v for k, v in request.items() if k != "messages"} == {"model": "gpt-4.1", "max_tokens": 1400}
    text, *images = request["messages"][0]["content"]
    assert text["type"] == "text" and "<instruction>" not in text["text"]
    sizes = set()
    for image in images:
        kind, data = image["image_url"]["url"].split(",")
        picture = Image.open(io.BytesIO(base64.b64decode(data)))
        assert kind == "data:image/jpeg;base64" and picture.format == "JPEG"
        sizes.add(picture.size)
    assert sizes == {(64, 64)}  # the edit was 40 x 48: it is shown in the source's size
    basic = next(r for r in seen if "max_tokens" not in r)
    text, source, edit = basic["messages"][0]["content"]
    assert set(basic) == {"model", "messages"} and "<edit_prompt>" not in text["text"]
    for image in (source, edit):
        kind, data = image["image_url"]["url"].split(",")
        assert kind == "data:image/png;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (40, 48)  # files as they are


def test_figures_are_those_of_the_raw_replies(benchmarks, edits, tmp_path):
    """From replies.jsonl to the overall in plain Python: the root is taken of each item, not of means."""
    run = copy(edits, tmp_path / "run")
    benchmark.run(parse(arguments(benchmarks, run, "bench.suites=gedit,imgedit", "judge.kind=fake")))
    least: dict[str, dict[str, int]] = {}
    for record in lines(run / "bench/gedit/theirs/fake/replies.jsonl"):
        found = json.loads(record["reply"])["score"]
        least.setdefault(record["key"], {})[record["kind"]] = min(found)
    by_group: dict[str, list[float]] = {}
    for key, found in least.items():
        by_group.setdefault(key.rsplit("-", 1)[0], []).append((found["SC"] * found["PQ"]) ** 0.5)
    overall = statistics.fmean(statistics.fmean(roots) for roots in by_group.values())
    scores = scores_of(run, "gedit", "fake")["en"]["macro"]
    assert len(by_group) == 11 and scores["O"]["value"] == pytest.approx(overall)
    assert overall < (scores["SC"]["value"] * scores["PQ"]["value"]) ** 0.5
    averages = json.loads((run / "bench/imgedit/theirs/average_score.json").read_text())
    for record in lines(run / "bench/imgedit/theirs/fake/replies.jsonl"):
        numbers = [int(line.split(": ")[1]) for line in record["reply"].splitlines()]
        assert len(numbers) == 3 and averages[record["key"]] == round(sum(numbers) / 3, 2)


def test_qwen_s_order_and_settings(benchmarks, edits, tmp_path):
    run = copy(edits, tmp_path / "run")
    more = ("bench.suites=gedit", "judge.order=images_first", "judge.model=Qwen/Qwen2.5-VL-72B-Instruct-AWQ")
    with http_judge(honest) as (url, seen):
        benchmark.run(parse([*arguments(benchmarks, run, *more), f"judge.url={url}"]))
    request = next(r for r in seen if len(r["messages"][0]["content"]) == 3)
    assert [part["type"] for part in request["messages"][0]["content"]] == ["image_url", "image_url", "text"]
    assert (request["seed"], request["max_tokens"]) == (42, 512)
    assert request["messages"][0]["content"][0]["image_url"]["url"].startswith("data:image/png")
    assert (run / "bench/gedit/theirs/qwen25vl/eval_results_new/theirs_combined_gpt_score.csv").exists()


@pytest.mark.slow
def test_unreadable_replies_refusals_and_bad_images_fail_their_item_alone(benchmarks, edits, tmp_path):
    run = copy(edits, tmp_path / "run")
    config = config_of(benchmarks, run)
    items = read(config, "gedit", "theirs").items
    never, once, refused, gone, damaged = items[:5]
    Path(gone.edited).unlink()
    Path(damaged.edited).write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    asked: list[str] = []

    def moody(request: dict) -> str | tuple[int, dict]:
        words = words_of(request)
        asked.append(words)
        if never.instruction in words:
            return "Splendid."
        if once.instruction in words and asked.count(words) == 1:
            return "Splendid."
        if refused.instruction in words:
            return 400, {"error": {"message": "content policy", "code": "content_policy_violation"}}
        return honest(request)

    args = [*arguments(benchmarks, run, "bench.suites=gedit"), "judge.retries=2"]
    with http_judge(moody) as (url, seen):
        benchmark.run(parse([*args, f"judge.url={url}"]))
        records = {(r["key"], r["kind"]): r for r in lines(run / "bench/gedit/theirs/gpt4o/replies.jsonl")}
        found = records[never.key, "SC"]
        assert (found["status"], found["scores"], found["tries"], found["reply"]) == ("failed", None, 3, "Splendid.")
        assert (records[once.key, "SC"]["status"], records[once.key, "SC"]["tries"]) == ("scored", 2)
        assert (
            records[refused.key, "SC"]["status"] == "failed"
            and "content policy" in records[refused.key, "SC"]["reason"]
        )
        assert records[refused.key, "PQ"]["status"] == "scored"
        assert records[gone.key, "PQ"]["status"] == "missing" and records[damaged.key, "PQ"]["status"] == "failed"
        scores = scores_of(run, "gedit", "gpt4o")
        lacking = {i["key"] for i in scores["items"] if i["values"] is None}
        assert lacking == {never.key, refused.key, gone.key, damaged.key}
        assert scores["en"]["headline"] is None and "18 of 22 items scored" in scores["en"]["marks"]
        assert (scores["en"]["by_item"]["O"]["n_scored"], scores["en"]["by_item"]["O"]["n_total"]) == (18, 22)
        csv = (run / "bench/gedit/theirs/gpt4o/eval_results_new/theirs_combined_gpt_score.csv").read_text()
        assert len(csv.splitlines()) == 1 + 18 and never.edited not in csv
        before = len(seen)
        benchmark.run(parse([*args, f"judge.url={url}"]))
        assert len(seen) == before  # what failed is not asked again unless told so
    with http_judge(honest, port_of(url)) as (url, seen):
        benchmark.run(parse([*args, f"judge.url={url}", "judge.ask_failed=true"]))
        assert len(seen) == 2
    assert {i["key"] for i in scores_of(run, "gedit", "gpt4o")["items"] if i["values"] is None} == {
        gone.key,
        damaged.key,
    }


def test_an_edit_that_changed_is_judged_anew(benchmarks, edits, tmp_path):
    run = copy(edits, tmp_path / "run")
    args = arguments(benchmarks, run, "bench.suites=imgedit")
    with http_judge(honest) as (url, seen):
        benchmark.run(parse([*args, f"judge.url={url}"]))
        before = len(seen)
        Image.new("RGB", (8, 8)).save(run / "bench" / "imgedit" / "theirs" / "0.png")
        benchmark.run(parse([*args, f"judge.url={url}"]))
        assert len(seen) == before + 1


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, r"OPENAI_API_KEY.*goes on"), (404, r"judge\.model.*goes on"), (200, r"judge\.url=.* OpenAI's protocol")],
)
def test_a_judge_that_is_not_there_ends_the_run_with_one_line(benchmarks, edits, tmp_path, status, words):
    run = copy(edits, tmp_path / "run")
    with (
        http_judge(lambda request: (status, {"error": {"message": "no"}})) as (url, _),
        pytest.raises(ValueError, match=words),
    ):
        benchmark.run(parse([*arguments(benchmarks, run), f"judge.url={url}"]))


def test_without_a_key_it_says_so(benchmarks, edits, tmp_path, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ValueError, match="OPENAI_API_KEY"):
        benchmark.run(parse(arguments(benchmarks, copy(edits, tmp_path / "run"))))


def test_the_fake_judge_makes_no_headline_even_forced(benchmarks, edits, tmp_path):
    run = copy(edits, tmp_path / "run")
    benchmark.run(parse(arguments(benchmarks, run, "judge.kind=fake", "bench.force=true")))
    for suite, part in (("gedit", "en"), ("imgedit", "all"), ("uge", "all")):
        found = scores_of(run, suite, "fake")
        assert found["judge"] == "fake" and found[part]["headline"] is None
        assert found[part]["macro"]["O" if suite == "gedit" else "score"]["value"] is not None
        assert "the fake judge looks at nothing" in found[part]["marks"]


def test_cost_is_estimated_and_a_run_above_the_limit_is_refused(benchmarks, edits, tmp_path):
    assert image_tokens(512, 512) == 85 + 170 and image_tokens(1024, 1024) == 85 + 4 * 170
    assert image_tokens(4096, 2048) == 85 + 6 * 170  # to 1536 x 768
    question = Question(
        text="x" * 400, pictures=(Picture(data=encode(Image.new("RGB", (512, 512)), "png").data, kind="png"),)
    )
    priced = Judge(price_in=2.0, price_out=8.0, parallel=10, reply_s=3.0)
    found = estimate([question], 1000, priced)
    assert (found.tokens_in, found.tokens_out, found.seconds) == (355_000, 80_000, 300.0)
    assert found.dollars == pytest.approx(0.355 * 2 + 0.08 * 8)
    assert estimate([question], 1000, Judge()).dollars is None
    run = copy(edits, tmp_path / "run")
    limits = ("judge.price_in=200.0", "judge.price_out=800.0", "judge.max_cost=0.01")
    with pytest.raises(ValueError, match=r"judge\.max_cost"):
        benchmark.run(parse(arguments(benchmarks, run, *limits)))
    assert not list(run.rglob("replies*.jsonl"))


def test_config_is_refused_early():
    for bad in (
        "bench.suites=gedti",
        "bench.models=a,a",
        "bench.models=a/b",
        "bench.languages=zh",
        "judge.max_cost=1.0",
    ):
        with pytest.raises(ValueError, match=r"bench\.|judge\."):
            parse([bad])
    assert json.loads(json.dumps(vars(parse(["bench.models=a:x/y,b"]).bench)))["models"] == ["a:x/y", "b"]


def test_editscore_s_prompts_passes_and_scale(benchmarks, edits, tmp_path):
    """The installed package's own prompts: on a scale of 25, sampled with its seeds, averaged over passes."""
    run = copy(edits, tmp_path / "run")
    replies = {(True, 42): [25, 20], (True, 43): [25, 10], (False, 42): [25, 15], (False, 43): [5, 25]}

    def reply(request: dict) -> str:
        both = len(request["messages"][0]["content"]) == 3
        return json.dumps({"reasoning": "seen", "score": replies[both, request["seed"]]})

    args = arguments(
        benchmarks, run, "bench.suites=gedit", "bench.rubrics=editscore", "bench.limit=1", "bench.passes=2"
    )
    with http_judge(reply) as (url, seen):
        benchmark.run(parse([*args, f"judge.url={url}", "judge.model=EditScore-7B"]))
    assert len(seen) == 11 * 2 * 2 and {r["temperature"] for r in seen} == {0.7}
    assert all("25" in words_of(r) and "<instruction>" not in words_of(r) for r in seen)
    found = scores_of(run, "gedit", "EditScore-7B")
    sc, pq = [8.0, 4.0], [6.0, 2.0]  # the smaller of each pair, on the scale of 10
    o = statistics.fmean((s * q) ** 0.5 for s, q in zip(sc, pq, strict=True))
    assert all(i["values"] == pytest.approx({"SC": 6.0, "PQ": 4.0, "O": o}) for i in found["items"])
    assert found["en"]["headline"] is None and "unofficial: bench.rubrics=editscore" in found["en"]["marks"]


def test_without_edits_there_is_nothing_to_judge(benchmarks, tmp_path):
    with pytest.raises(FileNotFoundError, match="none of the 22 edits"):
        benchmark.run(config_of(benchmarks, tmp_path, "bench.suites=gedit"))


def test_a_judge_that_could_not_be_asked_is_refused_before_any_edit_is_made(benchmarks, tmp_path, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    both = ("bench.stages=generate,judge", "bench.models=native_i2v")
    with pytest.raises(ValueError, match="OPENAI_API_KEY"):
        benchmark.run(config_of(benchmarks, tmp_path, *both))
    for bad in (f"judge.model={tmp_path / 'none'}", f"judge.lora={tmp_path / 'none'}"):
        with pytest.raises(FileNotFoundError, match=bad.split("=")[0]):
            benchmark.run(config_of(benchmarks, tmp_path, *both, "judge.kind=vllm", bad))
    assert not (tmp_path / "bench").exists()


@pytest.mark.parametrize(
    "key", ["bench.gedit", "bench.gedit_code", "bench.imgedit_code", "bench.multiturn", "bench.dir"]
)
def test_damaged_copies_are_named_in_one_line(benchmarks, tmp_path, key):
    bad = tmp_path / "bad.json"
    bad.write_text("[1]")
    for name in ("GEdit-Bench/viescore/vie_prompts.py", imgedit.ITEMS, PROMPTS):
        (tmp_path / "code" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "code" / name).write_text("[")
    value = tmp_path / "code" if key.endswith("code") else bad
    with pytest.raises(ValueError, match=str(value)) as caught:
        more = (f"{key}={value}", "bench.suites=gedit,imgedit,multiturn", "judge.kind=fake")
        benchmark.run(config_of(benchmarks, tmp_path / "run", *more))
    assert "\n" not in str(caught.value)
