"""Nobody is let in but whoever was given the address, from the page's own host and origin."""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from viewer_process import viewing
from watched import watched_page

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, Page
    from viewer_process import Viewer

    Headers = dict[str, str]


def _ask(viewer: Viewer, path: str, headers: Headers, method: str = "GET") -> tuple[int, Headers, str]:
    """Send a request of any form, as no browser would: what is given replaces what is usual."""
    parts = urlsplit(viewer.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    connection.putrequest(method, path, skip_host="host" in headers, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, text


def _cookie(viewer: Viewer) -> Headers:
    return {"cookie": f"convlog_{urlsplit(viewer.url).port}={viewer.token}"}


def test_the_start_up_address_lets_a_browser_in_and_leaves_no_token_in_the_address_bar(page: Page) -> None:
    assert "token" not in page.url
    assert page.title() == "Conversations · otel-convlog"
    (cookie,) = page.context.cookies()
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Strict"


def test_the_address_of_a_page_lets_in_too(browser: Browser, viewer: Viewer) -> None:
    with watched_page(browser) as page:
        page.goto(f"{viewer.url}/?model=gpt&token={viewer.token}")
        page.wait_for_url(f"{viewer.url}/?model=gpt")


@pytest.mark.parametrize(
    "path", ["/", "/?token=", "/?token=wrong", "/?token=%ff", "/static/x/base.css", "/overview", "/nowhere"]
)
def test_without_the_token_nothing_is_shown(viewer: Viewer, path: str) -> None:
    status, headers, text = _ask(viewer, path, {})
    assert status == 401
    assert "otel-convlog view" in text
    assert "set-cookie" not in headers


@pytest.mark.parametrize(
    "cookie", ["convlog_1=x", "convlog_{port}=", "convlog_{port}=wrong", "a=b; convlog_{port}=\udcff"]
)
def test_a_wrong_cookie_is_none(viewer: Viewer, cookie: str) -> None:
    value = cookie.format(port=urlsplit(viewer.url).port).encode("utf-8", "surrogateescape").decode("latin-1")
    assert _ask(viewer, "/", {"cookie": value})[0] == 401


def test_a_strange_cookie_beside_ours_does_not_hide_it(viewer: Viewer) -> None:
    assert _ask(viewer, "/", {"cookie": f'a[]={{"x":1}}; {_cookie(viewer)["cookie"]}; b="'})[0] == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "127.0.0.1.evil.example:{port}", "localhost.:{port}", ""]
)
def test_a_foreign_host_is_refused_whatever_else_is_shown(viewer: Viewer, host: str) -> None:
    named = host.format(port=urlsplit(viewer.url).port)
    for path in ("/", f"/?token={viewer.token}"):
        status, headers, _ = _ask(viewer, path, {"host": named, **_cookie(viewer)})
        assert status == 403
        assert "set-cookie" not in headers


def test_two_hosts_are_refused(viewer: Viewer) -> None:
    parts = urlsplit(viewer.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    connection.putrequest("GET", "/", skip_host=True)
    for host in (parts.netloc, "evil.example"):
        connection.putheader("host", host)
    connection.putheader("cookie", _cookie(viewer)["cookie"])
    connection.endheaders()
    assert connection.getresponse().status in (400, 403)
    connection.close()


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "http://127.0.0.1", "file://"])
def test_a_foreign_origin_is_refused(viewer: Viewer, origin: str) -> None:
    assert _ask(viewer, "/", {"origin": origin, **_cookie(viewer)})[0] == 403


def test_what_another_site_s_page_asks_for_is_refused(viewer: Viewer) -> None:
    for site in ("cross-site", "same-site"):
        assert _ask(viewer, "/", {"sec-fetch-site": site, **_cookie(viewer)})[0] == 403


def test_nothing_is_changed_without_the_marker_and_the_origin(viewer: Viewer) -> None:
    own = {"origin": viewer.url}
    marker = {"x-convlog-view": "1"}
    for method in ("POST", "PUT", "DELETE"):
        for headers in ({}, own, marker):
            assert _ask(viewer, "/conversation/weather", {**headers, **_cookie(viewer)}, method)[0] == 403


@pytest.mark.parametrize(
    "path",
    [
        "/static/x/..%2f..%2fapp.py",
        "/static/x/../../app.py",
        "/static/x/%2e%2e%2fguard.py",
        "/static/../catalog.sqlite3",
        "/conversation/..%2f..%2fcatalog.sqlite3",
        "/conversation/%2e%2e",
        "//evil.example/",
        "/static/x/base.css%00",
    ],
)
def test_a_path_that_climbs_leads_nowhere(viewer: Viewer, path: str) -> None:
    status, _, text = _ask(viewer, path, _cookie(viewer))
    assert status == 404
    assert "def " not in text
    assert "SQLite" not in text


def test_the_token_never_leads_to_another_host(viewer: Viewer) -> None:
    status, headers, text = _ask(viewer, f"//evil.example/?token={viewer.token}", {})
    assert status == 200
    assert "location" not in headers
    assert "url=/evil.example/" in text


def test_every_answer_has_the_policy(viewer: Viewer) -> None:
    for path, own in (
        ("/", _cookie(viewer)),
        ("/nowhere", _cookie(viewer)),
        ("/", {}),
        ("/", {"host": "evil.example"}),
    ):
        _, headers, _ = _ask(viewer, path, own)
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"


def test_static_files_are_kept_by_the_browser(page: Page, viewer: Viewer) -> None:
    address = page.locator("link[rel=stylesheet]").first.get_attribute("href") or ""
    status, headers, _ = _ask(viewer, address, _cookie(viewer))
    assert status == 200
    assert "immutable" in headers["cache-control"]
    status, headers, _ = _ask(viewer, "/static/older/base.css", _cookie(viewer))
    assert status == 200
    assert headers["cache-control"] == "no-store"


def test_a_further_host_is_let_in_by_name(made_log: Path) -> None:
    with viewing(made_log, "--allow-host", "logs.example:8443") as viewer:
        headers = {"host": "logs.example:8443", "cookie": f"convlog_8443={viewer.token}"}
        assert _ask(viewer, "/", headers)[0] == 200
        assert _ask(viewer, "/", {**headers, "origin": "https://logs.example:8443"})[0] == 200
        assert _ask(viewer, "/", {**headers, "host": "logs.example"})[0] == 403


def test_two_viewers_do_not_share_their_tokens(viewer: Viewer, made_log: Path) -> None:
    with viewing(made_log) as other:
        assert other.token != viewer.token
        assert _ask(other, "/", _cookie(viewer))[0] == 401
