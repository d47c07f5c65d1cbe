"""RISEBench by the whole command: the official questions, over real HTTP, and the figures of their replies."""

import base64
import io
import json

import pytest
from PIL import Image

from pipelines.stages import benchmark
from tests.support.suites import config_of, http_judge, plant, scores_of, words_of
from v4e.evaluation.suites.compare import compare


def reply_of(request: dict) -> str:
    """5 of everything but plausibility, which is 4; logical answers are all right."""
    words = words_of(request)
    score = 1 if "0 at worst" in words else 4 if "camera" in words else 5
    return f"Step by step.\n\n**Final Score:** **{score}**"


@pytest.mark.slow
def test_the_command_asks_the_official_questions_and_gives_their_figures(benchmarks, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "test")
    plant(config_of(benchmarks, tmp_path, "bench.suites=rise"))
    source = json.loads((benchmarks / "rise" / "datav2_total_w_subtask.json").read_text())[0]
    Image.new("RGB", (1600, 800)).save(
        tmp_path / "bench/rise/theirs/images/temporal_reasoning/temporal_reasoning_1.png"
    )
    with http_judge(reply_of) as (url, seen):
        config = config_of(benchmarks, tmp_path, "bench.suites=rise", "bench.stages=judge,report", f"judge.url={url}")
        benchmark.run(config)
        count = len(seen)
        benchmark.run(config)
        assert len(seen) == count == 2 * 2 + 3 * (3 + 2)  # two logical items; the others' second ones are free
    asked = [r for r in seen if source["instruction"] in words_of(r) and sizes(r)[-1] == (768, 384)]
    assert sorted(len(sizes(r)) for r in asked) == [1, 2]  # reasoning sees the edit alone
    for request in seen:
        assert (request["temperature"], request["max_tokens"]) == (0, 4096)
    result = scores_of(tmp_path, "rise", "gpt4o")
    assert {a: m["value"] for a, m in result["all"]["macro"].items()} == pytest.approx(
        {
            "reasoning": 100,
            "consistency": 100,
            "plausibility": 75,
            "score": (6 * 95 + 2 * 100) / 8,  # 4.8 of 5 in six items
            "accuracy": 25,
        }
    )
    assert result["all"]["headline"] is None and compare(result, result, 10)
    table = (tmp_path / "bench" / "tables.csv").read_text()
    assert "Accuracy,25.0," in table and "Logical,100.0," in table
    assert "accuracy by task" in (tmp_path / "bench" / "report.html").read_text()


def sizes(request: dict) -> list[tuple[int, int]]:
    parts = [p["image_url"]["url"] for p in request["messages"][0]["content"] if p["type"] == "image_url"]
    return [Image.open(io.BytesIO(base64.b64decode(uri.split(",", 1)[1]))).size for uri in parts]


def test_the_fake_judge_answers_our_own_prompts(benchmarks, tmp_path):
    config = config_of(
        benchmarks, tmp_path, "bench.suites=rise", "bench.rubrics=own", "judge.kind=fake", "bench.passes=2"
    )
    plant(config)
    benchmark.run(config)
    result = scores_of(tmp_path, "rise", "fake")
    assert result["all"]["macro"]["accuracy"]["n_scored"] == 8 and result["all"]["headline"] is None
