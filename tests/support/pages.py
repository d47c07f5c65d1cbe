"""The server's page as a person uses it: visits, edits, and what is to be seen."""

from contextlib import contextmanager
from pathlib import Path


@contextmanager
def visit(browser, url: str, scheme: str = "light"):
    """A page that asks nobody else and reports no problem that the test does not clear."""
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"], color_scheme=scheme)
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


def edit(page, photo: Path | None, words: str) -> None:
    """Makes an edit; without a photo, of the source that is there."""
    if photo is not None:
        page.locator("#file").set_input_files(photo)
    page.locator("#prompt").fill(words)
    page.get_by_role("button", name="Edit", exact=True).click()
    page.get_by_text("Done.").wait_for()
    page.locator("#go:enabled").wait_for()


def long_edit(page, photo: Path | None, words: str) -> None:
    """An edit that takes longer than several looks at its job."""
    page.locator("#options").evaluate("options => { options.open = true }")
    page.locator("#steps").fill("50")
    edit(page, photo, words)


def choose(page, photo: Path) -> None:
    """Chooses a file as a person does: a file that was chosen before is no change to the field itself."""
    with page.expect_file_chooser() as chooser:
        page.locator("#drop").click()
    page.locator("#drop-words").evaluate("words => { words.textContent = '' }")
    chooser.value.set_files(photo)
    page.get_by_text(f"Source: {photo.name}").wait_for()


def shown(page, name: str = "after", channels: str = "RGB") -> bytes:
    """The bytes of the edit that is shown, or of another picture of the page: of these of its channels R, G, B, A."""
    drawn = page.locator(f"#{name}").evaluate(
        """async image => {
            await image.decode();
            const {naturalWidth: width, naturalHeight: height} = image, canvas = new OffscreenCanvas(width, height);
            const context = canvas.getContext('2d');
            context.drawImage(image, 0, 0);
            return [...context.getImageData(0, 0, width, height).data];
        }"""
    )
    return bytes(value for k, value in enumerate(drawn) if "RGBA"[k % 4] in channels)


def size(page, name: str) -> list[int]:
    decoded = "async image => { await image.decode(); return [image.naturalWidth, image.naturalHeight] }"
    return page.locator(f"#{name}").evaluate(decoded)
