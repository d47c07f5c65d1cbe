"""The page has no fault that axe finds, light and dark, on a phone, with all boxes open and a result shown."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from benchmarks.support.served import SMALL, http, opened
from serve.settings import Settings
from tests.support.browser import needs_chromium
from tests.support.pages import edit, shown, visit

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


@pytest.mark.parametrize(("scheme", "width"), [pytest.param("light", 1200, marks=pytest.mark.long), ("dark", 375)])
def test_axe_finds_nothing(browser, url, axe, photo, tmp_path, scheme, width):
    with visit(browser, url, scheme) as page:
        page.set_viewport_size({"width": width, "height": 800})
        page.locator("#preserve").evaluate("keep => { keep.value = 'auto' }")
        edit(page, photo, "make it blue")
        page.get_by_role("button", name="Show the region (R)").click()
        assert page.locator("#region").is_visible()
        page.evaluate("document.querySelectorAll('details').forEach(box => { box.open = true })")
        assert page.locator("#card").inner_text().startswith("# The tiny Wan family")
        assert page.locator("#sign").is_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.locator("#far").fill("0.5")
        assert 0.4 < page.evaluate("(v => v.currentTime / v.duration)(document.getElementById('clip'))") < 0.6
        page.evaluate(axe)
        found = page.evaluate("axe.run().then(seen => seen.violations)")
        page.screenshot(path=Path(tmp_path) / f"{scheme}.png", full_page=True)
        assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []


def test_an_earlier_state_of_the_evolution_is_made_of_the_same_source_and_seed(browser, url, photo):
    with visit(browser, url) as page:
        edit(page, photo, "make it blue")
        whole, seed = shown(page), re.search(r"Seed (\d+)", page.locator("#about").inner_text())[1]
        page.locator("#status").evaluate("status => { status.textContent = '' }")
        page.locator("#far").fill("0.5")
        page.get_by_role("button", name="Edit this far").click()
        page.get_by_text("Done.").wait_for()
        data = {"prompt": "make it blue", "seed": seed, "strength": "0.5", "response_format": "url"}
        answer = http.post(f"{url}/v1/images/edits", data=data, files={"image": photo.read_bytes()}).json()
        half = opened(http.get(answer["data"][0]["url"]).content).convert("RGB").tobytes()
        assert shown(page) == half != whole
