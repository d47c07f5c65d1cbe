"""The extensions of docs/extend.md: their diffs fit the code, and their tests pass once they are applied."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import ROOT

PAGE = (ROOT / "docs/extend.md").read_text()
DIFFS = re.findall(r"^```diff\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
TESTS = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
PACKAGES = ("v4e", "actors", "pipelines", "serve", "tests/support")
LONGEST = 30  # lines that an extension adds


def apply(diff: str, root: Path) -> None:
    """Apply hunks without line numbers: the lines with " " and "-" must stand in the file once, "@@ end" appends."""
    for part in re.split(r"^--- ", diff, flags=re.MULTILINE)[1:]:
        name, *hunks = re.split(r"^@@", part, flags=re.MULTILINE)
        path = root / name.strip()
        for hunk in hunks:
            where, *lines = hunk.splitlines()
            before = "".join(f"{line[1:]}\n" for line in lines if line[:1] in ("", " ", "-"))
            after = "".join(f"{line[1:]}\n" for line in lines if line[:1] in ("", " ", "+"))
            text = path.read_text() if path.exists() else ""
            if where.strip() == "end":
                text += after
            else:
                assert text.count(before) == 1, f"{path.relative_to(root)} has {text.count(before)} times\n{before}"
                text = text.replace(before, after)
            path.write_text(text)


@pytest.fixture(scope="module")
def extended(tmp_path_factory) -> Path:
    """A copy of the code with every extension of the page."""
    root = tmp_path_factory.mktemp("extended")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("assets", "__pycache__"))
    (root / "v4e/assets").symlink_to(ROOT / "v4e/assets")
    shutil.copy(ROOT / "pyproject.toml", root)
    for diff in DIFFS:
        apply(diff, root)
    return root


def test_every_section_has_a_diff_and_a_test():
    sections = re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
    for section in sections:
        assert section.count("```diff\n") == section.count("```python\n") == 1, section.splitlines()[0]
        assert len(re.findall(r"^\+", section, re.MULTILINE)) <= LONGEST
    assert len(sections) == 8


def test_a_diff_that_does_not_fit_is_seen(tmp_path):
    (tmp_path / "a.py").write_text("one\ntwo\n")
    apply("--- a.py\n@@\n one\n-two\n+three\n", tmp_path)
    assert (tmp_path / "a.py").read_text() == "one\nthree\n"
    with pytest.raises(AssertionError, match="0 times"):
        apply("--- a.py\n@@\n-two\n+four\n", tmp_path)


def test_the_diffs_fit_the_code(extended):
    assert "camera" in (extended / "v4e/language/tasks.py").read_text()


@pytest.mark.long
@pytest.mark.slow
def test_the_extensions_work(extended):
    folder = extended / "tests/extend"
    folder.mkdir()
    for number, text in enumerate(TESTS):
        (folder / f"test_{number}.py").write_text(text)
    command = [sys.executable, "-W", "ignore", "-m", "pytest", "-p", "no:cacheprovider", str(folder)]
    environment = os.environ | {"PYTHONPATH": str(extended)}
    ended = subprocess.run(command, cwd=extended, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout[-4000:]
    assert f"{len(TESTS)} passed" in ended.stdout
