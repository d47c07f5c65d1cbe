"""The jobs of docs and deploy run on the image of deploy/Dockerfile: they ask for no backend that it lacks."""

import re

import pytest

from pipelines.stages import rollout
from tests.support.processes import ROOT
from v4e.config import parse
from v4e.faults import Fault

DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text()


def jobs() -> list[str]:
    """The arguments of every job that computes with a recipe of 14B."""
    page = (ROOT / "docs/cluster.md").read_text()
    found = re.findall(r'export RUN="(recipe=\S+[^"]*)"', page)
    for file in (ROOT / "deploy").glob("*.yaml"):
        found += re.findall(r"entrypoint: python pipelines/train\.py (.+)", file.read_text())
    return found


def test_jobs_are_found():
    assert len(jobs()) >= 3


@pytest.mark.parametrize("job", jobs())
def test_a_job_asks_for_no_attention_that_the_image_lacks(job):
    installed = {"native"} | ({"flash"} if re.search(r'^RUN .*"\.\[[^]]*flash', DOCKERFILE, re.M) else set())
    assert parse(job.split()).models.attention in installed


def test_rollouts_are_refused_before_a_cluster_is_joined(monkeypatch, tmp_path):
    monkeypatch.setattr(rollout, "connect", lambda: pytest.fail("a cluster was joined"))
    config = parse([f"run.dir={tmp_path}/run", "models.attention=flash", "models.fold_pad=false"])
    with pytest.raises(Fault) as error:
        rollout.sample(config, [("a",)], {"a"}, None)
    assert error.value.code == "T01"
