"""A browser and a page of the module's server, for tests that open it."""

from pathlib import Path

import pytest

from benchmarks.support.served import picture, png
from tests.support.browser import CHROMIUM
from tests.support.pages import visit


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser, url):
    with visit(browser, url) as page:
        yield page


@pytest.fixture
def photo(tmp_path) -> Path:
    path = tmp_path / "photo.png"
    path.write_bytes(png(picture(3, (48, 32))))
    return path


@pytest.fixture(params=["file", "postgresql"])
def state(request, tmp_path) -> str:
    """Where a server keeps its jobs and results: each kind in turn, empty."""
    if request.param == "file":
        return str(tmp_path / "state")
    return request.getfixturevalue("postgres_server").database()
