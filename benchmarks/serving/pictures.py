"""The pictures of the page in docs/img, taken of today's page in Chromium.

`python -m benchmarks.serving.pictures` serves the student that comes with v4e in this process, clicks its first
example, and edits the result again. It writes serve.png, serve-history.png, serve-dark.png (region shown, options open)
and serve-phone.png.
"""

import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.support.served import served
from serve.engine import EditEngine
from serve.settings import Settings
from tests.support.browser import CHROMIUM
from tests.support.pages import edit, visit

FOLDER = Path(__file__).resolve().parents[2] / "docs/img"
WIDE, PHONE = (1120, 800), (375, 812)
SEED = "7"  # of all edits, so that the pictures are the same each time


def first_example(page: Page) -> None:
    """Takes the first picture and its instruction, as a newcomer does, and edits it."""
    page.locator("#samples button").first.click()
    page.locator("#options").evaluate("box => { box.open = true }")
    page.locator("#seed").fill(SEED)
    page.locator("#preserve").select_option("auto")
    page.locator("#options").evaluate("box => { box.open = false }")
    edit(page, None, page.locator("#prompt").input_value())


def take(browser: Browser, url: str) -> None:
    """Takes all pictures of the page at `url`."""
    with visit(browser, url) as page:
        page.set_viewport_size(dict(zip(("width", "height"), WIDE, strict=True)))
        first_example(page)
        page.screenshot(path=FOLDER / "serve.png", full_page=True)
        page.get_by_role("button", name="Edit this result again").click()
        edit(page, None, "make it a pencil sketch")
        page.screenshot(path=FOLDER / "serve-history.png", full_page=True)
    for name, scheme, size in (("serve-dark", "dark", WIDE), ("serve-phone", "light", PHONE)):
        with visit(browser, url, scheme) as page:
            page.set_viewport_size(dict(zip(("width", "height"), size, strict=True)))
            first_example(page)
            if scheme == "dark":
                page.get_by_role("button", name="Show the region (R)").click()
                page.locator("#options").evaluate("box => { box.open = true }")
            else:
                page.locator("#prompt").evaluate("box => { box.scrollIntoView() }")
            page.screenshot(path=FOLDER / f"{name}.png", full_page=scheme == "dark")


def main() -> None:
    with tempfile.TemporaryDirectory() as state:
        settings = Settings(state=state)
        with served(settings, EditEngine(settings)) as url, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            take(browser, url)
            browser.close()


if __name__ == "__main__":
    main()
