"""A real vision-language model on vLLM as judge: it sees the right pictures, and what it cannot say has failed."""

from pathlib import Path

import pytest
from PIL import Image

from actors.llm.judge import judges
from pipelines.stages import benchmark
from tests.support.processes import actors_of_ours
from tests.support.suites import arguments, config_of, lines, plant, scores_of
from tests.support.tiny_vlm import SAYS, plain, teach
from v4e.config import Judge, parse
from v4e.evaluation.suites.items import Question, encode
from v4e.evaluation.suites.places import read
from v4e.evaluation.suites.rubrics import OWN_PQ, SCALE, rubric

OWN = ("bench.suites=gedit", "bench.rubrics=own", "bench.limit=1")
pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.long]


@pytest.fixture(scope="module")
def model(benchmarks, tmp_path_factory) -> Path:
    """Taught on the questions and sources of the fixture's GEdit-Bench."""
    config = config_of(benchmarks, tmp_path_factory.mktemp("lessons"), *OWN)
    plant(config)
    items = read(config, "gedit", "theirs").items
    told = rubric("gedit", config.bench, config.judge)
    folder = tmp_path_factory.mktemp("vlm")
    texts = [told.build(item, kind).text for item in items for kind in told.kinds]
    teach(folder, texts, [Image.open(item.source).convert("RGB") for item in items])
    return folder


def test_a_model_on_vllm_scores_what_it_sees_and_what_it_cannot_say_has_failed(benchmarks, model, cluster, tmp_path):
    config = config_of(benchmarks, tmp_path, *OWN)
    plant(config)
    colours = {}
    for n, item in enumerate(read(config, "gedit", "theirs").items):
        colours[item.key] = list(SAYS)[n % len(SAYS)]
        plain(colours[item.key]).save(item.edited)
    judge = (f"judge.model={model}", "judge.kind=vllm", "judge.retries=1", "judge.max_tokens=20", "judge.batch=8")
    benchmark.run(parse(arguments(benchmarks, tmp_path, *OWN, *judge, "judge.timeout_s=600")))
    found = scores_of(tmp_path, "gedit", model.name)
    values = {"green": {"SC": 8, "PQ": 8, "O": 8.0}, "red": {"SC": 2, "PQ": 2, "O": 2.0}, "blue": None}
    assert {i["key"]: i["values"] for i in found["items"]} == {key: values[c] for key, c in colours.items()}
    unread = [r for r in lines(tmp_path / "bench/gedit/theirs" / model.name / "replies.jsonl") if not r["scores"]]
    assert {(r["status"], r["tries"], r["reply"].strip()) for r in unread} == {("failed", 2, SAYS["blue"])}
    assert all(read > 20 and written > 1 for read, written in (r["tokens"] for r in unread))
    scored = sum(c != "blue" for c in colours.values())
    assert found["en"]["headline"] is None and f"{scored} of 11 items scored" in found["en"]["marks"]


def test_an_engine_that_is_killed_is_started_again_and_says_the_same(model, cluster):
    ask = judges(Judge(kind="vllm", model=str(model), timeout_s=600))
    questions = [Question(text=OWN_PQ + SCALE, pictures=(encode(plain(c), "png"),), max_tokens=20) for c in SAYS]
    first = ask(questions, 0)
    running = actors_of_ours("VlmJudge")
    assert running
    for engine in running:
        engine.kill()
    assert ask(questions, 0) == first and [r.text.strip() for r in first] == list(SAYS.values())
