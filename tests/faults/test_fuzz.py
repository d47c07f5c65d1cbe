"""Generated inputs end in a result or in one line; what the long form of the fuzz found stays mended."""

import json
import time

import pytest

from benchmarks.data import fuzz
from pipelines.parts import command
from v4e.config import Train, parse
from v4e.faults import Fault
from v4e.files import journal
from v4e.files.uri import read_json

SEED, CASES = 7, 150
LONG = 5000


def problems(found: dict[str, fuzz.Tally]) -> dict[str, str]:
    return {f"{kind}: {problem}": shown for kind, tally in found.items() for problem, shown in tally.problems.items()}


@pytest.mark.slow
def test_generated_inputs_end_in_a_result_or_in_one_line():
    found = fuzz.fuzz(CASES, SEED)
    assert problems(found) == {}
    assert sum(tally.cases for tally in found.values()) > 0.9 * CASES
    assert all(len(found[kind].results) > 1 for kind in ("arguments", "commands", "tables", "pictures", "weights"))


@pytest.mark.long
@pytest.mark.slow
def test_many_generated_inputs_end_so_too():
    assert problems(fuzz.fuzz(LONG)) == {}


def test_the_fuzz_sees_an_error_that_nobody_expected_a_silent_success_and_a_hang(monkeypatch, tmp_path):
    def draw(_: object) -> object:
        return ["recipe=tiny", "optim.steps=7"]

    def fail(_: object) -> None:
        raise KeyError("steps")

    monkeypatch.setattr(fuzz.command, "commands", lambda: {"train": tmp_path})
    with pytest.raises(fuzz.Problem, match="V4E-A99"):
        fuzz.called("train", ["recipe=tiny"], fail)
    with pytest.raises(fuzz.Problem, match=r"optim\.steps was read as int 8"):
        answers = iter(["train", draw(None)])
        monkeypatch.setattr(command, "parse", lambda words: parse([words[0], "optim.steps=8"]))
        fuzz.arguments(lambda _: next(answers), tmp_path)
    monkeypatch.setattr(fuzz, "HANG_S", 1)
    tally = fuzz.fuzz_kind(lambda _draw, _folder: time.sleep(1000) or "", 1, 0)
    assert [*tally.problems] == ["more than 1 s"]


@pytest.mark.parametrize("name", ["config.json", "stages.json", "metrics.json", "metrics.jsonl"])
@pytest.mark.parametrize("content", ["[]", "{", '"x"', "null", "[" * 3000, '{"optim": 3, "run": 3, "a": 3}'])
def test_a_damaged_file_of_a_run_is_named_in_one_line(name, content, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / name).write_text(f"{content}\n")
    for stage, argument in (("runs", f"where={tmp_path}"), ("report", f"run.dir={tmp_path}")):
        code, line = fuzz.called(stage, [argument])
        if code != "done":
            assert code == "A12" and str(tmp_path) in line
        if stage == "report" and not content.startswith('{"'):  # which reads them all
            assert code == "A12" and str(tmp_path / name) in line


def test_json_that_is_no_object_is_refused_and_a_line_of_a_journal_too(tmp_path):
    place = tmp_path / "a.json"
    for text in ("[1]", "3", "{", "\0", "[" * 5000):
        place.write_text(text)
        for read in (read_json, journal.read):
            place.write_text(f"{text}\n")
            with pytest.raises(Fault, match=r"a\.json") as caught:
                read(str(place))
            assert caught.value.code == "A12" and "\n" not in caught.value.line
    place.write_text(json.dumps({"a": 1}))
    assert read_json(str(place)) == {"a": 1}


def test_the_numbers_of_workers_are_not_gone_through_one_by_one():
    """A number of twelve digits took for ever, and all numbers stood in the message."""
    assert Train(workers=5000, min_workers=1, shard=1).worlds == range(1, 5001)
    with pytest.raises(ValueError, match=r"1 to 5000: .*divisor"):
        Train(workers=5000, min_workers=1, shard=2)
