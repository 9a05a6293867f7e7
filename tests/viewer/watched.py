"""A browser's page on which nothing may go wrong unseen."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Dialog, Page
    from viewer_process import Viewer

_OWN = ("http://127.0.0.1:", "http://localhost:", "data:", "blob:", "file:")
_REPORT_VIOLATIONS = """
    document.addEventListener("securitypolicyviolation", (event) =>
        console.error("policy violated: " + event.violatedDirective + " " + event.blockedURI));
"""


@contextmanager
def watched_page(
    browser: Browser, *, width: int = 1280, height: int = 900, dark: bool = False, allowed: tuple[str, ...] = ()
) -> Iterator[Page]:
    """Open a page with cookies of its own; at the block's end, nothing has gone wrong on it.

    Errors on the console, uncaught exceptions, dialogs that a script has opened, violations of the content security
    policy, and requests to anybody but this machine all fail the test.

    Args:
        browser: The browser.
        width: Of the window, in CSS pixels; likewise `height`.
        dark: What the system is set to.
        allowed: What may stand in such a message, where a test makes things go wrong.
    """
    wrong: list[str] = []

    def note_dialog(dialog: Dialog) -> None:
        wrong.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light", locale="en-GB"
    )
    context.add_init_script(_REPORT_VIOLATIONS)
    page = context.new_page()
    page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(f"exception: {error}"))
    page.on("dialog", note_dialog)
    page.on("request", lambda request: None if request.url.startswith(_OWN) else wrong.append(f"asked {request.url}"))
    try:
        yield page
    finally:
        context.close()
    assert [message for message in wrong if not any(part in message for part in allowed)] == []


@contextmanager
def let_in(browser: Browser, viewer: Viewer, *, width: int = 1280, dark: bool = False) -> Iterator[Page]:
    """Open a watched page, show the token, and wait for the list."""
    with watched_page(browser, width=width, dark=dark) as page:
        page.goto(viewer.address)
        page.wait_for_url(f"{viewer.url}/")
        yield page
