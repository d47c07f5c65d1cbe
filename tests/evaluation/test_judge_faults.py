"""What judges of all makes do: think aloud, refuse, fail for one item, change under one name, repeat themselves."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from pipelines.parts.benchmark_judge import show
from pipelines.stages import benchmark
from tests.support.suites import (
    arguments,
    completion,
    config_of,
    honest,
    http_judge,
    lines,
    plant,
    port_of,
    scores_of,
    words_of,
)
from v4e.config import Bench, Judge, parse
from v4e.evaluation.metrics.bootstrap import interval
from v4e.evaluation.suites import endpoint, gedit, imgedit
from v4e.evaluation.suites.identity import identity, title
from v4e.evaluation.suites.items import Suite
from v4e.evaluation.suites.places import read
from v4e.evaluation.suites.replies import answer
from v4e.evaluation.suites.scores import ItemScore, summarize
from v4e.evaluation.suites.silence import EQUAL, Silence
from v4e.evaluation.suites.tables import csv_text, markdown, tables
from v4e.faults import Fault
from v4e.files import progress

FINAL = '{"score": [8, 7], "reasoning": "ok"}'
GEDIT = ("bench.suites=gedit", "bench.limit=1", "judge.parallel=1")


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "test")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setattr(endpoint, "RETRIES", 0)


@pytest.fixture(scope="module")
def edits(benchmarks, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("edits")
    plant(config_of(benchmarks, run))
    return run


@pytest.fixture
def run(edits, tmp_path) -> Path:
    """The planted edits, below another run."""
    return Path(shutil.copytree(edits, tmp_path / "run"))


def records(run: Path, judge: str = "gpt4o", suite: str = "gedit") -> list[dict]:
    return list(lines(run / "bench" / suite / "theirs" / judge / "replies.jsonl"))


# Thinking (J1)


@pytest.mark.parametrize(
    ("reply", "scores"),
    [
        ('<think>Perhaps {"score": [2, 2]} is too harsh.</think>\n' + FINAL, [8, 7]),
        ('Perhaps {"score": [2, 2]}.</think>' + FINAL, [8, 7]),
        ('<think>Perhaps {"score": [2, 2]}', None),
        ('<think>{"score": [1, 1]}</think>\n<think>{"score": [2, 2]}</think>[8, 7]', [8, 7]),
        (
            '<|channel|>analysis<|message|>{"score": [2, 2]}<|end|>'
            "<|start|>assistant<|channel|>final<|message|>[8, 7]<|return|>",
            [8, 7],
        ),
        ("[THINK]score: 3[/THINK]7", [7]),
        ('◁think▷{"score": [2, 2]}◁/think▷' + FINAL, [8, 7]),
        ('<thinking>{"score": [2, 2]}</thinking><answer>' + FINAL + "</answer>", [8, 7]),
        ('{"reasoning": "a "bad" score: [3, 4] at first", "score": [8, 7]}', None),
        ('First try: {"score": [1, 1]}\nFinal: {"score": [8, 7]}', None),
        ('{"score": [8, 7]} No: score: [2, 2]', None),
        ('{"score": [8, 7], "score": [1, 1]}', None),
        (FINAL + "\n" + FINAL, [8, 7]),
        ('{"score": [8, 7], "reasoning": "not \\"score\\": [3, 4]"}', [8, 7]),
        ("<think>hm</think>07", None),
        ("[08, 7]", None),
        ("٣", None),
    ],
)
def test_a_draft_is_never_scored(reply, scores):
    assert gedit.read_reply(reply) == scores


def test_lines_of_a_draft_are_not_counted():
    draft, final = (
        "Request: 2\nSeamlessness: 2\nRest unchanged: 2\n",
        "Request: 5\nSeamlessness: 4\nRest unchanged: 4\n",
    )
    assert imgedit.read_reply(f"<think>\n{draft}</think>\n{final}", 3) == [5, 4, 4]
    assert imgedit.read_reply(f"<think>\n{draft}", 3) is None
    assert imgedit.read_reply(draft + final, 3) is None
    assert answer(final) == final, "a reply without thinking is what it is, to the byte"


def test_a_thinking_judge_is_read_and_the_official_files_hold_its_answer(benchmarks, run):
    def thinks(request: dict) -> str:
        return "<think>Request: 1\nSeamlessness: 1\nRest unchanged: 1\n</think>\n" + honest(request)

    with http_judge(thinks) as (url, _):
        benchmark.run(parse([*arguments(benchmarks, run, "bench.suites=imgedit"), f"judge.url={url}"]))
    found = json.loads((run / "bench/imgedit/theirs/result.json").read_text())
    assert found and not any("<think>" in text for text in found.values())
    assert all("<think>" in r["reply"] and r["status"] == "scored" for r in records(run, suite="imgedit"))


def test_a_reply_that_was_cut_is_asked_again(benchmarks, run):
    """A draft is whole before the words end; parts of a reply that are thinking are left out."""
    parts = [{"type": "thinking", "thinking": "score: [2, 2]"}, {"type": "text", "text": FINAL}]

    def reply(request: dict):
        cut = completion('{"score": [2, 2]} is too har', finish="length")
        return 200, (completion(parts) if seen.count(request) > 1 else cut)

    with http_judge(reply) as (url, seen):
        benchmark.run(parse([*arguments(benchmarks, run, *GEDIT), f"judge.url={url}"]))
    assert {(r["tries"], tuple(r["scores"])) for r in records(run)} == {(2, (8, 7))}
    assert scores_of(run, "gedit", "gpt4o")["second_tries"] == 1.0


# Whose reply it is (J2)


@pytest.mark.slow
def test_replies_of_another_address_or_of_other_adapters_are_not_reused(benchmarks, run, tmp_path):
    args = arguments(benchmarks, run, *GEDIT)
    with http_judge(lambda r: (200, completion(FINAL, model="a-2025"))) as (url, seen):
        benchmark.run(parse([*args, f"judge.url={url}"]))
        benchmark.run(parse([*args, f"judge.url={url}/"]))  # the same place
        assert len(seen) == 22
    assert {(r["model"], r["by"]["url"]) for r in records(run)} == {("a-2025", url)}
    with http_judge(lambda r: (200, completion('{"score": [1, 1]}', model="b"))) as (other, seen):
        benchmark.run(parse([*args, f"judge.url={other}"]))
        assert len(seen) == 22
    found = scores_of(run, "gedit", "gpt4o")
    assert found["by"]["url"] == other and found["en"]["macro"]["O"]["value"] == 1.0
    assert found["answered_by"] == [{"model": "b", "fingerprint": "", "replies": 22}]


def test_who_judges_is_told_by_weights_and_address_without_a_key_in_it(tmp_path, monkeypatch):
    base = Judge(kind="vllm", model=str(tmp_path / "m"))
    for name, data in (("m", b"1"), ("l", b"2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "adapter.safetensors").write_bytes(data)
    tuned = Judge(kind="vllm", model=base.model, lora=str(tmp_path / "l"))
    first = identity(tuned)
    assert first != identity(base) and "l" in title(first, "m")
    (tmp_path / "l" / "adapter.safetensors").write_bytes(b"3")
    assert identity(tuned) != first, "trained on, in the same folder"
    who = identity(Judge(url="http://user:secret@host:1/v1?key=secret"))
    assert who["url"] == "http://host:1/v1"
    assert identity(Judge()) == identity(Judge(lora="ignored")) != who
    monkeypatch.setenv("OPENAI_BASE_URL", "http://host:1/v1")
    assert identity(Judge()) == who


# One item that never gets a reply (J3), a judge that refuses every request (J4), or one (J6)


def test_one_item_that_always_fails_ends_no_run(benchmarks, run):
    bad = read(config_of(benchmarks, run), "gedit", "theirs").items[0].instruction

    def moody(request: dict):
        return (500, {"error": {"message": "out of memory"}}) if bad in words_of(request) else honest(request)

    with http_judge(moody) as (url, seen):
        args = [*arguments(benchmarks, run, "bench.suites=gedit", "judge.parallel=1"), f"judge.url={url}"]
        benchmark.run(parse(args))
        statuses = [r["status"] for r in records(run)]
        assert (statuses.count("failed"), statuses.count("scored")) == (1, 43)
        assert "out of memory" in records(run)[0]["reason"]
        before = len(seen)
        benchmark.run(parse(args))
        assert len(seen) == before


def test_many_in_a_row_end_it_and_are_asked_again(benchmarks, run):
    down = {"now": False}

    def moody(request: dict):
        return (503, {"error": {"message": "loading"}}) if down["now"] else honest(request)

    args = [*arguments(benchmarks, run, *GEDIT), "judge.give_up=4"]
    with http_judge(lambda r: (down.update(now=len(seen) > 10), moody(r))[1]) as (url, seen):
        with pytest.raises(Fault, match=r"4 questions in a row .*503: .*loading.*goes on") as caught:
            benchmark.run(parse([*args, f"judge.url={url}"]))
        assert caught.value.code == "J01"
        assert 14 <= len(seen) <= 15  # one may be under way
    with http_judge(honest, port_of(url)) as (url, seen):
        benchmark.run(parse([*args, f"judge.url={url}"]))
        assert len(seen) == 22 - 10
    assert {r["status"] for r in records(run)} == {"scored"}


@pytest.mark.parametrize("status", [400, 422])
def test_a_judge_that_refuses_every_request_stops_the_run_with_its_words(benchmarks, run, status):
    def picky(request: dict):
        if "max_tokens" in request:
            words = f"Unsupported parameter: 'max_tokens'; use 'max_completion_tokens' (request {len(seen)}x9)"
            return status, {"error": {"message": words, "code": "unsupported_parameter"}}
        return honest(request)

    args = arguments(benchmarks, run, *GEDIT)
    with http_judge(picky) as (url, seen):
        with pytest.raises(ValueError, match=r"every request.*max_completion_tokens.*judge\.parameters"):
            benchmark.run(parse([*args, f"judge.url={url}"]))
        asked = len(seen)
        assert EQUAL <= asked <= EQUAL + 1  # one may be under way
        named = "judge.parameters=max_tokens:max_completion_tokens,seed:"
        benchmark.run(parse([*args, f"judge.url={url}", named]))
        assert {r["max_completion_tokens"] for r in seen[asked:]} == {1400}
    assert {r["status"] for r in records(run)} == {"scored"}
    with pytest.raises(ValueError, match=r"judge\.parameters=.*max_tokens, seed, temperature"):
        parse(["judge.parameters=top_p:"])


def test_policies_are_of_items_however_many_are_refused(benchmarks, run):
    def strict(request: dict):
        return 400, {
            "error": {"message": "Rejected as a result of our safety system", "code": "content_policy_violation"}
        }

    with http_judge(strict) as (url, seen):
        benchmark.run(parse([*arguments(benchmarks, run, *GEDIT), f"judge.url={url}"]))
        assert len(seen) == 22
    assert {r["status"] for r in records(run)} == {"failed"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (completion(None, refusal="I cannot look at people."), "I cannot look at people."),
        (completion(None, finish="content_filter"), "content filter"),
    ],
)
def test_a_refusal_in_the_message_is_recorded_with_its_words_and_not_asked_again(benchmarks, run, body, words):
    with http_judge(lambda r: (200, body)) as (url, seen):
        benchmark.run(parse([*arguments(benchmarks, run, *GEDIT), f"judge.url={url}"]))
        assert len(seen) == 22
    assert all(words in r["reason"] and (r["status"], r["tries"]) == ("failed", 1) for r in records(run))


def test_silence_is_of_the_judge_only_where_nothing_else_got_a_reply():
    def record(reason: str = "") -> dict:
        return {"reason": reason}

    quiet = Silence(3, answered=False)
    assert quiet.take(record("a"), lost=True, doubtful=False) == []
    assert quiet.take(record(), lost=False, doubtful=False) == [record("a"), record()]
    assert [quiet.take(record("no"), lost=False, doubtful=True) for _ in range(9)] == [[record("no")]] * 9
    assert quiet.take(record("b"), lost=True, doubtful=False) == [] and quiet.end() == [record("b")]
    never = Silence(3, answered=False)
    never.take(record("gone"), lost=True, doubtful=False)
    with pytest.raises(ValueError, match=r"none of 1 questions got a reply.*gone"):
        never.end()
    assert Silence(1, answered=True).end() == []


# Sources of another program's edits (J5)


def test_sources_beside_another_program_s_edits_are_laid_out(benchmarks, run, capsys):
    for path in (*run.rglob("*_SRCIMG.png"), *run.rglob("sources/**/*.png")):
        path.unlink()
    benchmark.run(parse(arguments(benchmarks, run, "judge.kind=fake")))
    assert {r["status"] for suite in ("gedit", "imgedit", "uge") for r in records(run, "fake", suite)} == {"scored"}


# Tables (J7, J9), rows without an instruction (J8)


def test_every_figure_has_its_n_and_csv_has_numbers(benchmarks, run):
    items = [i for i in read(config_of(benchmarks, run), "imgedit", "theirs").items if i.group == "add"]
    Path(items[0].edited).unlink()
    benchmark.run(parse(arguments(benchmarks, run, "bench.suites=imgedit", "judge.kind=fake")))
    found = tables({("imgedit", "theirs"): scores_of(run, "imgedit", "fake")}, ["theirs"], ["en"])
    row = next(line for line in markdown(found).splitlines() if line.startswith("| **theirs**"))
    cells = [cell.strip() for cell in row.split("|")[2:-2]]
    assert len(cells) == 10 and cells[0].endswith("(1/2)") and cells[1].endswith("(2/2)") and "(17/18)" in cells[9]
    text = [line.split(",") for line in csv_text(found).splitlines()]
    assert text[0][3:8] == ["value", "low", "high", "n_scored", "n_total"]
    ours = [line for line in text if line[1] == "theirs"]
    assert [line[6:8] for line in ours[:2]] == [["1", "2"], ["2", "2"]] and all(float(line[3]) >= 1 for line in ours)
    assert float(ours[9][4]) <= float(ours[9][3]) <= float(ours[9][5])


def test_languages_have_tables_of_their_own_that_80_columns_hold(benchmarks, run, monkeypatch, capsys):
    from rich.console import Console

    config = config_of(benchmarks, run, "bench.suites=gedit", "bench.languages=en,cn", "judge.kind=fake")
    plant(config)
    console = Console(width=80)
    monkeypatch.setattr(progress, "console", console)
    monkeypatch.setattr("pipelines.parts.benchmark_judge.console", console)
    benchmark.run(config)
    told = capsys.readouterr().out
    assert "(2/2)" in told and not any("…" in line for line in told.splitlines() if line.startswith("│"))
    found = scores_of(run, "gedit", "fake")
    assert any("22 items of cn" in mark for mark in found["cn"]["marks"])
    assert not any("items of en" in mark for mark in found["cn"]["marks"])
    full = {
        part: found["en"] | {"macro": {a: {"value": 10.0, "n_scored": 606, "n_total": 606} for a in ("SC", "PQ", "O")}}
        for part in ("en",)
    }
    show({"suite": "gedit", "model": "m", "judge": "j"} | full)
    assert "10.000 (606/606)" in capsys.readouterr().out


def test_a_whole_language_is_whole_though_another_is_not():
    items = read_items("en", 2)
    suite = Suite(name="gedit", items=items, groups=("g",), hashes={}, whole=False, lacking={"cn": "1 items of cn"})
    scores = [ItemScore(row=n, item=i, values={"SC": 1, "PQ": 1, "O": 1.0}) for n, i in enumerate(items)]
    assert summarize(suite, scores, Bench(draws=1), Judge(), language="en").marks == ()
    assert "1 items of cn" in summarize(suite, scores, Bench(draws=1), Judge(), language="cn").marks[0]


def read_items(language: str, n: int):
    from v4e.evaluation.suites.items import SuiteItem

    return tuple(
        SuiteItem(key=str(k), group="g", instruction="x", source="s", edited="e", language=language) for k in range(n)
    )


@pytest.mark.parametrize("column", ["instruction", "key", "instruction_language"])
def test_a_row_of_gedit_without_a_text_is_told_and_left_out(benchmarks, tmp_path, column):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(benchmarks / "gedit")
    values = table[column].to_pylist()
    at = next(n for n, language in enumerate(table["instruction_language"].to_pylist()) if language == "en")
    values[at] = None if column != "instruction" else "  "
    changed = table.set_column(table.schema.get_field_index(column), column, pa.array(values, pa.string()))
    (tmp_path / "gedit").mkdir()
    pq.write_table(changed, tmp_path / "gedit" / "a.parquet")
    config = config_of(benchmarks, tmp_path / "run", f"bench.gedit={tmp_path / 'gedit'}", "bench.suites=gedit")
    suite = read(config, "gedit", "theirs")
    assert len(suite.items) == 21 and any("left out" in note and column in note for note in suite.notes)
    plant(config)


def test_an_item_of_imgedit_without_a_prompt_is_told_and_left_out(benchmarks, tmp_path):
    code = Path(shutil.copytree(benchmarks / "imgedit_code", tmp_path / "code"))
    found = json.loads((code / imgedit.ITEMS).read_text())
    found["0"]["prompt"] = None
    (code / imgedit.ITEMS).write_text(json.dumps(found))
    suite = imgedit.read(Bench(imgedit_code=str(code)), "imgedit", "save", "m")
    assert len(suite.items) == 17 and any("item 0" in note and "prompt" in note for note in suite.notes)


# Repeated judging (J10)


def test_repeated_replies_are_averaged_and_their_noise_is_in_the_interval(benchmarks, run):
    """Every item 4 by the first reply and 2 by the second: items do not differ, the judge does."""

    def noisy(request: dict) -> str:
        score = (4, 2)[sum(r == request for r in seen[:-1]) % 2]
        return f"Request: {score}\nSeamlessness: {score}\nRest unchanged: {score}\n"

    args = arguments(benchmarks, run, "bench.suites=imgedit", "bench.passes=2", "judge.parallel=1")
    with http_judge(noisy) as (url, seen):
        benchmark.run(parse([*args, f"judge.url={url}"]))
        assert len(seen) == 36
    found = scores_of(run, "imgedit", "gpt4o")
    assert found["all"]["macro"]["score"]["value"] == 3.0 and found["passes"] == 2
    for kind in ("interval", "judge_interval"):
        low, high = found["all"][kind]["score"]
        assert 2.0 < low < 2.9 and 3.1 < high < 4.0
    official = json.loads((run / "bench/imgedit/theirs/average_score.json").read_text())
    assert set(official.values()) == {4.0}, "the official files are of the first reply"


def test_intervals_of_several_values_are_those_of_a_simulation():
    groups = [[(0.0, 1.0)] * 50, [(5.0,)] * 50]
    low, high = interval(groups, 4000)
    error = (0.25 / 2 / 50) ** 0.5 / 2
    assert (high - low) / 2 == pytest.approx(1.96 * error, rel=0.1) and (low + high) / 2 == pytest.approx(
        2.75, abs=0.01
    )
    assert interval([[(3.0,), 3.0]], 10, items=False) == (3.0, 3.0)
    spread = [[(1.0, 1.0), (9.0, 9.0)]]
    assert interval(spread, 100, items=False) == (5.0, 5.0) and interval(spread, 100)[0] < 5


def test_a_picture_of_one_pixel_is_judged(benchmarks, run):
    for item in read(config_of(benchmarks, run), "gedit", "theirs").items[:2]:
        Image.new("RGB", (1, 1)).save(item.edited)
    benchmark.run(parse(arguments(benchmarks, run, *GEDIT, "judge.kind=fake")))
    assert {r["status"] for r in records(run, "fake")} == {"scored"}


# Edits of other programs in one command (bench.edits)


def test_edits_of_another_program_are_brought_and_judged_in_one_command(benchmarks, tmp_path):
    """Named by key alone, by language and key, or as officially; as PNG, JPEG or WebP; of two suites in one folder."""
    config = config_of(benchmarks, tmp_path / "planted", "bench.languages=en,cn", "bench.suites=gedit,imgedit")
    plant(config)
    place = tmp_path / "theirs"
    for suite, end in (("gedit", ".jpg"), ("imgedit", ".png")):
        for n, item in enumerate(read(config, suite, "theirs").items):
            names = (f"{item.language}/{item.key}", f"x/fullset/{item.group}/{item.language}/{item.key}")
            name = names[n % 2] if suite == "gedit" else f"imgedit/{item.key}"
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            Image.open(item.edited).convert("RGB").save(place / f"{name}{end}")
    args = arguments(
        benchmarks, tmp_path / "run", "bench.languages=en,cn", "bench.suites=gedit,imgedit", "judge.kind=fake"
    )
    args = [a for a in args if not a.startswith(("bench.models", "bench.stages"))]
    benchmark.run(parse([*args, f"bench.edits=other:{place}"]))
    for suite, total in (("gedit", 44), ("imgedit", 18)):
        items = scores_of(tmp_path / "run", suite, "fake", "other")["items"]
        assert len([i for i in items if i["values"]]) == len(items) == total
    assert (tmp_path / "run" / "bench" / "report.html").exists()
    assert Image.open(read(parse(args), "gedit", "other").items[0].edited).format == "PNG"


def test_edits_that_cannot_be_brought_are_told(benchmarks, run, tmp_path):
    args = arguments(benchmarks, run, "bench.suites=imgedit", "judge.kind=fake")
    for name in ("two/a/0.png", "two/b/0.png"):
        (tmp_path / name).parent.mkdir(parents=True)
        Image.new("RGB", (9, 9)).save(tmp_path / name)
    (run / "bench/imgedit/mine").mkdir(parents=True)
    (run / "bench/imgedit/mine/manifest.json").write_text("{}")
    for edits, words in (
        (f"x:{tmp_path / 'none'}", "is no folder"),
        (f"x:{tmp_path / 'two'}", "both named as 0"),
        (f"mine:{tmp_path / 'two' / 'a'}", "choose another name"),
    ):
        with pytest.raises(Fault, match=words) as caught:
            benchmark.run(parse([*args, f"bench.edits={edits}"]))
        assert caught.value.code == "J02"
