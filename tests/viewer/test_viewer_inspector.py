"""What the tabs show of one turn."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING, Any

import pytest
from cli_helpers import answered, asked, write
from playwright.sync_api import expect
from store_helpers import make_turn
from viewer_process import viewing
from watched import watched_page

from otel_convlog.record import StreamEvents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Page
    from viewer_process import Viewer

    from otel_convlog.jsontext import Json


_MOST_LOOKS = 500


def copied_text(page: Page, is_wanted: Callable[[str], bool]) -> str:
    """Return what the clipboard has, once that is what is waited for."""
    for _ in range(_MOST_LOOKS):
        text: str = page.evaluate("navigator.clipboard.readText()")
        if is_wanted(text):
            return text
        page.wait_for_timeout(20)
    raise AssertionError(f"the clipboard has {text[:100]!r}")


def _chunk(text: str) -> dict[str, Any]:
    chunk = {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": text}}]}
    return {"type": "openai_chunk", "data": chunk}


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Viewer]:
    """A log of turns that are not like others: long streams, stalls, attempts, a cut."""
    directory = tmp_path_factory.mktemp("odd")
    many: list[Json] = [_chunk(f"w{number} ") for number in range(20_000)]
    request = asked("tell me", "once", "more")
    changed = {**asked("tell me all", "once", "more", "yes", "go on"), "temperature": 0.5}
    write(
        directory,
        make_turn(
            1,
            request,
            conversation_id="long",
            stream=True,
            duration_ms=20_000.0,
            upstream_events=StreamEvents(many, [float(number) for number in range(20_000)]),
            client_events=StreamEvents(many, [number + 0.5 for number in range(20_000)]),
            usage={"input_tokens": 5, "output_tokens": 20_000},
        ),
        make_turn(
            2,
            changed,
            conversation_id="long",
            stream=True,
            duration_ms=6_000.0,
            upstream_events=StreamEvents([_chunk("a"), _chunk("b")], [100.0, 5_100.0]),
            client_events=StreamEvents([_chunk("a")], [101.0]),
            error={"type": "client_disconnected", "message": "the client has gone"},
            trace={
                "attempts": [
                    {"url": "https://first.example/v1", "status_code": 503, "error": {"message": "no room"}},
                    {"url": "https://second.example/v1", "status_code": 429, "upstream_request": {"body": request}},
                ]
            },
        ),
        make_turn(
            3,
            {**asked("x" * 3_000_000), "list": list(range(1_000))},
            conversation_id="long",
            client_response=answered("y"),
        ),
    )
    with viewing(directory) as viewer:
        yield viewer


@pytest.fixture
def odd_page(browser: Browser, odd: Viewer) -> Iterator[Page]:
    with watched_page(browser) as page:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=odd.url)
        page.goto(odd.address)
        page.wait_for_url(f"{odd.url}/")
        yield page


def test_what_the_proxy_changed_is_marked_between_the_legs(page: Page, viewer: Viewer) -> None:
    page.goto(f"{viewer.url}/conversation/weather?turn=1&tab=wire")
    requests = page.get_by_role("region", name="client request and upstream request")
    expect(requests.locator("h3")).to_contain_text("client → upstream")
    expect(requests.locator(".changes")).to_contain_text("changed")
    row = requests.locator(".row.changed", has_text='"model"')
    expect(row.locator(".left mark")).to_have_text("fast")
    expect(row.locator(".right mark")).to_have_text("gpt-5-mini")
    answers = page.get_by_role("region", name="upstream response and client response")
    expect(answers).to_contain_text("passed on unchanged")
    expect(answers).to_contain_text("put together from its events")


def test_unchanged_lines_are_folded_and_open(page: Page, viewer: Viewer) -> None:
    page.goto(f"{viewer.url}/conversation/weather?turn=2&tab=wire")
    fold = page.locator(".unchanged").first
    expect(fold.locator(".row").first).not_to_be_visible()
    fold.locator("summary").click()
    expect(fold.locator(".row").first).to_be_visible()


def test_a_request_is_copied_as_a_command_and_as_json(page: Page, viewer: Viewer) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=viewer.url)
    page.goto(f"{viewer.url}/conversation/weather?turn=1&tab=wire")
    page.get_by_text("Copy as curl").nth(1).click()
    expect(page.get_by_text("Copied", exact=True).first).to_be_visible()
    command = page.evaluate("navigator.clipboard.readText()")
    words = shlex.split(command)
    assert words[0] == "curl"
    assert words[1].endswith("/v1/chat/completions")
    assert "authorization: $AUTHORIZATION" in words
    assert json.loads(words[words.index("--data-raw") + 1])["model"] == "gpt-5-mini"
    page.get_by_text("Copy as JSON").first.click()
    copied = json.loads(copied_text(page, lambda text: text.startswith("{")))
    assert copied["body"]["model"] == "fast"


def test_earlier_attempts_are_shown_in_their_order(odd_page: Page, odd: Viewer) -> None:
    odd_page.goto(f"{odd.url}/conversation/long?turn=2&tab=wire")
    attempts = odd_page.locator(".attempt > summary")
    expect(attempts).to_have_count(2)
    expect(attempts.nth(0)).to_contain_text("https://first.example/v1 · status 503")
    expect(attempts.nth(1)).to_contain_text("https://second.example/v1 · status 429")
    attempts.nth(0).click()
    expect(odd_page.locator(".attempt").nth(0)).to_contain_text("no room")
    expect(odd_page.locator(".leg-error")).to_contain_text("client_disconnected")


def test_a_stream_is_drawn_with_its_first_token_and_its_events_open_on_a_click(page: Page, viewer: Viewer) -> None:
    page.goto(f"{viewer.url}/conversation/slow?tab=events")
    expect(page.locator(".picture .tick.upstream")).not_to_have_count(0)
    expect(page.locator(".picture .tick.client")).not_to_have_count(0)
    expect(page.locator(".picture .first")).to_contain_text("first token")
    expect(page.locator(".stream-facts")).to_contain_text("tokens a second")
    page.locator(".events button").nth(4).click()
    expect(page.locator(".chosen-event")).to_contain_text('"object": "chat.completion.chunk"')
    expect(page.locator(".events tr.opened")).to_have_count(1)
    mark = page.locator(".picture .tick.client").first
    title = mark.locator("title").text_content() or ""
    mark.click()
    number = re.search(r"events? (\d+)", title)
    assert number is not None
    expect(page.locator(".chosen-event h4")).to_have_text(f"client event {number[1]}")


def test_a_stall_and_a_broken_stream_are_marked(odd_page: Page, odd: Viewer) -> None:
    odd_page.goto(f"{odd.url}/conversation/long?turn=2&tab=events")
    expect(odd_page.locator(".picture .stall title")).to_have_text("nothing from upstream for 5 s")
    expect(odd_page.locator(".picture .end.failed")).to_contain_text("error")
    expect(odd_page.locator(".stream-facts")).to_contain_text("the longest 5 s")
    expect(odd_page.locator(".stream-facts")).to_contain_text("client_disconnected")
    expect(odd_page.locator(".events tr.stalled")).to_contain_text("stalled")


def test_a_stream_of_20000_events_is_a_small_picture_and_a_list_that_grows(odd_page: Page, odd: Viewer) -> None:
    odd_page.goto(f"{odd.url}/conversation/long?turn=1&tab=events")
    assert 100 < odd_page.locator(".picture .tick").count() <= 600
    expect(odd_page.locator(".stream-facts")).to_contain_text("20,000")
    rows = odd_page.locator(".events tbody tr[data-number]")
    expect(rows).to_have_count(200)
    odd_page.get_by_text("39,800 more events").click()
    expect(rows).to_have_count(400)


def test_a_turn_that_was_not_streamed_says_so(page: Page, viewer: Viewer) -> None:
    page.goto(f"{viewer.url}/conversation/edited?tab=events")
    expect(page.locator("#panel")).to_contain_text("This turn was not streamed")


def test_the_difference_marks_where_the_cache_breaks(odd_page: Page, odd: Viewer) -> None:
    odd_page.goto(f"{odd.url}/conversation/long?turn=2&tab=diff")
    panel = odd_page.locator("#panel")
    expect(panel.locator(".cache.broken")).to_contain_text("cache prefix breaks at message 1 (user), behind 0 messages")
    expect(panel.locator(".break")).to_have_text("the cached prefix ends here")
    expect(panel.locator(".pieces > li.changed mark")).to_have_text([" all"])
    expect(panel.locator(".pieces > li.added")).to_have_count(2)
    expect(panel.locator(".pieces > li.same")).to_contain_text("2 unchanged")
    expect(panel.locator(".fields")).to_contain_text("temperature")


def test_a_turn_can_be_compared_with_another_than_the_one_before(odd_page: Page, odd: Viewer) -> None:
    odd_page.goto(f"{odd.url}/conversation/long?turn=3&tab=diff")
    odd_page.get_by_label("against").select_option(label="turn 1")
    expect(odd_page.locator("#panel select option:checked")).to_have_text("turn 1")
    expect(odd_page).to_have_url(re.compile("against=turn_"))
    odd_page.reload()
    expect(odd_page.locator("#panel select option:checked")).to_have_text("turn 1")


def test_a_prefix_that_holds_is_said(page: Page, viewer: Viewer) -> None:
    page.goto(f"{viewer.url}/conversation/weather?turn=3&tab=diff")
    expect(page.locator("#panel .cache")).to_contain_text("cache prefix holds")
    page.locator(".rail a[data-number='1']").click()
    expect(page.locator("#panel")).to_contain_text("there is none before it to compare with")


def test_the_tree_unfolds_and_finds(page: Page, viewer: Viewer) -> None:
    page.goto(f"{viewer.url}/conversation/weather?turn=1&tab=raw")
    messages = page.locator(".node[data-pointer='/client_request/messages'] > details")
    expect(messages.locator("> .node").first).not_to_be_visible()
    messages.locator("summary").first.click()
    expect(messages.locator("> .node").nth(1)).to_be_visible()
    page.get_by_label("Find in this turn").fill("OSLO")
    page.keyboard.press("Enter")
    hits = page.locator(".hits li")
    expect(hits.first).to_contain_text("/client_request/messages/1/content")
    expect(hits.first.locator("mark")).to_have_text("Oslo")
    hits.first.get_by_role("link").click()
    expect(page.locator(".crumbs")).to_contain_text("client_request / messages / 1 / content")
    expect(page.locator(".tree")).to_contain_text("What is the weather in Oslo?")


def test_what_is_not_in_the_turn_is_not_found(page: Page, viewer: Viewer) -> None:
    page.goto(f"{viewer.url}/conversation/weather?turn=1&tab=raw&find=zeppelin")
    expect(page.locator(".hits")).to_contain_text("Nothing in this turn has zeppelin.")


def test_large_values_are_fetched_in_pieces(odd_page: Page, odd: Viewer) -> None:
    odd_page.goto(f"{odd.url}/conversation/long?turn=3&tab=raw&at=/client_request")
    assert len(odd_page.content()) < 500_000
    numbers = odd_page.locator(".node[data-pointer='/client_request/list'] > details")
    if numbers.get_attribute("open") is None:
        numbers.locator("summary").click()
    expect(numbers.locator("> .node")).to_have_count(200)
    odd_page.get_by_text("800 more").click()
    expect(numbers.locator("> .node")).to_have_count(400)


def test_a_long_text_is_folded_with_its_size_and_can_be_had_whole(odd_page: Page, odd: Viewer) -> None:
    odd_page.goto(f"{odd.url}/conversation/long?turn=3")
    long = odd_page.locator("#turn-3 .message.user details.text")
    expect(long.locator("summary").first).to_contain_text("3.0 MB")
    expect(long.locator(".text")).not_to_be_visible()
    long.locator("summary").first.click()
    with odd_page.expect_download() as download:
        long.get_by_text("All of it, as text").click()
    assert download.value.path().read_text() == "x" * 3_000_000


def test_a_path_and_a_value_are_copied_from_the_tree(odd_page: Page, odd: Viewer) -> None:
    odd_page.goto(f"{odd.url}/conversation/long?turn=2&tab=raw")
    leaf = odd_page.locator(".node[data-pointer='/duration_ms']")
    leaf.hover()
    leaf.get_by_label("Copy the path of duration_ms").click()
    copied_text(odd_page, "/duration_ms".__eq__)
    leaf.hover()
    leaf.get_by_label("Copy the value of duration_ms").click()
    copied_text(odd_page, lambda text: text in {"6000", "6000.0"})
    with odd_page.expect_download() as download:
        odd_page.get_by_text("Download JSON").click()
    assert json.loads(download.value.path().read_bytes())["turn_id"].startswith("turn_")
