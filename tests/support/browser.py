"""Pages in a headless Chromium: what it made of them, as text and as what a probe saw."""

import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path

import pytest

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")  # the first draws no window
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason=f"none of {', '.join(NAMES)} on the PATH")
HOSTILE = "<script>document.title='x'</script>"
QUOTING = "\"'><img src=x onerror=\"document.title='x'\">"
VOID = ("img", "meta", "br", "link", "path", "use")
PROBE = """<script>addEventListener("load", () => {
const shown = () => [...document.querySelectorAll("#strips figure")].filter(f => f.offsetHeight).map(f => f.innerText);
const slider = document.querySelector("#strips input"), slid = [];
if (slider) for (const at of [slider.value, 0, 1]) {
  slider.value = at; slider.dispatchEvent(new Event("input")); slid.push(shown()); }
document.body.dataset.seen = JSON.stringify({
images: [...document.images].map(i => [i.naturalWidth, i.naturalHeight]),
fetched: performance.getEntriesByType("resource").map(e => e.name),
widths: [innerWidth, document.documentElement.scrollWidth],
cut: [...document.querySelectorAll(".scroll")].filter(e => e.scrollWidth > e.clientWidth).length,
slid})})</script>"""


class Dom(HTMLParser):
    """The tags, texts and tables that the browser made of a page, and what the probe saw."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[str, list[str]] = {}
        self.tables: list[list[list[str]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.seen = json.loads(next(attrs["data-seen"] for tag, attrs in self.tags if tag == "body"))

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, {key: value or "" for key, value in attrs}))
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag not in VOID:
            self.open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag):
        while tag in self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data):
        for tag in self.open:
            self.texts[tag][-1] += data
        if {"td", "th"} & set(self.open):
            self.tables[-1][-1][-1] += data


@contextmanager
def chromium(folder: Path) -> Iterator[Callable[[str, int], Dom]]:
    """Yields a function that opens an HTML text in a window so many pixels wide, from a file in `folder`.

    The text holds a probe, which sets ``data-seen`` of the body. Playwright runs in a thread of its own: in this one it
    would leave an event loop running for the tests that follow.
    """
    sync_api = pytest.importorskip("playwright.sync_api")

    def show(page: str, width: int) -> Dom:
        file = folder / "page.html"
        file.write_text(page)
        tab = browser.new_page(viewport={"width": width, "height": 1000})
        try:
            tab.goto(file.as_uri())
            tab.wait_for_function("document.body.dataset.seen")
            return Dom(tab.content())
        finally:
            tab.close()

    with ThreadPoolExecutor(1) as thread:
        playwright = thread.submit(sync_api.sync_playwright().start).result()
        options = {"executable_path": CHROMIUM, "args": ["--no-sandbox"]}
        browser = thread.submit(playwright.chromium.launch, **options).result()
        yield lambda page, width: thread.submit(show, page, width).result()
        thread.submit(browser.close).result()
        thread.submit(playwright.stop).result()
