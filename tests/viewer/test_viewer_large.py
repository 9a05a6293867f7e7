"""A conversation of 250 MB and 3,000 turns: little memory, and only what is looked at is loaded."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import pytest
from command_process import most_memory
from large_conversation import write_large
from playwright.sync_api import expect
from viewer_process import viewing
from watched import let_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Route

pytestmark = pytest.mark.crash
_MOST_BYTES = 200_000_000  # of memory


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("large")
    path = write_large(directory)
    assert path.stat().st_size > 250_000_000
    yield directory
    path.unlink()


def _late(route: Route) -> None:
    time.sleep(0.5)
    route.continue_()


@pytest.mark.skipif(sys.platform != "linux", reason="the system says there how much memory was used")
def test_it_is_read_in_little_memory_and_loaded_as_it_is_looked_at(large: Path, browser: Browser) -> None:
    with viewing(large) as viewer, let_in(browser, viewer) as page:
        page.goto(f"{viewer.url}/conversation/c?turn=1500")
        expect(page.locator("#turn-1500")).to_be_in_viewport()
        expect(page.locator("#turn-1500")).to_contain_text("question 1500")
        assert page.locator(".turn").count() < 100
        assert page.locator(".rail a[data-number]").count() <= 600
        # The rail is as long as all of it would be, and brings what is scrolled to.
        page.locator(".rail").evaluate("(rail) => rail.scrollTo(0, rail.scrollHeight)")
        page.locator(".rail a[data-number='3000']").scroll_into_view_if_needed()
        page.locator(".rail a[data-number='3000']").click()
        expect(page.locator("#turn-3000")).to_be_in_viewport()
        expect(page.locator(".turn")).not_to_have_count(0)
        # So does the dialogue, in both directions.
        page.mouse.move(700, 500)
        expect(page.locator("#turn-2995")).to_be_attached()
        page.mouse.wheel(0, -4_000)
        expect(page.locator("#turn-2985")).to_be_attached()
        page.keyboard.press("k")
        for tab in ("wire", "events", "diff", "raw"):
            page.goto(f"{viewer.url}/conversation/c?turn=2999&tab={tab}")
            expect(page.locator("#panel")).not_to_be_empty()
        # Also while its part of the rail is already on its way.
        page.route("**/rail/**", _late)
        page.get_by_role("textbox", name="Turn").fill("7")
        with page.expect_request("**/rail/**"):
            page.locator(".rail").evaluate("(rail) => rail.scrollTo(0, 0)")
        page.keyboard.press("Enter")
        expect(page.locator(".rail a[data-number='7']")).to_have_attribute("aria-current", "true")
        assert most_memory(viewer.process_id) < _MOST_BYTES
