"""Whatever was logged, nothing of it runs, loads or breaks a page."""

from __future__ import annotations

import http.client
import re
from contextlib import closing, contextmanager
from itertools import product
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from hostile_log import PAYLOADS, make_hostile_log
from playwright.sync_api import expect
from viewer_process import viewing
from watched import let_in, watched_page

from otel_convlog.reading.conversations import resolve
from otel_convlog.reading.turns import places_of
from otel_convlog.viewer import inspector, links
from otel_convlog.viewer.chosen import ChosenTurn
from otel_convlog.viewer.dialogue import rendered_panel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page
    from viewer_process import Viewer

pytestmark = pytest.mark.crash
_MOST_BYTES = 6_000_000  # of any page, whatever is in the turn
_PROTOCOLS = ("chat", "messages", "responses", "gemini")
# What a page may hold of elements and attributes that could do harm: none.
_HARM = """() => {
    const elements = "script iframe object embed base meta style link foreignObject animate".split(" ");
    const addresses = "href src action formaction xlink:href".split(" ");
    const safe = /^(#|\\/(?!\\/)|https?:\\/\\/|mailto:|data:image\\/(png|jpeg|gif|webp|avif);)/;
    const wrong = [];
    for (const element of document.querySelectorAll("main *")) {
        const name = element.localName;
        if (elements.includes(name)) wrong.push(name);
        for (const { name: attribute, value } of element.attributes) {
            const is_harm = attribute.startsWith("on") || attribute === "srcdoc"
                || attribute === "style" && name !== "li"  // the rail's script gives its entries their height
                || addresses.includes(attribute) && !safe.test(value)
                || name === "img" && attribute === "src" && !value.startsWith("data:image/");
            if (is_harm) wrong.push(`${name} ${attribute}=${value.slice(0, 80)}`);
        }
    }
    return wrong;
}"""


@pytest.fixture(scope="module")
def hostile_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("hostile")
    make_hostile_log(directory)
    return directory


@pytest.fixture(scope="module")
def hostile(hostile_log: Path) -> Iterator[Viewer]:
    with viewing(hostile_log) as viewer:
        yield viewer


@pytest.fixture
def hostile_page(browser: Browser, hostile: Viewer) -> Iterator[Page]:
    with let_in(browser, hostile) as page:
        yield page


@contextmanager
def _asking(viewer: Viewer) -> Iterator[Callable[[str], str]]:
    """Give a function that returns a page by its path; it must be there, and of a bounded size."""
    parts = urlsplit(viewer.url)
    headers = {"cookie": f"convlog_{parts.port}={viewer.token}"}
    with closing(http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)) as connection:

        def get(path: str) -> str:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            body = answer.read()
            assert answer.status == 200, (path, body[:300])
            assert len(body) < _MOST_BYTES, path
            return body.decode()

        yield get


def _look(page: Page, url: str) -> None:
    answer = page.goto(url)
    assert answer is not None
    assert answer.status == 200, url
    page.evaluate("document.querySelectorAll('details').forEach((element) => (element.open = true))")
    expect(page.locator(".repeated[data-load]")).to_have_count(0)  # what they repeat is there
    assert page.evaluate(_HARM) == [], url


@pytest.mark.parametrize("protocol", _PROTOCOLS)
def test_nothing_that_was_logged_runs_in_any_tab(hostile_page: Page, hostile: Viewer, protocol: str) -> None:
    hostile_page.add_init_script("window.alert = (text) => console.error('alert ' + text)")
    for turn, tab in product((2, 3), links.TABS):
        _look(hostile_page, f"{hostile.url}/conversation/poisoned-{protocol}?turn={turn}&tab={tab}")


@pytest.mark.parametrize("protocol", _PROTOCOLS)
def test_a_picture_that_stands_in_a_message_is_shown(hostile_page: Page, hostile: Viewer, protocol: str) -> None:
    hostile_page.goto(f"{hostile.url}/conversation/poisoned-{protocol}?turn=1")
    picture = hostile_page.locator("#turn-1 .media img")
    expect(picture).to_be_visible()
    assert picture.evaluate("(image) => image.decode().then(() => image.naturalWidth)") == 1


def test_nothing_that_was_logged_runs_in_the_list_the_search_and_the_overview(
    hostile_page: Page, hostile: Viewer
) -> None:
    for path in (
        "/",
        "/?q=script",
        "/?q=%3Cscript%3Ealert(1)%3C/script%3E",
        "/overview?range=all",
        "/?model=%22%3E%3Cscript%3E",
    ):
        hostile_page.goto(hostile.url + path)
        expect(hostile_page.locator("[data-again]")).to_have_count(0, timeout=90_000)
        assert hostile_page.evaluate(_HARM) == [], path


def test_conversations_with_odd_ids_open_from_the_list(hostile_page: Page, hostile: Viewer, hostile_log: Path) -> None:
    odd = list((hostile_log / "2026-11-20").glob("foreign-*.json"))
    hostile_page.goto(f"{hostile.url}/?day=2026-11-20")
    addresses = [link.get_attribute("href") or "" for link in hostile_page.locator("#list .asked").all()]
    assert len(addresses) >= len(odd) - 1  # the day filter is by the folder's name
    for address in addresses:
        _look(hostile_page, hostile.url + address)
    hostile_page.locator(".rail a[data-turn]").nth(1).click()
    hostile_page.get_by_role("tab", name="Raw").click()
    expect(hostile_page.locator(".tree")).to_be_visible()


@pytest.mark.parametrize("name", [*(f"malformed-{protocol}" for protocol in _PROTOCOLS), "foreign-fields"])
def test_values_of_other_types_break_no_tab(hostile_log: Path, name: str) -> None:
    conversation = resolve(hostile_log, name)
    places = places_of(hostile_log, conversation)
    for place in places:
        chosen = ChosenTurn(conversation, places, place)
        assert len(rendered_panel(chosen)) < _MOST_BYTES
        for tab in list(links.TABS)[1:]:
            assert len(inspector.panel(tab, chosen, {})) < _MOST_BYTES


def test_oversized_turns_give_pages_of_a_bounded_size(hostile: Viewer, hostile_log: Path) -> None:
    with _asking(hostile) as get:
        for place in places_of(hostile_log, resolve(hostile_log, "oversized")):
            for tab in links.TABS:
                get(links.panel("oversized", place.turn_id, tab))
        get(links.panel("oversized", place.turn_id, "history"))
        get(links.panel("oversized", place.turn_id, "raw", find="e"))


def test_an_oversized_conversation_opens_in_a_browser(hostile_page: Page, hostile: Viewer) -> None:
    hostile_page.goto(f"{hostile.url}/conversation/oversized?turn=4")
    hostile_page.wait_for_selector("#turn-4")
    assert hostile_page.evaluate(_HARM) == []


def test_an_export_of_harm_is_harmless(browser: Browser, hostile: Viewer, tmp_path: Path) -> None:
    with _asking(hostile) as get, watched_page(browser) as page:
        file = tmp_path / "exported.html"
        file.write_text(get("/conversation/poisoned-chat/export"), "utf-8")
        page.goto(file.as_uri())
        page.evaluate("document.querySelectorAll('details').forEach((element) => (element.open = true))")
        assert page.evaluate(_HARM) == []


def test_control_characters_are_shown_by_their_numbers(hostile: Viewer) -> None:
    with _asking(hostile) as get:
        for tab in links.TABS:
            text = get(f"/conversation/poisoned-chat?turn=2&tab={tab}")
            assert not re.search("[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text), tab
    assert any("\u202e" in payload for payload in PAYLOADS)
