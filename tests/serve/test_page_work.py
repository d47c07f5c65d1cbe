"""What the page does beyond an edit: masks, variations, what a reload keeps, refusals, a prefix, small screens."""

import asyncio
import base64
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import numpy as np
import pytest
from PIL import Image

from benchmarks.support.served import SMALL, opened, picture, png, served
from serve.engine import EditEngine
from serve.settings import Settings
from tests.support.browser import needs_chromium
from tests.support.pages import edit, shown, size, visit
from v4e.evaluation.metrics.exact import score
from v4e.weights.student import FOLDER, card

pytestmark = [pytest.mark.slow, needs_chromium]


@pytest.fixture(scope="module")
def settings(random_family, tmp_path_factory):
    model, state = str(random_family / "tiny-wan-i2v"), str(tmp_path_factory.mktemp("state"))
    return Settings(model=model, state=state, **SMALL)


def asked(page) -> str:
    """Makes an edit and returns its request as curl."""
    edit(page, None, "make it blue")
    page.get_by_role("button", name="Copy as curl").click()
    page.get_by_text("Copied as curl.").wait_for()
    return page.evaluate("navigator.clipboard.readText()")


@pytest.mark.parametrize("how", ["pointer", pytest.param("keyboard", marks=pytest.mark.long)])
def test_a_painted_mask_is_white_where_to_edit(page, photo, how):
    page.locator("#file").set_input_files(photo)
    page.locator("#prompt").fill("make it blue")
    page.locator("#mask-box summary").click()
    page.locator("#brush-size").fill("20")
    if how == "pointer":
        page.locator("#mask").scroll_into_view_if_needed()
        box = page.locator("#mask").bounding_box()
        page.mouse.move(box["x"] + 5, box["y"] + 5)
        page.mouse.down()
        page.mouse.move(box["x"] + 5, box["y"] + box["height"] - 5, steps=5)
        page.mouse.up()
        inside, outside = (3, 16), (40, 16)
    else:
        page.locator("#mask").focus()
        for key in ("ArrowRight", "ArrowRight", "Space"):
            page.keyboard.press(key)
        inside, outside = (28, 16), (3, 3)
    assert page.locator("#mask-state").text_content() == "(on)"
    assert "mask=@mask.png" in (request := asked(page)) and "mask_from=white" in request
    edited, source = Image.frombytes("RGB", (48, 32), shown(page)), picture(3, (48, 32))
    assert edited.getpixel(outside) == source.getpixel(outside) and edited.getpixel(inside) != source.getpixel(inside)
    page.get_by_role("button", name="Eraser").click()
    page.locator("#brush-size").fill("40")
    page.locator("#mask").focus()
    for key in ("Space", *["ArrowLeft", "Space"] * 14, *["ArrowUp", "Space", "ArrowUp", "ArrowUp", "Space"]):
        page.keyboard.press(key)
    page.get_by_role("button", name="Clear").click()
    assert page.locator("#mask-state").text_content() == ""
    assert "mask" not in asked(page)


@pytest.mark.long
def test_variations_have_seeds_that_are_shown_and_used_again(page, photo):
    page.locator("#options summary").click()
    page.locator("#variations").fill("3")
    page.locator("#seed").fill("41")
    edit(page, photo, "make it blue")
    assert page.locator("#history button").count() == 3
    page.locator("#history button").nth(1).click()
    assert page.locator("#about").text_content().startswith("Seed 42.")
    expected = shown(page)
    page.get_by_role("button", name="Use this seed").click()
    page.locator("#variations").fill("1")
    edit(page, None, "make it blue")
    assert page.locator("#seed").input_value() == "42" and shown(page) == expected


@pytest.mark.long
def test_size_format_and_the_names_of_files(page, photo):
    page.locator("#options summary").click()
    page.locator("#size").select_option("512x768")
    page.locator("#format").select_option("webp")
    page.locator("#seed").fill("7")
    edit(page, photo, "Make it blue, please!")
    assert size(page, "after") == [512, 768]
    with page.expect_download() as saved:
        page.get_by_role("link", name="Save image").click()
    assert saved.value.suggested_filename == "photo-make-it-blue-please-7.webp"
    assert opened(saved.value.path().read_bytes()).format == "WEBP"
    with page.expect_download() as saved:
        page.get_by_role("link", name="Save clip").click()
    assert saved.value.suggested_filename == "photo-make-it-blue-please-7.mp4"


def test_the_region_is_shown_by_a_button_and_a_key_and_survives_a_reload(page, url, photo):
    edit(page, photo, "make it blue")
    button, region, pressed = page.locator("#show-region"), page.locator("#region"), "(b => b.ariaPressed)"
    assert not button.is_visible()
    page.keyboard.press("r")
    assert not region.is_visible()
    page.locator("#options summary").click()
    page.locator("#preserve").select_option("auto")
    page.locator("#seed").fill("7")
    edit(page, None, "make it blue")
    assert not region.is_visible()
    page.locator("#slide").focus()
    page.keyboard.press("r")
    assert region.is_visible() and button.evaluate(pressed) == "true"
    page.locator("#prompt").press_sequentially("r")  # where people write it is a letter
    assert region.is_visible()
    fields = {"prompt": "make it blue", "preserve": "auto", "seed": "7", "region": "true"}
    answer = httpx.post(f"{url}/v1/images/edits", data=fields, files={"image": photo.read_bytes()}).json()
    mask = opened(base64.b64decode(answer["data"][0]["region_b64_json"])).getchannel("A")
    page.reload()
    assert button.is_visible() and button.evaluate(pressed) == "false"
    assert shown(page, "region", "A") == mask.tobytes()
    button.click()
    assert region.is_visible() and size(page, "region") == [48, 32]
    page.locator("#history button").last.click()  # nothing was kept in it
    assert not region.is_visible() and not button.is_visible()


def test_a_reload_keeps_the_history(page, photo):
    for words in ("make it blue", "and now red"):
        edit(page, photo, words)
    expected = shown(page)
    page.reload()
    page.locator("#history button").nth(1).wait_for()
    assert page.locator("#after").get_attribute("alt") == "The edit: and now red" and shown(page) == expected
    page.get_by_role("button", name="Edit this result again").click()
    edit(page, None, "and now green")
    page.get_by_role("button", name="Forget all").click()
    page.get_by_text("The history is empty.").wait_for()
    page.reload()
    page.locator("#hint").wait_for()
    assert page.locator("#history button").count() == 0


@pytest.fixture
def held(settings, engine, tmp_path) -> Iterator[tuple[str, threading.Event]]:
    """A server whose model waits for an event."""
    go = threading.Event()

    async def edits(order):
        while not go.is_set():
            await asyncio.sleep(0.01)
        async for event in engine.edit(order):
            yield event

    with served(replace(settings, state=str(tmp_path)), engine, edits) as url:
        yield url, go
        go.set()


def test_a_running_edit_goes_on_over_a_reload_and_has_a_place(browser, held, photo):
    url, go = held
    with visit(browser, url) as page:
        for _ in range(3):
            data = {"prompt": "x", "num_inference_steps": "1"}
            httpx.post(f"{url}/v1/edits/jobs", files={"image": png()}, data=data).raise_for_status()
        page.locator("#file").set_input_files(photo)
        page.locator("#prompt").fill("make it blue")
        page.get_by_role("button", name="Edit", exact=True).click()
        page.get_by_text("Place 4 of 4 in the queue").wait_for()
        page.reload()
        page.get_by_text("Place 4 of 4 in the queue").wait_for()
        assert page.locator("#go").is_disabled()
        go.set()
        page.get_by_text("Done.").wait_for()
        assert page.locator("#after").get_attribute("alt") == "The edit: make it blue"
        assert size(page, "before") == [48, 32]
        page.reload()
        page.locator("#history button").wait_for()
        assert page.locator("#go").is_enabled()


@pytest.mark.long
def test_stop_ends_the_job(browser, held, photo):
    url, go = held
    with visit(browser, url) as page:
        page.locator("#file").set_input_files(photo)
        page.locator("#prompt").fill("make it blue")
        page.get_by_role("button", name="Edit", exact=True).click()
        page.get_by_role("button", name="Stop").click()
        page.get_by_text("Stopped.").wait_for()
        assert [job["status"] for job in httpx.get(f"{url}/v1/edits/jobs").json()["data"]] == ["cancelled"]
        go.set()
        edit(page, None, "and now red")


def bmp() -> bytes:
    made = io.BytesIO()
    picture().save(made, "BMP")
    return made.getvalue()


@pytest.mark.parametrize(
    ("name", "blob", "words"),
    [
        ("x.png", b"junk", "x.png cannot be read: it is damaged, or no picture."),
        ("IMG_1.HEIC", b"\0\0\0\x18ftypheic", "IMG_1.HEIC is HEIC, which this page cannot show"),
        ("x.bmp", bmp(), "x.bmp is no PNG, JPEG, WebP, GIF or AVIF: choose one of these."),
        ("x.txt", b"x", "x.txt is no PNG, JPEG, WebP, GIF or AVIF: choose one of these."),
        ("big.png", png() + bytes(21 << 20), "big.png has 22 MiB, and the server takes 20"),
    ],
)
def test_a_file_that_cannot_be_sent_is_refused_at_once(page, photo, tmp_path, name, blob, words):
    page.locator("#file").set_input_files(photo)
    page.get_by_text("Source: photo.png").wait_for()
    page.locator('#steps[max="50"]').wait_for(state="attached")  # the server's limits are known
    file = tmp_path / name
    file.write_bytes(blob)
    page.locator("#file").set_input_files(file)
    page.locator("#status.error", has_text=words).wait_for()
    page.get_by_text("Source: photo.png").wait_for()
    assert size(page, "source") == [48, 32]


@pytest.mark.parametrize(
    "form", ["AVIF", *(pytest.param(form, marks=pytest.mark.long) for form in ("WEBP", "GIF", "JPEG"))]
)
def test_every_format_is_a_source(page, tmp_path, form):
    file = tmp_path / f"a.{form.lower()}"
    picture(0, (48, 32)).save(file, form)
    edit(page, file, "make it blue")
    assert size(page, "before") == size(page, "after") == [48, 32]


@contextmanager
def behind(url: str, prefix: str) -> Iterator[str]:
    """A proxy that has the server at `prefix`, as nginx with a plain ``proxy_pass``: it says so to nobody."""

    class Proxy(BaseHTTPRequestHandler):
        def _pass(self) -> None:
            assert self.path.startswith(prefix + "/"), self.path
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {"content-type": self.headers.get("content-type", "")}
            answer = httpx.request(self.command, url + self.path[len(prefix) :], content=body, headers=headers)
            self.send_response(answer.status_code)
            for name in ("content-type", "content-security-policy"):
                if name in answer.headers:
                    self.send_header(name, answer.headers[name])
            self.send_header("content-length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        do_GET = do_POST = _pass

        def log_message(self, *_args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}{prefix}"
        server.shutdown()


@pytest.mark.long
def test_it_works_behind_a_prefix(browser, url, photo):
    with behind(url, "/v4e") as there, visit(browser, f"{there}/") as page:
        edit(page, photo, "make it blue")
        page.get_by_role("button", name="Copy as curl").click()
        page.get_by_text("Copied as curl.").wait_for()
        assert page.evaluate("navigator.clipboard.readText()").startswith(f"curl {there}/v1/images/edits ")
        page.get_by_role("link", name="API").click()
        page.locator("h1", has_text="v4e API").wait_for()
        page.get_by_role("link", name="The page").click()
        page.locator("#history button").wait_for()


def test_on_a_phone_all_is_large_enough_and_edit_comes_before_the_examples(page, photo):
    page.set_viewport_size({"width": 375, "height": 700})
    edit(page, photo, "make it blue")
    for summary in page.locator("summary:visible").all():
        summary.click()
    small = page.evaluate(
        """() => [...document.querySelectorAll('button, input, select, textarea, summary, nav a, .button')]
        .filter(e => e.checkVisibility() && e.id !== 'file')
        .map(e => [e.id || e.textContent, e.getBoundingClientRect()])
        .filter(([, {width, height}]) => width < 44 || height < 44)
        .map(([name, {width, height}]) => [name, width, height])"""
    )
    assert small == []
    assert page.locator("#go").bounding_box()["y"] < page.locator("#examples").bounding_box()["y"]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_first_minute(browser, tmp_path):
    """As a newcomer finds it: a picture to click, and an edit that works."""
    settings = Settings(state=str(tmp_path), warm="32x32")
    with served(settings, EditEngine(settings)) as url, visit(browser, url) as page:
        page.get_by_text("This small model knows drawn scenes").wait_for()
        examples = card().examples
        assert page.locator("#samples button").count() == len(examples)
        assert not page.locator("#examples").is_visible()  # they name what it never saw
        page.locator("#samples button").first.click()
        page.get_by_text("Source: example-1.png").wait_for()
        assert page.locator("#prompt").input_value() == examples[0].instruction
        page.get_by_role("button", name="Edit", exact=True).click()
        page.get_by_text("Done.").wait_for()
        made = np.frombuffer(shown(page), np.uint8).reshape(32, 32, 3)
        source, truth = (
            np.asarray(Image.open(FOLDER / f"{name}-1.png").convert("RGB")) for name in ("example", "truth")
        )
        assert score(examples[0].task, source, truth, made, 20.0).success
