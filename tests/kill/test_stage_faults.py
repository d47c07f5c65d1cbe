"""The kills of all stages (benchmarks/training/stage_faults.py) see what is left, what differs and what was struck."""

import json
import random
from itertools import product

import pytest

from benchmarks.training import stage_faults
from benchmarks.training.stage_faults import SIGNALS, STAGES, Command, StageCase, disturbed, hashed, strike

LEAVES = """
import subprocess, sys
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
"""
WORKS = """
import pathlib, sys, time
done = pathlib.Path("done")
if not done.exists():
    done.touch()
    time.sleep(600)
"""


def test_every_stage_gets_every_signal_at_its_command_and_at_its_workers():
    cases = stage_faults.cases()
    assert len(cases) == len({*cases}) > 90
    assert {(stage, name) for stage, _, name, _ in cases} == {*product(STAGES, SIGNALS)}
    assert {who for _, who, *_ in cases} >= {
        "driver",
        "raylet",
        "Replica",
        "TeacherPool",
        "RayTrainWorker",
        "Captioner",
    }
    assert any(early for *_, early in cases)


def test_results_are_compared_without_their_times(tmp_path):
    def found(seconds: float, success: float) -> dict[str, str]:
        (tmp_path / "metrics.json").write_text(json.dumps({"ema": success, "seconds": {"train": seconds}}))
        return dict(hashed(tmp_path, STAGES["evaluate"]))

    assert found(1.0, 0.5) == found(2.0, 0.5) != found(1.0, 0.6)


@pytest.fixture
def script(tmp_path, monkeypatch):
    """A function that puts a program in the place of a stage."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stage_faults, "LEFT_S", 0.5)
    (tmp_path / "pipelines").mkdir()

    def put(text: str) -> StageCase:
        (tmp_path / "pipelines" / "fake.py").write_text(text)
        return StageCase("fake", (), (), ("done",))

    return put


@pytest.mark.slow
def test_a_process_that_outlives_its_command_is_named_and_ended(script, tmp_path):
    command = Command(script(LEAVES), [], tmp_path / "log")
    assert command.ends() == 0
    assert len(command.left()) == 1
    assert command.left() == []


@pytest.mark.slow
def test_a_command_that_is_struck_is_given_again(script, tmp_path):
    row = disturbed(script(WORKS), "driver", "SIGKILL", [], tmp_path / "run", 2.0, early=False)
    assert row["statuses"] == [-9, 0] and row["struck"] and row["left"] == [] and not row["traceback"]


def test_nothing_is_struck_where_there_is_no_such_process(script, tmp_path):
    command = Command(script("print()"), [], tmp_path / "log")
    assert strike(command, "Replica", "SIGKILL", random.Random(0)) == ""
    hangs = Command(script("import time; time.sleep(600)"), [], tmp_path / "log")
    assert hangs.ends(0.1) is None  # and is ended
    assert hangs.left() == []


def test_processes_are_found_by_their_program_wherever_it_lies(script, tmp_path):
    command = Command(script("import time; time.sleep(600)"), [], tmp_path / "log")
    assert [one.pid for one in command.processes("python")] == [command.process.pid]
    assert command.processes("raylet") == []
    assert command.ends(0.1) is None
