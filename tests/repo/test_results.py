"""The committed result files of benchmarks: one row a line, so that a diff shows what a new run changed."""

import json

import pytest

from benchmarks.support.result import RESULTS, as_text

FILES = sorted(RESULTS.glob("*.json"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_committed_result_is_as_its_benchmark_writes_it(path):
    text = path.read_text()
    result = json.loads(text)
    assert set(result) == {"command", "date", "machine", "rows", "summary"}
    assert text == as_text(result)
    assert len(text.splitlines()) == len(result["rows"]) + len(result["summary"]) + 9


def test_odd_values_survive_the_format():
    result = {
        "command": 'a "b"',
        "date": "d",
        "machine": "é",
        "rows": [{"x": [1, {"y": None}]}, {}],
        "summary": {"n": 1},
    }
    assert json.loads(as_text(result)) == result
