"""Short forms of benchmarks/serving/soak.py: no request is lost while clients leave and processes die, and none that
lives on grows."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest

from benchmarks.serving.soak import measure

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.long]


def soak(*args: float) -> tuple[list[dict], dict]:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as processes:  # this one may have another Ray
        return processes.submit(measure, *args).result()


def test_no_request_is_lost():
    rows, summary = soak(150.0, 12, 60.0)
    assert summary["lost"] == 0, [row["wrong"] for row in rows if "wrong" in row]
    assert summary["kills"] == 2 and summary["answered"] > 0 and summary["left"] > 0
    assert summary["requests"] == sum(summary[name] for name in ("answered", "refused", "left", "lost"))


def test_no_process_grows():
    rows, summary = soak(240.0, 12, 0.0)
    assert summary["lost"] == 0 and summary["kills"] == 0
    grown = [row for row in rows if "end_mib" in row]
    assert sorted(row["process"] for row in grown) == ["Front", "Model", "Proxy"]
    assert all(row["end_mib"] < 1.03 * row["warm_mib"] for row in grown), grown
