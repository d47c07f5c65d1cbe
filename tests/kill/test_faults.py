"""SIGKILL of a rank, the pool and a node in one run: the short form of benchmarks/training/faults.py.

A killed replica of one rank is tests/training/test_pipeline.py's.
"""

import random
from pathlib import Path

import pytest

from benchmarks.support.watched import Outcome
from benchmarks.training.faults import BOUND_S, FaultRow, bench_of
from tests.support import ranks

KINDS = ("rank", "pool", "node")
STEPS = 18


def test_lost_and_doubled_steps_are_counted():
    def found(*steps: float) -> Outcome:
        return Outcome(records=[(step, 0.5) for step in steps], checkpoint={})

    assert [(o.lost(3), o.doubled()) for o in (found(1, 2, 3), found(1, 3), found(1, 2, 3, 3, 3))] == [
        (0, 0),
        (1, 0),
        (0, 2),
    ]


def disturbed(folder: Path) -> list[FaultRow]:
    """One row for each fault of a run that all of KINDS strike, with a teacher of two ranks."""
    bench = bench_of(folder, STEPS)
    try:
        return bench.disturbed(KINDS, "tp2", *bench.undisturbed("tp2"), random.Random(0))
    finally:
        bench.nodes.close()


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> list[FaultRow]:
    """The rows of a process of its own: this one may be connected to another Ray."""
    return ranks.result(disturbed, tmp_path_factory.mktemp("faults"))


@pytest.mark.long  # nodes of its own, whose workers are not forked
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
