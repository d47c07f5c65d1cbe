"""The plan against what ran at 14B's true sizes on a pretended GPU (benchmarks/results/symbolic.json)."""

import pytest

from benchmarks.gpu.symbolic import ASKED, WHOLE
from benchmarks.support.result import RESULTS
from v4e.config import parse
from v4e.files.uri import read_json
from v4e.models.sizes import pipeline
from v4e.planning.gpus import GPUS, cluster_of
from v4e.planning.layout import GIB, plan_cluster

ROWS = {row["part"]: row for row in read_json(str(RESULTS / "symbolic.json"))["rows"]}


@pytest.mark.parametrize("part", ROWS)
def test_a_peak_is_within_a_tenth_of_its_plan(part):
    assert ROWS[part]["planned_gib"] == pytest.approx(ROWS[part]["peak_gib"], rel=0.1)


def test_every_row_is_of_what_is_asked_for_today():
    assert {part: row["blocks"] for part, row in ROWS.items()} == {part: asked[2] for part, asked in ASKED.items()}


@pytest.mark.parametrize("card", GPUS)
@pytest.mark.parametrize("part", [part for part, row in ROWS.items() if row["blocks"] in (0, WHOLE)])
def test_nothing_is_said_to_fit_that_did_not(part, card):
    what, _, _, arguments = ASKED[part]
    config = parse([*arguments, f"plan.gpu={card}", "plan.gpus=10"])
    cluster = cluster_of(config.plan)
    assert cluster is not None
    models = (pipeline(getattr(config.models, side), f"models.{side}") for side in ("student", "teacher"))
    held = plan_cluster(config, *models, cluster).held
    needs = {
        "teacher": held.teacher_gpu,
        "student": held.student_gpu - held.strips,
        "editor": held.editor.total,
        "precompute": held.encoder.total,
    }[what]
    assert needs / GIB == pytest.approx(ROWS[part]["planned_gib"], abs=0.01)  # else make the rows anew
    if needs <= cluster.usable:
        assert ROWS[part]["peak_gib"] * GIB <= cluster.usable
