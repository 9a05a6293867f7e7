"""The pages can be used by everybody: axe-core finds nothing serious, light and dark, wide and narrow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect
from watched import let_in

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page
    from viewer_process import Viewer

_SERIOUS = ("serious", "critical")
_PAGES = {
    "list": "/",
    "filters": "/?model=gpt",
    "search": "/?q=weather",
    "overview": "/overview?range=24h",
    "rendered": "/conversation/weather",
    "error": "/conversation/refused",
    "wire": "/conversation/weather?tab=wire",
    "events": "/conversation/slow?tab=events",
    "diff": "/conversation/weather?turn=3&tab=diff",
    "raw": "/conversation/weather?tab=raw&find=oslo",
}
# Where other colours or another width can make a fault that is not there else.
_OTHERWISE = {name: _PAGES[name] for name in ("list", "overview", "rendered", "wire", "events", "raw")}
# Kept where they can be looked at after a run; the folder is not part of the repository.
SCREENSHOTS = Path(__file__).resolve().parents[2] / "build" / "screenshots"


def _check(page: Page, name: str) -> None:
    found = Axe().run(page).response["violations"]
    serious = [
        (one["id"], node["html"][:200], node["failureSummary"][:300])
        for one in found
        if one["impact"] in _SERIOUS
        for node in one["nodes"][:3]
    ]
    assert serious == [], name
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False)])
def test_no_page_has_a_serious_fault(browser: Browser, viewer: Viewer, width: int, dark: bool) -> None:
    with let_in(browser, viewer, width=width, dark=dark) as page:
        for name, path in _PAGES.items() if width > 1_000 and not dark else _OTHERWISE.items():
            page.goto(viewer.url + path)
            _check(page, f"{name}-{width}{'-dark' if dark else ''}")


def test_the_first_tab_stop_leads_past_the_bar(page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.get_by_text("To the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()


def test_the_dialog_of_the_keys_has_no_fault(page: Page) -> None:
    page.keyboard.press("?")
    _check(page, "help")
