"""A short form of benchmarks/soak.py: no request is lost while clients leave and processes die."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest

from benchmarks.soak import measure

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.long]


def test_no_request_is_lost():
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as processes:  # this one may have another Ray
        rows, summary = processes.submit(measure, 150.0, 12, 60.0).result()
    assert summary["lost"] == 0, [row["wrong"] for row in rows if "wrong" in row]
    assert summary["kills"] == 2 and summary["answered"] > 0 and summary["left"] > 0
    assert summary["requests"] == sum(summary[name] for name in ("answered", "refused", "left", "lost"))
    grown = [row for row in rows if "end_mib" in row]
    assert {"Front", "Model", "Proxy"} == {row["process"] for row in grown}
    assert all(row["end_mib"] < 1.15 * row["warm_mib"] for row in grown), grown
