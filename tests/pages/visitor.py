"""A person at the page: a tab of the browser that records what went wrong."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from tests.pages.conftest import SCREENSHOTS

Scheme = Literal["light", "dark"]

AXE = Axe()
WCAG_AA = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "resultTypes": ["violations"],
}
MAX_TABS = 120


class Visitor:
    """A tab; ``problems`` are errors of scripts, what the policy blocked, and requests to elsewhere."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.problems: list[str] = []
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        page.on("console", self._console)
        page.on("request", self._request)
        page.on("dialog", self._dialog)

    def _console(self, message: Any) -> None:
        # Chromium reports every status of 400 and above; those are asked for.
        if message.type == "error" and not re.match(r"Failed to load resource: the server responded", message.text):
            self.problems.append(f"console: {message.text}")

    def _dialog(self, dialog: Any) -> None:
        self.problems.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _request(self, request: Any) -> None:
        if not request.url.startswith(f"{self.url}/"):
            self.problems.append(f"request: {request.url}")

    def open(self, path: str) -> None:
        """Load a page."""
        # The live stream never ends, so the page is never idle.
        self.page.goto(self.url + path, wait_until="load")

    def check(self, name: str, *, axe: bool = True) -> None:
        """Check the page for its width and, with axe, for accessibility; take a picture of it."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)
        if axe:
            found = AXE.run(self.page, options=WCAG_AA)
            assert found.violations_count == 0, found.generate_report()
        wide = self.page.evaluate(
            "[...document.querySelectorAll('body *')].filter(each => {"
            "  const box = each.getBoundingClientRect();"
            "  return box.width && box.right > innerWidth + 1 && !each.closest('.skip, thead, .first');"
            "}).map(each => each.outerHTML.slice(0, 100))"
        )
        assert wide == []
        assert self.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert self.problems == []

    def tab_to(self, selector: str) -> None:
        """Press Tab until an element has the focus, as somebody without a mouse would."""
        for _ in range(MAX_TABS):
            self.page.keyboard.press("Tab")
            if self.page.evaluate("selector => document.activeElement.matches(selector)", selector):
                assert self.page.evaluate("getComputedStyle(document.activeElement).outlineStyle !== 'none'"), (
                    f"nobody sees that {selector} has the focus"
                )
                return
        raise AssertionError(f"Tab does not reach {selector}")

    def type(self, selector: str, text: str) -> None:
        """Type into a field."""
        self.tab_to(selector)
        self.page.keyboard.press("Control+A")
        self.page.keyboard.type(text)

    def press(self, selector: str) -> None:
        """Press a button or follow a link by keyboard, and wait for the next page."""
        self.tab_to(selector)
        with self.page.expect_navigation(wait_until="load"):
            self.page.keyboard.press("Enter")

    def wait_for_text(self, text: str) -> None:
        """Wait until the page shows a text."""
        self.page.get_by_text(text).first.wait_for()


@contextmanager
def visit(browser: Browser, url: str, width: int = 1000, scheme: Scheme = "light") -> Iterator[Visitor]:
    """A new tab, with its own cookies."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
    )
    try:
        yield Visitor(context.new_page(), url)
    finally:
        context.close()
