"""Every link of every page leads somewhere, every ``v4e`` command is one, Python blocks work, and the site is built."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from pipelines.parts.command import SHORT, command_of
from pipelines.parts.command import commands as known
from tests.support.docs import PAGES, Command, commands
from tests.support.processes import ROOT
from v4e.config import parse
from v4e.config.commands import OPTIONS, read_options

PLACEHOLDERS = {"NAME", "COMMAND", "STAGE"}
V4E = [
    command
    for page in PAGES
    for command in commands(page)
    if command.words[0] == "v4e" and len(command.words) > 2 and not PLACEHOLDERS & {*command.words}
]


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, spelled as GitHub and the site spell them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\(([^)]+)\)|(?:src|href)=\"([^\"]+)\"", text):
        link, _, anchor = "".join(target).partition("#")
        if link.startswith("http"):
            continue
        file = (ROOT / page).parent / link if link else ROOT / page
        assert file.exists(), link
        assert not anchor or anchor in anchors(file), f"{link}#{anchor}"


@pytest.mark.parametrize("page", PAGES)
def test_files_that_a_page_names_exist(page):
    names = re.findall(
        r"`((?:v4e|actors|serve|pipelines|tests|deploy|docs|benchmarks|scripts)/[\w./-]+)`", (ROOT / page).read_text()
    )
    assert not [name for name in names if not (ROOT / name).exists()]


def check(words: list[str]) -> None:
    """Check ``v4e COMMAND arguments``: the command exists and takes them."""
    name, arguments = words[1], [SHORT.get(word, word) for word in words[2:] if word != "--json"]
    assert name in known() or name.startswith("-"), name
    name, arguments = command_of(name, arguments)
    if "--help" in words or "-h" in words or name == "serve":
        return
    if name in OPTIONS:
        read_options(OPTIONS[name], arguments)
    else:
        parse(arguments)


@pytest.mark.parametrize("command", V4E, ids=str)
def test_a_command_exists_and_takes_its_arguments(command: Command):
    check(command.words)


@pytest.mark.parametrize("words", [["v4e", "trian"], ["v4e", "train", "train.worker=2"], ["v4e", "edit", "a.png"]])
def test_a_mistake_in_a_page_would_be_seen(words):
    with pytest.raises((AssertionError, ValueError)):
        check(words)


@pytest.mark.long
@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-3000:]
    pages = {page.parent.name for page in (tmp_path / "site").rglob("index.html")}
    assert {Path(page).stem for page in PAGES if page.startswith("docs/")} - {"index"} <= pages
    api = (tmp_path / "site/api/index.html").read_text()
    assert "block_kd_loss" in api and "StudentTrainer" in api


BLOCKS = [
    (page, block)
    for page in PAGES
    for block in re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)
    if "extend" not in page
]


@pytest.mark.slow
@pytest.mark.parametrize(("page", "block"), BLOCKS, ids=[page for page, _ in BLOCKS])
def test_a_python_block_imports_names_that_exist(page, block):
    for line in re.findall(r"^(?:from .*|import .*)$", block, re.MULTILINE):
        exec(line, {})


@pytest.mark.slow
def test_the_readmes_python_edits_a_picture(tmp_path, monkeypatch):
    [block] = [block for page, block in BLOCKS if page == "README.md"]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    exec(block.replace("runs/demo/export/ema", str(ROOT / "v4e/assets/tiny-wan-i2v")), {})
    assert Image.open(tmp_path / "out.png").size == Image.open(ROOT / "docs/img/scene.png").size
