"""A conversation as a person looks at it: its turns, what was said, and how to get around in it."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from cli_helpers import answered, asked, write
from playwright.sync_api import expect
from store_helpers import make_turn
from viewer_process import viewing
from watched import let_in, watched_page

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, Page
    from viewer_process import Viewer

_DAY_NS = 86_400_000_000_000


def _open(page: Page, viewer: Viewer, path: str) -> None:
    page.goto(viewer.url + path)
    expect(page.locator("#panel")).to_be_visible()


def test_a_conversation_is_opened_from_the_list_and_read(page: Page) -> None:
    page.get_by_role("link", name="What is the weather in Oslo?").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("What is the weather in Oslo?")
    expect(page.locator(".turn")).to_have_count(3)
    first = page.locator("#turn-1")
    expect(first).to_contain_text("fast → gpt-5-mini at openai")
    expect(first.locator(".message.user")).to_contain_text("What is the weather in Oslo?")


def test_a_call_stands_with_its_result_and_the_result_is_not_shown_twice(page: Page, viewer: Viewer) -> None:
    _open(page, viewer, "/conversation/weather")
    call = page.locator("#turn-1 .call")
    expect(call).to_contain_text("get_weather")
    expect(call.locator("details.result")).to_contain_text('"sky": "clear"')
    expect(call.locator("details.result")).to_contain_text("from turn 2")
    expect(page.locator("#turn-2 .placed")).to_contain_text("shown with its call in turn 1")
    expect(page.locator("#turn-2 details.result")).to_have_count(0)


def test_the_system_prompt_is_shown_once(page: Page, viewer: Viewer) -> None:
    _open(page, viewer, "/conversation/weather")
    expect(page.locator(".system-prompt")).to_have_count(1)
    page.locator("#turn-1 .system-prompt summary").click()
    expect(page.locator("#turn-1 .system-prompt .text")).to_have_text("You are terse.")


def test_markdown_is_laid_out(page: Page, viewer: Viewer) -> None:
    _open(page, viewer, "/conversation/weather")
    expect(page.locator("#turn-3 .message.user strong")).to_have_text("Thanks!")


def test_the_messages_that_a_request_repeats_are_fetched_when_they_are_wanted(page: Page, viewer: Viewer) -> None:
    _open(page, viewer, "/conversation/weather")
    repeated = page.locator("#turn-3 .repeated")
    expect(repeated.locator("summary")).to_have_text("4 messages as before")
    expect(repeated.locator(".message")).to_have_count(0)
    repeated.locator("summary").click()
    expect(repeated.locator(".message.user").first).to_contain_text("What is the weather in Oslo?")


def test_an_edited_history_is_seen(page: Page, viewer: Viewer) -> None:
    _open(page, viewer, "/conversation/edited")
    expect(page.locator("#turn-3")).to_contain_text("A smaller one.")
    expect(page.locator("#turn-3")).not_to_contain_text("A larger one.")


def test_an_error_is_seen_in_the_rail_and_in_the_dialogue(page: Page, viewer: Viewer) -> None:
    _open(page, viewer, "/conversation/refused")
    expect(page.locator(".rail .tag.bad")).to_have_text("error")
    expect(page.locator("#turn-1 .error")).to_contain_text("rate_limit_error")


def test_the_rail_tells_of_each_turn_how_long_it_took_and_its_tokens(page: Page, viewer: Viewer) -> None:
    _open(page, viewer, "/conversation/weather")
    entry = page.locator(".rail a[data-number='1']")
    expect(entry).to_contain_text(re.compile(r"\d+ ms\s+⇥ \d+ ms\s+101→4"))
    expect(entry).to_have_attribute("aria-current", "true")


def test_a_turn_is_chosen_in_the_rail_and_stands_in_the_address(page: Page, viewer: Viewer) -> None:
    _open(page, viewer, "/conversation/spans")
    page.locator(".rail a[data-number='3']").click()
    expect(page.locator(".rail [aria-current]")).to_have_attribute("data-number", "3")
    expect(page).to_have_url(re.compile(r"turn=turn_[0-9a-f]{24}$"))
    page.reload()
    expect(page.locator("#turn-3.chosen")).to_be_in_viewport()
    page.wait_for_timeout(300)  # nothing but scrolling chooses another one
    expect(page.locator(".rail [aria-current]")).to_have_attribute("data-number", "3")
    page.mouse.move(700, 500)
    page.mouse.wheel(0, -2_000)
    expect(page.locator(".rail [aria-current]")).to_have_attribute("data-number", "1")


def test_a_deep_link_opens_a_turn_and_a_tab_also_without_scripts(browser: Browser, viewer: Viewer) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(viewer.address)
    page.wait_for_url(f"{viewer.url}/")
    page.goto(f"{viewer.url}/conversation/weather?turn=2&tab=wire")
    expect(page.get_by_role("tab", selected=True)).to_have_text("Wire")
    expect(page.locator(".rail [aria-current]")).to_have_attribute("data-number", "2")
    expect(page.locator("#panel")).to_contain_text("upstream request")
    page.get_by_role("tab", name="Raw").click()
    expect(page.locator(".tree")).to_contain_text("conversation_id")
    page.locator(".rail a[data-number='1']").click()
    expect(page.get_by_role("tab", selected=True)).to_have_text("Raw")
    context.close()


def test_keys_lead_through_turns_and_tabs(page: Page, viewer: Viewer) -> None:
    _open(page, viewer, "/conversation/weather?tab=wire")
    current = page.locator(".rail [aria-current]")
    page.keyboard.press("j")
    expect(current).to_have_attribute("data-number", "2")
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(current).to_have_attribute("data-number", "3")
    page.keyboard.press("k")
    expect(current).to_have_attribute("data-number", "2")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", selected=True)).to_have_text("Events")
    expect(page.locator(".stream-facts")).to_be_visible()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("tab", selected=True)).to_have_text("Rendered")
    expect(page.locator("#turn-2")).to_be_visible()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("tab", selected=True)).to_have_text("Raw")


def test_the_back_button_leads_back(page: Page, viewer: Viewer) -> None:
    _open(page, viewer, "/conversation/weather")
    page.get_by_role("tab", name="Wire").click()
    expect(page.locator("#panel .pair")).to_have_count(2)
    page.locator(".rail a[data-number='3']").click()
    expect(page.locator(".rail [aria-current]")).to_have_attribute("data-number", "3")
    page.go_back()
    expect(page.locator(".rail [aria-current]")).to_have_attribute("data-number", "1")
    expect(page.get_by_role("tab", selected=True)).to_have_text("Wire")
    page.go_back()
    expect(page.get_by_role("tab", selected=True)).to_have_text("Rendered")
    expect(page.locator("#turn-1")).to_be_visible()


def test_the_slash_leads_to_the_search_and_escape_out_of_it(page: Page, viewer: Viewer) -> None:
    _open(page, viewer, "/conversation/weather")
    page.keyboard.press("/")
    field = page.get_by_role("searchbox")
    expect(field).to_be_focused()
    page.keyboard.type("jk")
    expect(field).to_have_value("jk")
    expect(page.locator(".rail [aria-current]")).to_have_attribute("data-number", "1")
    page.keyboard.press("Escape")
    expect(field).not_to_be_focused()


def test_help_is_opened_by_a_key_and_closed_by_another(page: Page) -> None:
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keyboard")
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).not_to_be_visible()


def test_a_number_that_is_typed_leads_to_its_turn(page: Page, viewer: Viewer) -> None:
    _open(page, viewer, "/conversation/spans")
    page.get_by_role("textbox", name="Turn").fill("2")
    page.keyboard.press("Enter")
    expect(page.locator(".rail [aria-current]")).to_have_attribute("data-number", "2")


def test_what_is_not_there_is_said(page: Page, viewer: Viewer) -> None:
    for path in ("/conversation/nothing", "/conversation/weather?turn=9", "/conversation/weather/turn/x/wire"):
        answer = page.request.get(viewer.url + path, headers={"cookie": _cookie(page)})
        assert answer.status == 404
        assert "There is nothing here" in answer.text()


def _cookie(page: Page) -> str:
    (cookie,) = page.context.cookies()
    return f"{cookie['name']}={cookie['value']}"


def test_long_texts_can_be_had_whole_wherever_they_are_shown(browser: Browser, tmp_path: Path) -> None:
    question, result = "q" * 40_000, "r" * 50_000
    call: Any = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    said: Any = {"role": "assistant", "content": None, "tool_calls": [call]}
    first: Any = {"model": "m", "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": question}]}
    second: Any = {
        "model": "m",
        "messages": [*first["messages"], said, {"role": "tool", "tool_call_id": "call_1", "content": result}],
    }
    write(
        tmp_path,
        make_turn(1, first, client_response={"choices": [{"index": 0, "message": said}]}),
        make_turn(2, second, client_response=answered("so")),
    )
    with viewing(tmp_path) as viewer, let_in(browser, viewer) as page:
        page.goto(f"{viewer.url}/conversation/c")
        page.locator("#turn-1 .call details.result summary").click()
        expect(page.locator("#turn-1 .call details.result")).to_contain_text("turn 2 has all of it")
        with page.expect_download() as download:
            page.locator("#turn-2 .placed").get_by_text("All of it, as text").click()
        assert download.value.path().read_text() == result
        page.locator("#turn-2 .repeated > summary").click()
        repeated = page.locator("#turn-2 .repeated .message.user")
        repeated.locator("summary").click()
        with page.expect_download() as download:
            repeated.get_by_text("All of it, as text").click()
        assert download.value.path().read_text() == question


def test_a_conversation_over_midnight_is_one(browser: Browser, tmp_path: Path) -> None:
    turns = [
        make_turn(
            number,
            asked(
                *[text for earlier in range(1, number) for text in (f"question {earlier}", f"answer {earlier}")],
                f"question {number}",
            ),
            client_response=answered(f"answer {number}"),
            start_ns=1_795_421_170_123_456_000 + (number // 3) * _DAY_NS,
        )
        for number in (1, 2, 3, 4)
    ]
    write(tmp_path, *turns)
    assert len(list(tmp_path.glob("*/c.json"))) == 2
    with viewing(tmp_path) as viewer, let_in(browser, viewer) as page:
        expect(page.locator(".conversation-row")).to_have_count(1)
        page.get_by_role("link", name="question 1").click()
        expect(page.locator(".rail .day")).to_have_text(["2026-11-23", "2026-11-24"])
        expect(page.locator(".rail .idle")).to_have_text(re.compile(r"later$"))
        expect(page.locator(".turn")).to_have_count(4)
        expect(page.locator("#turn-4 .repeated summary")).to_have_text("6 messages as before")


def test_it_can_be_read_on_a_phone(browser: Browser, viewer: Viewer) -> None:
    with let_in(browser, viewer, width=390, dark=True) as page:
        for path in (
            "/",
            "/overview?range=all",
            *(f"/conversation/weather?tab={tab}" for tab in ("rendered", "wire", "events", "diff", "raw")),
        ):
            page.goto(viewer.url + path)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path


def test_a_damaged_turn_says_so_and_takes_no_other_with_it(browser: Browser, tmp_path: Path) -> None:
    write(tmp_path, *(make_turn(number, asked(f"question {number}")) for number in (1, 2, 3)))
    with viewing(tmp_path) as viewer, watched_page(browser, allowed=("500",)) as page:
        page.goto(viewer.address)
        page.wait_for_url(f"{viewer.url}/")
        (path,) = tmp_path.glob("*/c.json")
        status = path.stat()
        data = path.read_bytes()
        path.write_bytes(data.replace(b'"question 2"', b'"question 2 '))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # so that nothing but reading it can tell
        page.goto(f"{viewer.url}/conversation/c?turn=3&tab=raw")
        expect(page.locator(".tree")).to_contain_text("client_request")
        page.keyboard.press("k")
        expect(page.locator("#panel")).to_contain_text("Could not be loaded: 500")
        page.keyboard.press("k")
        expect(page.locator(".tree")).to_contain_text("client_request")
        page.goto(f"{viewer.url}/conversation/c?turn=2&tab=raw")
        expect(page.locator("main")).to_contain_text("otel-convlog verify")
