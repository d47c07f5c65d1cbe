"""SIGKILL of a rank, a replica, the pool and a node while a run trains: the short form of
benchmarks/training/faults.py."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest

from benchmarks.support.watched import Outcome
from benchmarks.training.faults import BOUND_S, KINDS, measure


def test_lost_and_doubled_steps_are_counted():
    def found(*steps: float) -> Outcome:
        return Outcome(records=[(step, 0.5) for step in steps], checkpoint={})

    assert [(o.lost(3), o.doubled()) for o in (found(1, 2, 3), found(1, 3), found(1, 2, 3, 3, 3))] == [
        (0, 0),
        (1, 0),
        (0, 2),
    ]


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """One fault of every kind, in a process of its own: this one may be connected to another Ray."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as processes:
        return processes.submit(measure, 1, tmp_path_factory.mktemp("faults"), steps=16).result()


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_changes_no_number(rows, kind):
    [row] = [row for row in rows if row["kind"] == kind]
    assert row["took"]
    assert not row["hang"], f"no new step for {BOUND_S} s"
    assert "error" not in row, row["error"]
    assert (row["lost"], row["doubled"]) == (0, 0)
    assert row["identical"]
