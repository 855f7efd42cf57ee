"""Pages in a real browser: where it is, how it is started, and what every page has to keep to.

The fixture `browser` is in conftest.py.
"""

import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Error, Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium or google-chrome on PATH")

QUIET = (
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
WIDTHS = (320, 768, 1280)


class Visit:
    """A page that has been opened, with what it asked for and complained about."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", self._heard)
        page.on("pageerror", self._thrown)
        page.goto(address)

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _thrown(self, error: Error) -> None:
        self.complaints.append(str(error))

    def check(self) -> None:
        assert self.complaints == []
        assert [url for url in self.requests if not url.startswith(("file://", "data:"))] == []


def check_study_page(browser: Browser, file: Path, width: int, shown: int) -> None:
    """It fits the screen and asks nothing of the network.

    shown: how many drawings and pictures it has, each with words of its own.
    """
    page = browser.new_page(viewport={"width": width, "height": 900})
    visit = Visit(page, file.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.get_by_role("heading", level=1).count() == 1
    for picture in page.locator("img").all():
        assert picture.evaluate("(image) => image.complete && image.naturalWidth > 0")
    texts = page.locator("[role=img], img").evaluate_all("(all) => all.map((one) => one.ariaLabel || one.alt)")
    assert len(texts) == len(set(filter(None, texts))) == shown
    visit.check()
    page.close()
