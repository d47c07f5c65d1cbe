"""Places that a user names: the home folder, jobs, strange names, and who may not write."""

import errno
import os

import pytest

from pipelines.parts.command import carry_out
from v4e.config import Run, parse
from v4e.config.commands import EditOptions, read_options
from v4e.faults import Fault
from v4e.files.place import JOB_FOLDER, check_dir


def refused(key: str, place: str) -> Fault:
    with pytest.raises(Fault) as error:
        check_dir(key, place)
    assert f"{key}=" in str(error.value) and "\n" not in error.value.line
    return error.value


def test_the_home_folder_is_meant_wherever_a_setting_begins_with_it(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    config = parse(
        ["run.dir=~/runs/x", "data.train=~/a.parquet", "models.student=~/m", "bench.models=ema,other:~/theirs"]
    )
    assert config.run.dir == f"{tmp_path}/runs/x" and config.data.train == f"{tmp_path}/a.parquet"
    assert config.models.student == f"{tmp_path}/m" and f"other:{tmp_path}/theirs" in config.bench.models
    assert Run(dir="~/x").dir == f"{tmp_path}/x"
    assert read_options(EditOptions, ["~/a.png", "~ is a tilde", "out=~/b.png"]).image == f"{tmp_path}/a.png"
    assert parse(["teacher.negative=~blurry, ~ dark"]).teacher.negative == "~blurry, ~ dark"


def test_a_home_of_nobody_is_refused():
    assert "no such user" in str(refused("run.dir", parse(["run.dir=~nobody-of-this-name/x"]).run.dir))


@pytest.mark.parametrize(
    ("place", "code"),
    [
        ("x" * 300, "A09"),
        ("/tmp/\udcff", "A09"),
        ("s4://bucket/x", "A02"),
        ("/dev/null/x", "A02"),
        ("/proc/self/status", "A02"),
    ],
)
def test_what_is_no_place_is_refused_in_one_line(place, code):
    assert refused("run.dir", place).code == code


def test_a_link_to_itself_is_refused(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    refused("run.dir", str(tmp_path / "loop" / "x"))


def test_a_folder_that_may_not_be_written_to_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    assert refused("run.dir", str(tmp_path)).code == "A04"


@pytest.fixture
def in_job(tmp_path, monkeypatch):
    """The working folder of a Ray job: a copy of its code."""
    folder = tmp_path / "runtime_resources" / JOB_FOLDER / "_ray_pkg_1"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)


def ended(argv: list[str], capsys, run=lambda _: None, read=parse) -> str:
    with pytest.raises(SystemExit):
        carry_out(argv, read, run)
    [line] = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.usefixtures("in_job")
@pytest.mark.parametrize("key", ["run.dir", "data.store", "data.captions"])
def test_a_relative_place_in_a_job_is_refused(key, capsys, tmp_path):
    default = [] if key == "run.dir" else [f"run.dir={tmp_path}/x"]
    line = ended([*default, f"{key}=runs/mine"], capsys)
    assert f"{key}=runs/mine is relative" in line and line.endswith("[V4E-T07]")


@pytest.mark.usefixtures("in_job")
def test_in_a_job_the_default_folder_is_refused_and_whole_places_are_not(capsys, tmp_path):
    assert "run.dir=runs/demo is relative" in ended([], capsys)
    carry_out([f"run.dir={tmp_path}/x"], parse, lambda _: None)
    carry_out(["run.dir=memory://x"], parse, lambda _: None)
    words = ["a.png", "make it red", "out=b.png"]
    assert "out=b.png is relative" in ended(words, capsys, read=lambda argv: read_options(EditOptions, argv))


def test_outside_of_a_job_a_relative_place_is_fine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    carry_out(["run.dir=runs/mine"], parse, lambda _: None)


class NoCredentialsError(Exception):
    """One as botocore's, which is known by its module."""


NoCredentialsError.__module__ = "botocore.exceptions"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NoCredentialsError("Unable to locate credentials"), "A07"),
        (PermissionError("Forbidden"), "A04"),
        (OSError(errno.ENOSPC, "no space"), "A05"),
    ],
)
def test_an_error_of_storage_names_the_run(error, code, capsys):
    def run(_) -> None:
        raise error

    line = ended(["run.dir=s3://bucket/x"], capsys, run)
    assert "run.dir=s3://bucket/x: " in line and line.endswith(f"[V4E-{code}]")
