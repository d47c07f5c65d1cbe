"""The way from clone to a trained 14B student: every command of the guides exists and parses; none is run.

tests/repo/test_docs.py has the links and the ``v4e`` commands of all pages.
"""

import re
from pathlib import Path

import click
import pytest
from ray.scripts.scripts import cli

from benchmarks.gpu import check as gpu_check
from deploy import spot_notice
from serve.settings import settings_from
from tests.support.docs import commands
from tests.support.processes import ROOT
from v4e.config import parse

GUIDES = ("docs/cluster.md", "docs/operations.md", "docs/gpu-checklist.md")


ALL = [command for guide in GUIDES for command in commands(guide)]
WORDS = {command: command.words for command in ALL}
PYTHON = [command for command in ALL if "python" in WORDS[command][:1]]
RAY = [command for command in ALL if WORDS[command][0] == "ray"]
SERVE = [command for command in ALL if "serve" in WORDS[command] and "run" in WORDS[command]]
MAKE = [command for command in ALL if "make" in WORDS[command]]


def test_the_guides_have_the_whole_way():
    stages = {"plan", "ingest", "caption", "precompute", "rollout", "train", "export"}
    assert {words[1] for words in WORDS.values() if words[0] == "v4e"} >= stages
    jobs = {Path(word).stem for words in WORDS.values() for word in words if word.startswith("pipelines/")}
    assert jobs >= stages - {"ingest"}
    assert {command.line for command in MAKE} >= {"make gpu-check"}
    assert {"job", "up", "down", "start", "drain-node"} <= {WORDS[command][1] for command in RAY}


def check_python(words: list[str]) -> None:
    """``python SCRIPT arguments`` or ``python -m MODULE arguments``: it is there and takes them."""
    module = words[1] == "-m"
    script = ROOT.joinpath(*words[2].split(".")).with_suffix(".py") if module else ROOT / words[1]
    assert script.exists(), script
    if script == ROOT / "benchmarks/gpu/check.py":
        names = {word for word in words[3:] if word.islower() and word != "cpu"}
        assert names <= set(gpu_check.CHECKS), names
    elif module:
        return
    else:
        parse(words[2:])


@pytest.mark.parametrize("command", PYTHON, ids=str)
def test_a_stage_takes_its_arguments(command):
    if "NAME" not in command.line:
        check_python(WORDS[command])


@pytest.mark.parametrize("command", RAY, ids=str)
def test_ray_takes_its_arguments(command):
    words, group = WORDS[command][1:], cli
    while isinstance(group, click.Group) and words:
        group, words = group.commands[words[0]], words[1:]
    if len(words) > 0:
        group.make_context(command.line, list(words))  # parses and calls nothing
    if "--" in words:
        check_python(words[words.index("--") + 1 :])


def test_what_a_notice_makes_of_itself_is_a_command_of_rays():
    command = spot_notice.drain(spot_notice.CLOUDS["gcp"])
    assert command[:2] == ["ray", "drain-node"]
    cli.commands["drain-node"].make_context("drain-node", command[2:])


def test_an_argument_that_does_not_exist_is_seen():
    with pytest.raises(click.NoSuchOption):
        cli.commands["start"].make_context("start", ["--head", "--dashboard-hosts=127.0.0.1"])
    with pytest.raises(ValueError, match="unknown key"):
        check_python(["python", "pipelines/train.py", "train.worker=2"])


@pytest.mark.parametrize("command", SERVE, ids=str)
def test_the_server_knows_its_variables(command):
    given = dict(word.split("=", 1) for word in WORDS[command] if word.startswith("V4E_SERVE_"))
    assert settings_from({}, given).gpus == 1  # refuses names that it does not know
    assert WORDS[command][-3:] == ["serve", "run", "serve.app:app"]


@pytest.mark.parametrize("command", MAKE, ids=str)
def test_make_has_its_target(command):
    words = WORDS[command]
    assert re.search(rf"^{words[words.index('make') + 1]}:", Path(ROOT, "Makefile").read_text(), re.MULTILINE)


def test_what_eight_gpus_are_told_fits_them():
    """The settings of the guide's first run, on H100s as the data sheet has them."""
    from v4e.models.sizes import pipeline
    from v4e.planning.gpus import cluster_of
    from v4e.planning.layout import plan_cluster

    commands = [c for c in ALL if "gpu-checklist" in c.page and c.line.startswith("v4e plan recipe")]
    assert commands
    for command in commands:
        config = parse(WORDS[command][2:])
        cluster = cluster_of(config.plan)
        assert cluster is not None and cluster.gpus == 8
        models = pipeline(config.models.student, "student"), pipeline(config.models.teacher, "teacher")
        assert not plan_cluster(config, *models, cluster).limits
