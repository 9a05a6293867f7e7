"""Forgetting is the one thing that the pages change, and nobody does it by mistake."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli_helpers import answered, asked, write
from playwright.sync_api import expect
from store_helpers import make_turn
from viewer_process import viewing
from watched import let_in

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser


def _make(directory: Path) -> None:
    for name in ("apricots", "bananas"):
        write(directory, make_turn(1, asked(f"about {name}"), conversation_id=name, client_response=answered("yes")))


def test_a_conversation_is_forgotten_when_it_was_confirmed(browser: Browser, tmp_path: Path) -> None:
    _make(tmp_path)
    with viewing(tmp_path) as viewer, let_in(browser, viewer) as page:
        page.get_by_role("link", name="about apricots", exact=True).click()
        page.get_by_text("Forget…").click()
        dialog = page.get_by_role("dialog", name="Forget this conversation")
        expect(dialog).to_contain_text("This removes 1 turn in 1 file:")
        expect(dialog).to_contain_text("apricots.json")
        dialog.get_by_role("button", name="Forget").click()
        assert list(tmp_path.glob("*/apricots.json"))  # the box was not ticked
        dialog.get_by_label("Remove it from the files").check()
        dialog.get_by_role("button", name="Forget").click()
        expect(dialog).to_contain_text("Nothing of it is left in files, catalog and evidence.")
        page.keyboard.press("Escape")
        expect(page.locator(".asked")).to_have_text(["about bananas"])
    assert [path.stem for path in tmp_path.glob("*/*.json")] == ["bananas"]


def test_who_changes_the_mind_keeps_it(browser: Browser, tmp_path: Path) -> None:
    _make(tmp_path)
    with viewing(tmp_path) as viewer, let_in(browser, viewer) as page:
        page.get_by_role("link", name="about bananas").click()
        page.get_by_text("Forget…").click()
        page.get_by_role("button", name="Keep it").click()
        expect(page.get_by_role("dialog")).to_have_count(0)
    assert len(list(tmp_path.glob("*/*.json"))) == 2


def test_the_beginning_of_an_id_forgets_nothing(browser: Browser, tmp_path: Path) -> None:
    _make(tmp_path)
    with viewing(tmp_path) as viewer, let_in(browser, viewer) as page:
        (cookie,) = page.context.cookies()
        headers = {"cookie": f"{cookie['name']}={cookie['value']}", "origin": viewer.url, "x-convlog-view": "1"}
        assert page.request.post(f"{viewer.url}/conversation/banana/forget", headers=headers).status == 404
        assert page.request.post(f"{viewer.url}/conversation/bananas/forget").status == 403
    assert len(list(tmp_path.glob("*/*.json"))) == 2
