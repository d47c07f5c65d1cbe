"""Every line of a journal is JSON that every parser reads, and comes back as the numbers that it was."""

import json
import math
from pathlib import Path

import pytest

from v4e.files import journal
from v4e.files.uri import finite, read_json, write_json_atomic


def strict(text: str) -> object:
    """JSON as its standard has it; Python's own parser takes ``NaN`` and ``Infinity`` too."""

    def refuse(word: str) -> None:
        raise ValueError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


RECORD = {"step": 3, "loss": math.nan, "kd": 0.5, "grad_norm": math.inf, "tail": -math.inf, "skipped": 1}


def test_a_skipped_step_is_null_with_a_word_and_comes_back_as_it_was(tmp_path):
    path = tmp_path / "metrics.jsonl"
    journal.append(path, RECORD)
    line = strict(path.read_text())
    assert line["loss"] is line["grad_norm"] is None and line["kd"] == 0.5
    assert line["not_finite"] == {"loss": "nan", "grad_norm": "inf", "tail": "-inf"}
    journal.append(path, {"step": 4, "loss": 1.0})
    journal.rewind(path, 3)
    strict(path.read_text())
    [record] = journal.read(path)
    assert math.isnan(record.pop("loss")) and record == {k: v for k, v in RECORD.items() if k != "loss"}


def test_a_line_of_an_earlier_version_is_still_read(tmp_path):
    (tmp_path / "m.jsonl").write_text('{"step": 1, "loss": NaN}\n{"step": 2, "loss": 1.0}\n')
    first, second = journal.read(tmp_path / "m.jsonl")
    assert math.isnan(first["loss"]) and second == {"step": 2, "loss": 1.0}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_all_json_files_are_strict(value, tmp_path):
    uri = str(tmp_path / "a.json")
    write_json_atomic(uri, {"a": [1.5, (value, {"b": value})], "c": "nan"})
    strict(Path(uri).read_text())
    assert read_json(uri) == {"a": [1.5, [None, {"b": None}]], "c": "nan"}
    assert finite({"a": 1}) == {"a": 1}
