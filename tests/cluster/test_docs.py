"""The way from clone to a trained 14B student: every command of the guides exists and parses, nothing is run."""

import os
import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from ray.scripts.scripts import cli

from tests.support.processes import ROOT

sys.path.insert(0, str(ROOT / "deploy"))

import spot_notice

from benchmarks.gpu import check as gpu_check
from serve.settings import settings_from
from v4e.config import parse

GUIDES = ("cluster", "operations", "gpu-checklist")


@dataclass(frozen=True)
class Command:
    """A line that a guide tells its reader to type."""

    guide: str
    line: str

    def __str__(self) -> str:
        return f"{self.guide}: {self.line[:60]}"


def commands() -> list[Command]:
    """Of all blocks marked bash, and of tables all that stands in backticks and is whole; variables filled in."""
    found = []
    for guide in GUIDES:
        text = Path(ROOT, "docs", f"{guide}.md").read_text()
        lines = [line for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
        lines += [code for code in re.findall(r"`((?:python|ray|make) [^`]+)`", text) if "..." not in code]
        variables: dict[str, str] = {}
        for line in lines:
            for name, value in variables.items():
                line = line.replace(f"${name}", value)
            if line.startswith("export "):
                variables |= dict(part.split("=", 1) for part in shlex.split(line)[1:])
            else:
                found.append(Command(guide, line))
    return found


ALL = commands()
WORDS = {command: shlex.split(command.line) for command in ALL}
PYTHON = [command for command in ALL if "python" in WORDS[command][:1]]
RAY = [command for command in ALL if WORDS[command][0] == "ray"]
SERVE = [command for command in ALL if "serve" in WORDS[command] and "run" in WORDS[command]]
MAKE = [command for command in ALL if "make" in WORDS[command]]


def test_the_guides_have_the_whole_way():
    stages = {Path(word).stem for words in WORDS.values() for word in words if word.startswith("pipelines/")}
    assert {"plan", "ingest", "caption", "precompute", "rollout", "train", "export"} <= stages
    assert {command.line for command in MAKE} >= {"make gpu-check"}
    assert {"job", "up", "down", "start", "drain-node"} <= {WORDS[command][1] for command in RAY}


def check_python(words: list[str]) -> None:
    """``python SCRIPT arguments``: the script is there and takes them."""
    if words[1] == "-m":
        assert ROOT.joinpath(*words[2].split(".")).with_suffix(".py").exists()
        return
    assert ROOT.joinpath(words[1]).exists(), words[1]
    if words[1] == "benchmarks/gpu/check.py":
        names = {word for word in words[2:] if word.islower() and word != "cpu"}
        assert names <= set(gpu_check.CHECKS), names
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


@pytest.mark.parametrize("guide", GUIDES)
def test_links_lead_somewhere(guide):
    text = Path(ROOT, "docs", f"{guide}.md").read_text()
    for target in re.findall(r"\]\(([^)#]+)", text):
        assert target.startswith("http") or os.path.exists(ROOT / "docs" / target), target
    for path in re.findall(r"`((?:deploy|docs|benchmarks|pipelines)/[\w./-]+)`", text):
        assert (ROOT / path).exists(), path


def test_what_eight_gpus_are_told_fits_them():
    """The settings of the guide's first run, on H100s as the data sheet has them."""
    from v4e.models.sizes import pipeline
    from v4e.planning.gpus import cluster_of
    from v4e.planning.layout import plan_cluster

    [command] = [c for c in ALL if c.guide == "gpu-checklist" and c.line.startswith("python pipelines/plan.py")]
    config = parse(WORDS[command][2:])
    cluster = cluster_of(config.plan)
    assert cluster is not None and cluster.gpus == 8
    models = pipeline(config.models.student, "student"), pipeline(config.models.teacher, "teacher")
    assert not plan_cluster(config, *models, cluster).limits
