"""The page in a real Chromium, on the real model over real HTTP: by mouse, by keyboard, dark, on a phone."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.support.served import SMALL, http, opened, served
from serve.keys import digest
from serve.settings import Settings
from tests.support.browser import needs_chromium
from tests.support.loras import write_lora
from tests.support.pages import choose, edit, long_edit, shown, size, visit
from v4e.language.tasks import TABLE1
from v4e.weights.load import DTYPES, load_dit

KEY, OTHER = "v4e-" + "k" * 43, "v4e-" + "o" * 43
pytestmark = [
    pytest.mark.slow,
    needs_chromium,
]


@pytest.fixture(scope="module")
def settings(random_family, tmp_path_factory):
    model, folder = str(random_family / "tiny-wan-i2v"), tmp_path_factory.mktemp("state")
    ink = write_lora(load_dit(model, DTYPES["float32"]), folder / "ink.safetensors", seed=1)
    return Settings(model=model, state=str(folder), loras=f"ink={ink}", **SMALL)


@pytest.fixture(scope="module")
def keyed(settings, engine, tmp_path_factory):
    """Where it is served to those that have a key."""
    state = str(tmp_path_factory.mktemp("state"))
    with served(replace(settings, keys=f"ann:{digest(KEY)}", state=state), engine) as url:
        yield url


def copied(page, name: str) -> str:
    page.get_by_role("button", name=f"Copy as {name}").click()
    page.get_by_text(f"Copied as {name}.").wait_for()
    return page.evaluate("navigator.clipboard.readText()")


def run_copied(page, folder: Path, key: str | None = None) -> tuple[bytes, bytes]:
    """The pictures that the shown edit gives as curl and as Python."""
    environ = os.environ | ({"V4E_API_KEY": key} if key else {})
    curl = ["bash", "-c", copied(page, "curl") + " -s"]
    answer = subprocess.run(curl, cwd=folder, env=environ, capture_output=True, check=True, text=True).stdout
    subprocess.run([sys.executable, "-c", copied(page, "Python")], cwd=folder, env=environ, check=True)
    by_curl = opened(base64.b64decode(json.loads(answer)["data"][0]["b64_json"]))
    return by_curl.tobytes(), opened((folder / "edit.png").read_bytes()).tobytes()


def is_dark(page) -> bool:
    ink, back = page.evaluate("() => ['color', 'backgroundColor'].map(name => getComputedStyle(document.body)[name])")
    light = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in (ink, back)]
    assert abs(light[0] - light[1]) > 450  # readable
    return light[0] > light[1]


def test_an_edit_evolves_and_is_edited_again(page, photo, url):
    previews = page.evaluate_handle(
        "() => { const seen = []; new MutationObserver(() => seen.push(document.getElementById('after').alt)).observe("
        "document.getElementById('after'), {attributes: true, attributeFilter: ['src']}); return seen; }"
    )
    long_edit(page, photo, "make it blue")
    assert "The edit as it evolves" in previews.json_value()
    assert size(page, "after") == size(page, "before") == [48, 32]
    played = "async clip => { await clip.play(); return clip.duration }"
    assert page.locator("#clip").evaluate(played) == pytest.approx(5 / 8, abs=0.1)
    page.get_by_role("button", name="Edit this result again").click()
    page.locator("#prompt").fill("and now red")
    page.locator("#prompt").press("Enter")
    page.locator("#history button").nth(1).wait_for()
    assert re.search(r"file_id=img_[0-9a-f]{32}", copied(page, "curl"))
    page.locator("#history button").last.click()
    assert page.locator("#after").get_attribute("alt") == "The edit: make it blue"


def test_what_is_copied_runs(page, photo, tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    shutil.copy(photo, folder)
    edit(page, photo, "say 'it\\'s \"blue\"' $HOME")
    assert run_copied(page, folder) == (shown(page), shown(page))
    (folder / "photo.png").unlink()
    page.get_by_role("button", name="Edit this result again").click()
    edit(page, None, "and now red")
    assert run_copied(page, folder) == (shown(page), shown(page))


@pytest.mark.long
def test_a_file_is_dropped_anywhere(page, photo):
    """By the browser itself, which would open a file that the page does not take."""
    devtools = page.context.new_cdp_session(page)
    for at in ("h1", "#drop"):
        box = page.locator(at).bounding_box()
        place = {"x": box["x"] + 5, "y": box["y"] + 5}
        data = {"items": [], "files": [str(photo)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver"):
            devtools.send("Input.dispatchDragEvent", {"type": kind, **place, "data": data})
        page.locator("#drop.over").wait_for()
        devtools.send("Input.dispatchDragEvent", {"type": "drop", **place, "data": data})
        page.get_by_text("Source: photo.png").wait_for()
        assert size(page, "source") == [48, 32]
        page.locator("#drop:not(.over)").wait_for()
        page.locator("#drop-words").evaluate("words => { words.textContent = '' }")
    edit(page, None, "make it blue")
    assert size(page, "before") == [48, 32]


@pytest.mark.long
def test_an_image_is_pasted(page, photo):
    page.evaluate(
        """async base64 => {
            const blob = new Blob([Uint8Array.from(atob(base64), c => c.charCodeAt(0))], {type: 'image/png'});
            await navigator.clipboard.write([new ClipboardItem({'image/png': blob})]);
        }""",
        base64.b64encode(photo.read_bytes()).decode(),
    )
    page.keyboard.press("Control+V")
    page.get_by_text("Source: image.png").wait_for()
    edit(page, None, "make it blue")
    assert size(page, "before") == [48, 32]


@pytest.mark.long
def test_the_bar_is_dragged_with_the_mouse(page, photo):
    edit(page, photo, "make it blue")
    page.locator("#compare").scroll_into_view_if_needed()
    box = page.locator("#compare").bounding_box()
    y = box["y"] + box["height"] / 2

    def at() -> str:
        value = page.locator("#slide").input_value()
        assert page.locator("#compare").evaluate("box => box.style.getPropertyValue('--at')") == f"{value}%"
        return value

    page.mouse.move(box["x"] + 0.7 * box["width"], y)
    page.mouse.down()
    assert at() == "70"
    page.mouse.move(box["x"] + 0.2 * box["width"], y, steps=5)
    assert at() == "20"
    page.mouse.move(box["x"] + box["width"] + 20, y, steps=5)  # beyond it
    page.mouse.up()
    assert at() == "100"
    page.mouse.move(box["x"] + 0.4 * box["width"], y, steps=5)
    assert at() == "100"


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
    page.locator("summary", has_text="Options").click()
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
    page.locator("summary", has_text="Options").click()
    page.locator("#steps").fill("50")
    page.get_by_role("button", name="Edit", exact=True).click()
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("Stopped.").wait_for()


@pytest.mark.parametrize(
    ("width", "dark"), [*(pytest.param(1200, dark, marks=pytest.mark.long) for dark in (False, True)), (375, False)]
)
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
    page.locator("#clip[style='aspect-ratio: 48 / 32;']").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("innerWidth") == width
    assert is_dark(page) == dark


@pytest.mark.long
def test_it_is_dark_as_the_system_until_somebody_chooses(browser, url):
    with visit(browser, url, "dark") as page:
        assert is_dark(page)
        page.emulate_media(color_scheme="light")
        page.locator("html[data-theme=light]").wait_for()
        assert not is_dark(page)
        page.get_by_role("button", name="Dark", pressed=False).click()
        for path in ("/", "/docs"):  # remembered, and there too
            page.goto(url + path)
            assert is_dark(page)
        page.emulate_media(color_scheme="dark")
        page.goto(url)
        page.get_by_role("button", name="Dark", pressed=True).click()
        page.reload()
        assert not is_dark(page)


def test_an_api_key_opens_the_server(browser, keyed, photo, tmp_path):
    with visit(browser, keyed) as page:
        page.get_by_text("This server asks for an API key").wait_for()
        page.locator("#file").set_input_files(photo)
        page.locator("#prompt").fill("make it blue")
        for key, words in (("", "This server asks for an API key"), (OTHER, "The server refuses this API key")):
            page.locator("#options").evaluate("options => { options.open = false }")
            page.locator("#status").evaluate("status => { status.textContent = '' }")
            page.locator("#key").evaluate("(input, key) => { input.value = key }", key)
            page.get_by_role("button", name="Edit", exact=True).click()
            page.locator("#status.error", has_text=words).wait_for()
            assert page.locator("#key").is_visible()
        page.locator("#key").fill(OTHER + "x")
        page.locator("#key").press("Tab")
        page.locator("#status.error", has_text="The server refuses this API key").wait_for()
        assert page.locator("#lora option").all_text_contents() == ["none"]
        page.problems.clear()  # the browser itself reports each 401
        page.locator("#key").fill(KEY)
        page.locator("#key").press("Tab")
        page.locator("#lora").select_option("ink")
        assert page.locator("#status").text_content() == ""
        with page.expect_response("**/v1/models"):
            page.locator("#key").fill(f"{KEY} ")  # asked again, the choice stays
            page.locator("#key").press("Tab")
        edit(page, None, "make it blue")
        assert page.locator("#lora option").all_text_contents() == ["none", "ink"]
        assert '"lora": "ink"' in copied(page, "Python") and KEY not in copied(page, "curl") + copied(page, "Python")
        assert run_copied(page, tmp_path, KEY) == (shown(page), shown(page))


@pytest.mark.parametrize(
    ("path", "how", "words"),
    [
        ("jobs", {"body": "Internal Server Error", "status": 500}, "The server answered with status 500"),
        pytest.param("jobs", None, "The server cannot be reached", marks=pytest.mark.long),
        ("jobs/*", None, "The server cannot be reached"),
        pytest.param(
            "jobs/*", {"body": "{}", "status": 404}, "The server answered with status 404", marks=pytest.mark.long
        ),
    ],
)
def test_a_server_that_dies_is_told_and_the_page_goes_on(page, photo, path, how, words):
    edit(page, photo, "make it blue")
    page.route(f"**/v1/edits/{path}", lambda route: route.fulfill(**how) if how else route.abort())
    page.locator("#prompt").fill("and now red")
    page.get_by_role("button", name="Edit", exact=True).click()
    page.locator("#status.error", has_text=words).wait_for()
    assert page.locator("#after").get_attribute("alt") == "The edit: make it blue"  # not what evolved of the other
    assert page.get_by_role("button", name="Edit this result again").is_visible()
    page.unroute(f"**/v1/edits/{path}")
    edit(page, None, "and now red")
    assert page.locator("#history button").count() == 2
    page.problems.clear()  # the browser itself reports the 500 and the connection


@pytest.mark.long
def test_another_edit_is_looked_at_while_one_evolves(page, photo):
    edit(page, photo, "make it blue")
    alts = page.evaluate_handle(
        """() => { const alts = [], after = document.getElementById('after'); new MutationObserver(() => {
            if (!alts.length) {
                alts.push(document.querySelectorAll('#history [aria-current=true]').length);
                document.querySelector('#history button').click();
            }
            alts.push(after.alt); }).observe(after, {attributes: true, attributeFilter: ['alt']}); return alts; }"""
    )
    long_edit(page, None, "and now red")
    assert alts.json_value() == [0, "The edit: make it blue", "The edit: make it blue", "The edit: and now red"]


@pytest.mark.long
def test_memory_is_of_what_can_be_shown(page, photo):
    live = page.evaluate_handle(
        """() => { const live = new Set(), {createObjectURL: make, revokeObjectURL: drop} = URL;
            URL.createObjectURL = blob => { const url = make(blob); live.add(url); return url; };
            URL.revokeObjectURL = url => { live.delete(url); drop(url); };
            return live; }"""
    )
    for words in ("make it blue", "and now red"):
        choose(page, photo)
        edit(page, None, words)
    assert live.evaluate("live => live.size") == 2 * len(["source", "edit", "clip"])
    for _ in range(2):
        choose(page, photo)  # the first of these is never used
    assert live.evaluate("live => live.size") == 7
    page.locator("#history button").last.click()
    assert size(page, "before") == size(page, "after") == [48, 32]


def test_a_wrong_option_is_shown(page, photo):
    page.locator("#file").set_input_files(photo)
    page.locator("#prompt").fill("make it blue")
    page.locator("summary", has_text="Options").click()
    page.locator('#steps[max="50"]').wait_for()  # as the server says
    page.locator("#steps").fill("51")
    page.locator("summary", has_text="Options").click()
    page.get_by_role("button", name="Edit", exact=True).click()
    page.locator("#steps:focus").wait_for()


def test_enter_that_ends_a_composition_does_not_send(page):
    """As in Japanese and Chinese, where it takes a suggestion."""
    page.locator("#prompt").fill("make it blue")
    press = "(prompt, isComposing) => prompt.dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', isComposing}))"
    for composing, words in ((True, ""), (False, "Choose an image first.")):
        page.locator("#prompt").evaluate(press, composing)
        assert page.locator("#status").text_content() == words


def test_the_reference_of_the_api_is_readable_and_asks_nobody(page, url):
    page.goto(f"{url}/docs")
    for path in http.get(f"{url}/openapi.json").json()["paths"]:
        assert page.locator("h2", has_text=path).count() >= 1
