"""The list of conversations, its filters, the search, and what is written meanwhile."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from cli_helpers import answered, asked, write
from cli_log import TURNS, WITHOUT_ID
from playwright.sync_api import expect
from store_helpers import make_turn
from viewer_process import viewing
from watched import let_in, watched_page

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Locator, Page
    from viewer_process import Viewer

_START_NS = 1_795_421_170_123_456_000  # 2026-11-23T08:06:10Z
_DAY_NS = 86_400_000_000_000


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Viewer]:
    """120 conversations over three days."""
    directory = tmp_path_factory.mktemp("many")
    write(
        directory,
        *(
            make_turn(
                number,
                asked(f"question {number}"),
                conversation_id=f"c{number:03}",
                start_ns=_START_NS + number // 40 * _DAY_NS,
                client_model="large" if number % 10 else "small",
                client_response=answered(f"answer {number}"),
                error={"message": "no"} if number == 77 else None,
                usage={"input_tokens": number, "output_tokens": 1},
            )
            for number in range(120)
        ),
    )
    with viewing(directory) as viewer:
        yield viewer


@pytest.fixture
def many_page(browser: Browser, many: Viewer) -> Iterator[Page]:
    with let_in(browser, many) as page:
        yield page


def _rows(page: Page) -> Locator:
    return page.locator("#list .conversation-row")


def test_every_conversation_has_a_row_that_says_what_it_is(page: Page) -> None:
    expect(_rows(page)).to_have_count(len(TURNS) + 1)
    row = page.locator(".conversation-row", has_text="What is the weather in Oslo?")
    expect(row).to_contain_text("3 turns")
    expect(row).to_contain_text("fast, gpt-5, gpt-5-mini")
    expect(row).to_contain_text("511 → 28 tokens")
    expect(row.locator(".reply")).to_contain_text("nothing was charged")
    expect(row.locator(".tag")).to_have_text("explicit")
    expect(page.locator(".conversation-row", has_text="Who am I?").locator(".tag")).to_have_text(["prefix", "seed"])
    expect(page.locator(".conversation-row", has_text="Who am I?")).to_contain_text(f"{WITHOUT_ID} turns")
    expect(page.locator(".conversation-row", has_text="error-429").locator(".tag.bad")).to_have_text("1 error")


def test_the_newest_stand_first_by_their_days_and_older_ones_on_further_pages(many_page: Page) -> None:
    expect(many_page.locator(".day h2")).to_have_text(["2026-11-25", "2026-11-24"])
    expect(many_page.locator(".asked").first).to_have_text("question 119")
    expect(_rows(many_page)).to_have_count(50)
    many_page.get_by_text("Older →").click()
    expect(many_page.locator(".asked").first).to_have_text("question 69")
    many_page.get_by_text("Older →").click()
    expect(_rows(many_page)).to_have_count(20)
    expect(many_page.get_by_text("Older →")).to_have_count(0)
    many_page.get_by_text("← Newer").click()
    many_page.get_by_text("← Newer").click()
    expect(many_page.locator(".asked").first).to_have_text("question 119")


def test_filters_stand_in_the_address_and_can_be_removed(many_page: Page, many: Viewer) -> None:
    many_page.get_by_text("Filter and sort").click()
    many_page.get_by_label("model").fill("small")
    many_page.get_by_label("day").fill("2026-11-24")
    many_page.get_by_text("Apply").click()
    expect(_rows(many_page)).to_have_count(4)
    expect(many_page).to_have_url(re.compile("model=small"))
    many_page.get_by_label("Remove the filter day: 2026-11-24").click()
    expect(_rows(many_page)).to_have_count(12)
    many_page.goto(f"{many.url}/?errors=yes")
    expect(many_page.locator(".asked")).to_have_text(["question 77"])
    many_page.goto(f"{many.url}/?min_tokens=119&sort=tokens&reverse=yes")
    expect(many_page.locator(".asked")).to_have_text(["question 118", "question 119"])


def test_a_filter_that_cannot_be_read_is_named(many_page: Page, many: Viewer) -> None:
    many_page.goto(f"{many.url}/?min_tokens=lots&errors=maybe&offset=x")
    expect(many_page.locator("#list")).to_contain_text("does not count: tokens from: lots")
    expect(many_page.locator("#list")).to_contain_text("does not count: errors: maybe")
    expect(_rows(many_page)).to_have_count(50)


def test_nothing_found_leads_back_to_all(many_page: Page, many: Viewer) -> None:
    many_page.goto(f"{many.url}/?model=none")
    expect(many_page.locator(".empty")).to_contain_text("No conversation is like that.")
    many_page.locator(".empty").get_by_role("link").click()
    expect(_rows(many_page)).to_have_count(50)


def test_rows_are_reached_and_opened_by_keys(many_page: Page) -> None:
    many_page.keyboard.press("j")
    expect(many_page.locator(".asked").nth(0)).to_be_focused()
    many_page.keyboard.press("j")
    many_page.keyboard.press("j")
    many_page.keyboard.press("k")
    expect(many_page.locator(".asked").nth(1)).to_be_focused()
    many_page.keyboard.press("Enter")
    expect(many_page).to_have_url(re.compile("/conversation/c118"))


def test_what_was_said_is_found_as_it_is_typed(page: Page, viewer: Viewer) -> None:
    page.keyboard.press("/")
    page.keyboard.type("milk")
    results = page.locator("#results .conversation-row")
    expect(results.locator("mark").first).to_have_text("milk")
    expect(page.locator("#list")).not_to_be_visible()
    expect(page).to_have_url(f"{viewer.url}/?q=milk")
    page.reload()
    expect(results.locator("mark").first).to_have_text("milk")
    page.keyboard.press("/")
    page.keyboard.type("nobodysaidthis")
    expect(page.locator("#results")).to_contain_text("Nobody has said nobodysaidthis")
    page.get_by_role("searchbox").fill("")
    expect(page.locator("#list")).to_be_visible()
    expect(page).to_have_url(f"{viewer.url}/")


def test_what_is_found_leads_to_its_turn(page: Page, viewer: Viewer) -> None:
    page.goto(f"{viewer.url}/?q=résumé")
    page.locator("#results .asked").first.click()
    expect(page.locator(".rail [aria-current]")).to_have_attribute("data-number", "3")


def test_a_search_is_begun_on_any_page(page: Page, viewer: Viewer) -> None:
    page.goto(f"{viewer.url}/conversation/weather")
    page.keyboard.press("/")
    page.keyboard.type("planet")
    page.keyboard.press("Enter")
    expect(page.locator("#results mark").first).to_have_text("planet")


def test_a_search_for_no_word_says_so(page: Page, viewer: Viewer) -> None:
    page.goto(f"{viewer.url}/?q=%3F%3F")
    expect(page.locator("#results")).to_contain_text("there is no word in")


def test_an_empty_log_says_what_to_expect(browser: Browser, tmp_path: Path) -> None:
    with viewing(tmp_path) as viewer, let_in(browser, viewer) as page:
        expect(page.locator(".empty")).to_contain_text("There are no conversations yet.")
        page.goto(f"{viewer.url}/overview")
        expect(page.locator(".empty")).to_contain_text("No turns in this time.")
        page.goto(f"{viewer.url}/?q=x")
        expect(page.locator("#results")).to_contain_text("Nobody has said x")


def test_turns_appear_as_they_are_written(browser: Browser, tmp_path: Path) -> None:
    first = make_turn(1, asked("hello"), conversation_id="old", client_response=answered("hi"))
    other = make_turn(2, asked("other"), conversation_id="other", client_response=answered("hi"))
    write(tmp_path, first, other)
    with viewing(tmp_path) as viewer, watched_page(browser) as page:
        with page.expect_response(f"{viewer.url}/live"):
            page.goto(viewer.address)
        expect(page.locator(".asked")).to_have_text(["other", "hello"])
        page.locator(".asked", has_text="other").focus()
        page.wait_for_timeout(700)  # the server has looked what is there already
        write(tmp_path, make_turn(3, asked("brand new"), conversation_id="new"))
        expect(page.locator(".asked")).to_have_text(["brand new", "other", "hello"])
        again = make_turn(4, asked("hello", "hi", "and more"), conversation_id="old", client_response=answered("yes"))
        write(tmp_path, again)
        expect(page.locator(".asked")).to_have_text(["hello", "brand new", "other"])
        expect(page.locator(".conversation-row.new").first).to_contain_text("2 turns")
        expect(page.locator(".asked", has_text="other")).to_be_focused()
        page.goto(f"{viewer.url}/?model=none")
        expect(page.locator(".empty")).to_be_visible()


def test_a_conversation_that_is_open_goes_on(browser: Browser, tmp_path: Path) -> None:
    write(tmp_path, make_turn(1, asked("hello"), client_response=answered("hi")))
    with viewing(tmp_path) as viewer, let_in(browser, viewer) as page:
        with page.expect_response(f"{viewer.url}/live"):
            page.goto(f"{viewer.url}/conversation/c")
        page.wait_for_timeout(700)  # as above
        write(tmp_path, make_turn(2, asked("hello", "hi", "and more"), client_response=answered("more")))
        expect(page.locator(".turn")).to_have_count(2)
        expect(page.locator("#turn-2 .message.user")).to_have_text(re.compile("and more"))
        expect(page.locator(".rail a[data-number='2']")).to_be_visible()
        expect(page.locator(".about")).to_contain_text("2 turns")


def test_a_server_with_open_pages_stops_at_once(browser: Browser, made_log: Path) -> None:
    with (
        watched_page(browser, allowed=("ERR_", "Failed to")) as page,
        viewing(made_log) as viewer,  # its end waits for the process, and fails where that does not end
        page.expect_response("**/live"),
    ):
        page.goto(viewer.address)


def test_the_overview_counts_by_time_and_by_model(many_page: Page, many: Viewer) -> None:
    many_page.goto(f"{many.url}/overview?range=all")
    expect(many_page.locator(".totals")).to_contain_text("120 turns")
    expect(many_page.locator(".totals .bad")).to_have_text("1 with an error")
    turns = many_page.locator(".plot", has_text="Turns")
    expect(turns.locator("rect.main")).to_have_count(3)
    expect(turns.locator("rect.bad title")).to_have_text(re.compile(r"11-24: answered 39, with an error 1"))
    expect(many_page.locator(".figures").first.locator("tbody tr")).to_have_count(2)
    many_page.get_by_role("link", name="small").click()
    expect(many_page.locator(".totals")).to_contain_text("12 turns")
    many_page.get_by_text("The figures by day").click()
    expect(many_page.locator(".by-time tbody tr")).to_have_count(3)
    many_page.get_by_role("link", name="24 hours").click()
    expect(many_page).to_have_url(re.compile("range=24h&model=small"))


def test_the_overview_draws_how_long_turns_took(page: Page, viewer: Viewer) -> None:
    page.goto(f"{viewer.url}/overview?range=24h")
    for title in ("Turns", "Tokens", "Duration", "Time to first token"):
        expect(page.locator(".plot", has_text=title).first).to_be_visible()
    expect(page.locator(".plot circle title").first).to_have_text(re.compile(r": 99 % [\d.]+ m?s"))
