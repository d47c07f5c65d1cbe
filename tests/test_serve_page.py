"""The page in a real Chromium, on the real model over real HTTP: by mouse, by keyboard, dark, on a phone."""

import base64
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.served import SMALL, http, opened, picture, png, served
from serve.engine import Engine
from serve.settings import Settings
from v4e.tasks import TABLE1

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome on the PATH"),
]


@pytest.fixture(scope="module")
def engine(random_family, tmp_path_factory):
    model, state = str(random_family / "tiny-wan-i2v"), str(tmp_path_factory.mktemp("state"))
    return Engine(Settings(model=model, state=state, **SMALL))


@pytest.fixture(scope="module")
def url(engine, random_family, tmp_path_factory):
    state = str(tmp_path_factory.mktemp("state"))
    with served(Settings(model=str(random_family / "tiny-wan-i2v"), state=state, **SMALL), engine) as url:
        yield url


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser, url):
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"], color_scheme="light")
    page = context.new_page()
    page.problems = []
    page.asked = []
    page.on("console", lambda message: message.type == "error" and page.problems.append(message.text))
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(url)
    yield page
    assert page.problems == []
    assert [asked for asked in page.asked if not asked.startswith((url, "blob:", "data:"))] == []
    context.close()


@pytest.fixture
def photo(tmp_path) -> Path:
    path = tmp_path / "photo.png"
    path.write_bytes(png(picture(3, (48, 32))))
    return path


def edit(page, photo: Path, words: str) -> None:
    page.locator("#file").set_input_files(photo)
    page.locator("#prompt").fill(words)
    page.get_by_role("button", name="Edit", exact=True).click()
    page.get_by_text("Done.").wait_for()


def size(page, name: str) -> list[int]:
    decoded = "async image => { await image.decode(); return [image.naturalWidth, image.naturalHeight] }"
    return page.locator(f"#{name}").evaluate(decoded)


def test_an_edit_evolves_and_is_edited_again(page, photo, url):
    previews = page.evaluate_handle(
        "() => { const seen = []; new MutationObserver(() => seen.push(document.getElementById('after').alt)).observe("
        "document.getElementById('after'), {attributes: true, attributeFilter: ['src']}); return seen; }"
    )
    edit(page, photo, "make it blue")
    assert previews.json_value().count("The edit as it evolves") == 3
    assert size(page, "after") == size(page, "before") == [48, 32]
    played = "async clip => { await clip.play(); return clip.duration }"
    assert page.locator("#clip").evaluate(played) == pytest.approx(5 / 8, abs=0.1)
    page.get_by_role("button", name="Edit this result again").click()
    page.locator("#prompt").fill("and now red")
    page.locator("#prompt").press("Enter")
    page.locator("#history button").nth(1).wait_for()
    page.get_by_role("button", name="Copy as curl").click()
    page.get_by_text("Copied as curl.").wait_for()
    assert re.search(r"file_id=img_[0-9a-f]{32}", page.evaluate("navigator.clipboard.readText()"))
    page.locator("#history button").last.click()
    assert page.locator("#after").get_attribute("alt") == "The edit: make it blue"


def test_what_is_copied_runs(page, photo, tmp_path, url):
    edit(page, photo, "say 'it\\'s \"blue\"' $HOME")
    results = []
    for name in ("curl", "Python"):
        page.get_by_role("button", name=f"Copy as {name}").click()
        page.get_by_text(f"Copied as {name}.").wait_for()
        results.append(page.evaluate("navigator.clipboard.readText()"))
    curl, python = results
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    shutil.copy(photo, folder)
    answer = subprocess.run(["bash", "-c", curl + " -s"], cwd=folder, capture_output=True, check=True, text=True).stdout
    by_curl = base64.b64decode(json.loads(answer)["data"][0]["b64_json"])
    subprocess.run([sys.executable, "-c", python], cwd=folder, check=True)
    assert opened(by_curl).tobytes() == opened((folder / "edit.png").read_bytes()).tobytes()


def test_examples_are_the_eleven_tasks(page):
    buttons = page.locator("#examples button")
    assert [button.get_attribute("title") for button in buttons.all()] == [row.cue for row in TABLE1.values()]
    buttons.nth(4).click()
    assert page.locator("#prompt").input_value() == TABLE1["color"].cue


def test_by_keyboard_alone(page, photo):
    with page.expect_file_chooser() as chooser:
        for _ in range(10):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.id") == "file":
                break
        page.keyboard.press("Enter")
    chooser.value.set_files(photo)
    page.locator("#prompt:focus").wait_for()
    page.keyboard.type("make it blue")
    page.keyboard.press("Enter")
    page.get_by_text("Done.").wait_for()
    page.locator("#slide").focus()
    page.keyboard.press("End")
    assert page.locator("#compare").evaluate("box => box.style.getPropertyValue('--at')") == "100%"
    assert page.locator("#slide").get_attribute("aria-valuetext") == "100 percent source"


def test_everything_has_a_name_for_a_screen_reader(page, photo):
    edit(page, photo, "make it blue")
    page.locator("summary").click()
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll('button, input, textarea, select, a, video')]
        .filter(e => e.checkVisibility())
        .filter(e => !(e.labels?.length || e.getAttribute('aria-label') || e.textContent.trim()))
        .map(e => e.outerHTML)"""
    )
    assert unnamed == []
    assert page.locator("[role=status]").get_attribute("aria-live") == "polite"


def test_stop_and_errors_are_said(page, photo):
    page.locator("#file").set_input_files(photo)
    page.locator("#prompt").fill("make it blue")
    page.locator("summary").click()
    page.locator("#steps").fill("50")
    page.get_by_role("button", name="Edit", exact=True).click()
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("Stopped.").wait_for()
    page.locator("#file").set_input_files({"name": "x.png", "mimeType": "image/png", "buffer": b"junk"})
    page.get_by_role("button", name="Edit", exact=True).click()
    page.get_by_text("these bytes are no PNG").wait_for()
    page.problems.clear()  # the browser itself reports the 400


@pytest.mark.parametrize(("width", "dark"), [(1200, False), (1200, True), (375, False)])
def test_it_fits_and_is_readable(page, photo, width, dark):
    page.set_viewport_size({"width": width, "height": 800})
    if dark:
        page.get_by_role("button", name="Dark").click()
    for count in range(3):  # as many as make the history wider than a phone
        page.locator("#status").evaluate("status => { status.textContent = '' }")
        edit(page, photo, "make it blue")
        page.locator("#history button").nth(count).wait_for()
    shown = page.locator("#compare").bounding_box()
    assert shown["y"] >= 0 and shown["y"] + shown["height"] <= 800  # it was brought into view as it evolved
    page.wait_for_function("document.getElementById('clip').style.aspectRatio === '48 / 32'")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("innerWidth") == width
    ink, back = page.evaluate("() => ['color', 'backgroundColor'].map(name => getComputedStyle(document.body)[name])")
    light = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in (ink, back)]
    assert (light[0] > light[1]) == dark and abs(light[0] - light[1]) > 450


def test_the_reference_of_the_api_is_readable_and_asks_nobody(page, url):
    page.goto(f"{url}/docs")
    for path in http.get(f"{url}/openapi.json").json()["paths"]:
        assert page.locator("h2", has_text=path).count() >= 1
