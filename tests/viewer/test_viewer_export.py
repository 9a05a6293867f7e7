"""A conversation as one file: opened from the disk, it needs nothing and nobody."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cli_helpers import run
from playwright.sync_api import expect
from watched import watched_page

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, Page
    from viewer_process import Viewer


def test_the_file_shows_what_the_page_shows(browser: Browser, page: Page, viewer: Viewer, tmp_path: Path) -> None:
    page.goto(f"{viewer.url}/conversation/weather")
    with page.expect_download() as download:
        page.get_by_text("Export as one page").click()
    assert download.value.suggested_filename == "weather.html"
    file = tmp_path / "weather.html"
    download.value.save_as(file)
    text = file.read_text("utf-8")
    assert "<script" not in text
    assert not re.search(r"""(?:src|href)=["'](?!#|data:)""", text)
    with watched_page(browser) as exported:
        exported.goto(file.as_uri())
        expect(exported.locator(".turn")).to_have_count(3)
        expect(exported.locator("#turn-1 .call")).to_contain_text("get_weather")
        expect(exported.locator("#turn-1 .message.user > .parts")).not_to_have_css(
            "background-color", "rgba(0, 0, 0, 0)"
        )
        exported.locator(".rail a").nth(2).click()
        expect(exported.locator("#turn-3")).to_be_in_viewport()
        inspections = exported.locator(".inspections").first
        inspections.get_by_text("Wire", exact=True).click()
        expect(inspections.locator(".row.changed", has_text='"model"').first).to_be_visible()
        inspections.get_by_text("Events", exact=True).click()
        expect(inspections.locator(".picture svg")).to_be_visible()
        assert exported.locator("button, form, input").count() == 0


def test_the_command_line_writes_the_same_file(made_log: Path, tmp_path: Path) -> None:
    file = tmp_path / "spans.html"
    run(made_log, "export", "spans", "--format", "page", "-o", str(file))
    text = file.read_text("utf-8")
    assert text.count('<article class="turn') == 3
    assert text.endswith("</html>\n")


def test_a_page_is_of_one_conversation(made_log: Path) -> None:
    assert "one conversation" in run(made_log, "export", "--format", "page", status=2).output
