"""The committed result files of benchmarks: one row a line, so that a diff shows what a new run changed."""

import json

import pytest

from benchmarks.repo.structure import test_minutes as minutes
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


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ("...\n1392 passed, 3 skipped in 450.30s (0:07:30)\n", 7.5),
        ("==== 4 failed, 9 passed in 9.00s ====\n==== 12 passed in 90.00s (0:01:30) ====\n", 1.5),
        ("2 failed, 10 passed in 60.00s\n", None),
        ("3 passed, 1 error in 60.00s\n", None),
        ("make: nothing to be done\n", None),
    ],
)
def test_minutes_are_those_of_a_run_that_passed(printed, expected):
    if expected is None:
        with pytest.raises(ValueError, match=r"run \.ci/run again"):
            minutes(printed)
    else:
        assert minutes(printed) == expected
