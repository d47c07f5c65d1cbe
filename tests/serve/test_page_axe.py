"""The page has no fault that axe finds, light and dark, on a phone, with all boxes open and a result shown."""

import shutil
import subprocess
from pathlib import Path

import pytest

from benchmarks.support.served import SMALL
from serve.settings import Settings
from tests.support.browser import needs_chromium
from tests.support.pages import edit, visit

pytestmark = [pytest.mark.slow, needs_chromium]


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return Settings(state=str(tmp_path_factory.mktemp("state")), steps=2, **SMALL)


@pytest.fixture(scope="module")
def axe(tmp_path_factory) -> str:
    if not shutil.which("npm"):
        pytest.skip("there is no npm here")
    folder = tmp_path_factory.mktemp("axe")
    command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), "axe-core@4"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode:
        pytest.skip(f"npm has no registry here: {done.stderr.strip().splitlines()[-1:]}")
    return (folder / "node_modules/axe-core/axe.min.js").read_text()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 375)])
def test_axe_finds_nothing(browser, url, axe, photo, tmp_path, scheme, width):
    with visit(browser, url, scheme) as page:
        page.set_viewport_size({"width": width, "height": 800})
        edit(page, photo, "make it blue")
        page.evaluate("document.querySelectorAll('details').forEach(box => { box.open = true })")
        assert page.locator("#card").inner_text().startswith("# The tiny Wan family")
        assert page.locator("#sign").is_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.evaluate(axe)
        found = page.evaluate("axe.run().then(seen => seen.violations)")
        page.screenshot(path=Path(tmp_path) / f"{scheme}.png", full_page=True)
        assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []
