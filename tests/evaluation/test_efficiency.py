"""Data efficiency: what differs between its runs, and what its report says."""

import json
from dataclasses import replace

import pytest

from pipelines.stages.efficiency import VARIANTS, report, runs_of
from v4e.config import parse
from v4e.evaluation.verdict import spread


def test_jobs_differ_in_size_variant_and_seed_and_share_all_that_is_frozen():
    config = parse(["run.dir=runs/e", "ablate.sizes=10,20", "ablate.seeds=2", "run.seed=3"])
    found = {size: runs_of(config, size) for size in (10, 20)}
    assert [len(of_size) for of_size in found.values()] == [2 * len(VARIANTS)] * 2
    every = [job for of_size in found.values() for job in of_size]
    assert len({job.config.run.dir for job in every}) == 12
    assert {job.config.run.dir.split("/")[2] for job in found[10]} == {"n00010"}
    assert [job.config.data.limit for job in every] == [10] * 6 + [20] * 6
    assert len({replace(job.config.data, limit=0) for job in every}) == 1
    assert {(job.seed, job.config.run.seed) for job in every} == {(3, 3), (4, 4)}
    by_name = {job.name: job.config for job in found[10]}
    assert by_name["no_kd"].kd.weight == 0 and by_name["no_tail"].tail.weight == 0


def test_report(tmp_path):
    def row(*success: float) -> dict:
        return {"success": spread(success), "edit_l1": spread([0.1, 0.1]), "preserve_psnr": spread([20.0, 21.0])}

    figures = {n: {"full": row(0.5, 0.6), "no_kd": row(0.4, 0.5), "no_tail": row(0.1, 0.1)} for n in (10, 20)}
    report(str(tmp_path), figures)
    assert json.loads((tmp_path / "efficiency.json").read_text())["10"]["full"]["success"]["seeds"] == [0.5, 0.6]
    page = (tmp_path / "efficiency.md").read_text()
    assert page.count("the tail adds to distillation | full > no_tail | holds: +0.450") == 2
    first = (tmp_path / "efficiency.png").read_bytes()
    report(str(tmp_path), figures)
    assert (tmp_path / "efficiency.png").read_bytes() == first


def test_sizes_are_refused_early():
    for bad in ("20,10", "10,10", "0,10", ""):
        with pytest.raises(ValueError, match=r"ablate\.sizes"):
            parse([f"ablate.sizes={bad}"])
