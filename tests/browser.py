"""A real browser for tests, as pytest fixtures: Chromium as it is installed on this machine, without a window.

Its driver brings no browser along; which one is used, GREENROOM_TEST_CHROMIUM may say. Without any the tests are skipped with
a loud line, and fail in CI.
"""

import base64
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.services import give_up

if TYPE_CHECKING:  # slow to import, and most tests need no browser
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Dialog, Page

log = logging.getLogger(__name__)

_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
# As root, as in a container, Chromium runs only without its own sandbox; the pages are ours. Containers' /dev/shm is small.
_ARGUMENTS = ["--disable-dev-shm-usage", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
_PATIENCE_MILLISECONDS = 40_000
WIDE = {"width": 1280, "height": 860}
PHONE = {"width": 360, "height": 740}
# Whatever a policy of the page forbids, however quietly, is heard on the console.
_TELL = """addEventListener("securitypolicyviolation", (event) =>
    console.error(`refused by policy: ${event.effectiveDirective} ${event.blockedURI} ${event.sample}`))"""
# What the browser writes of an answer that a test may well have asked for: its status, and that there was none.
_NO_COMPLAINT = "Failed to load resource"
_DROP = """(zone, [name, type, content]) => {
    const transfer = new DataTransfer();
    const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
    transfer.items.add(new File([bytes], name, { type }));
    for (const step of ["dragenter", "dragover", "drop"]) {
        zone.dispatchEvent(new DragEvent(step, { dataTransfer: transfer, bubbles: true, cancelable: true }));
    }
}"""


class Visitor:
    """Somebody with a browser of their own: cookies, a window, and all that its console has complained about.

    :param url: where Greenroom is.
    """

    def __init__(self, browser: "Browser", url: str, **wishes: Any) -> None:
        self.url = url
        self.complaints: list[str] = []
        self.context: BrowserContext = browser.new_context(
            **{"viewport": WIDE, "locale": "en-GB", "reduced_motion": "reduce"} | wishes
        )
        self.context.set_default_timeout(_PATIENCE_MILLISECONDS)
        self.context.add_init_script(_TELL)
        self.page = self.tab()

    def tab(self) -> "Page":
        """Open another tab."""
        page = self.context.new_page()
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(f"not caught: {error}"))
        page.on("dialog", self._asked)
        page.on("requestfailed", lambda request: log.info("not answered: %s: %s", request.url, request.failure))
        return page

    def goes_to(self, path: str) -> None:
        """Enter an address."""
        self.page.goto(self.url + path)

    def signs_in(self, key: str) -> None:
        """Sign in on the page of books, and wait until it is there."""
        self.goes_to("/books")
        self.page.get_by_label("API key").fill(key)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.get_by_role("heading", name="Your books").wait_for()

    def drops(self, content: bytes, name: str = "my_book.pdf", type: str = "application/pdf") -> None:
        """Drop a file on the place for it."""
        self.page.locator(".drop-zone").evaluate(_DROP, [name, type, base64.b64encode(content).decode()])

    def _asked(self, dialog: "Dialog") -> None:
        self.complaints.append(f"a dialog: {dialog.message}")
        dialog.dismiss()

    def _heard(self, message: "ConsoleMessage") -> None:
        if message.type in {"error", "warning"} and not message.text.startswith(_NO_COMPLAINT):
            self.complaints.append(message.text)


@pytest.fixture(scope="module")  # no longer: its driver holds the main thread's event loop, which other modules need
def browser() -> Iterator["Browser"]:
    """Start Chromium."""
    path = os.environ.get("GREENROOM_TEST_CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        give_up("Chromium", "no browser is installed")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=_PATIENCE_MILLISECONDS)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
        yield started
        started.close()


@pytest.fixture
def visit(browser: "Browser") -> Iterator[Callable[..., Visitor]]:
    """Give a function that lets somebody visit an address; in the end no browser may have complained of anything."""
    visitors: list[Visitor] = []

    def visit_one(url: str, **wishes: Any) -> Visitor:
        visitors.append(Visitor(browser, url, **wishes))
        return visitors[-1]

    yield visit_one
    complaints = [complaint for visitor in visitors for complaint in visitor.complaints]
    for visitor in visitors:
        visitor.context.close()
    assert complaints == []
