"""A real headless Chromium, and the page as a process of its own over a log that real clients made."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import sync_playwright

pytest.register_assert_rewrite("viewer_process", "watched")

from viewer_process import viewing  # noqa: E402  its assertions are to be rewritten
from watched import let_in  # noqa: E402  as above

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))

from cli_log import make_log, upstream  # noqa: E402  after its place is known

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page
    from viewer_process import Viewer

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = [  # for a container, where everything is root and there is neither a GPU nor a network
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-dev-shm-usage",
]


@pytest.fixture(scope="session", autouse=True)
def _no_network_proxy() -> None:
    """A network's own HTTP proxy has no part in what passes between processes of one machine."""
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"


@pytest.fixture(scope="module")  # its event loop runs in this thread as long as it is open; other tests have theirs
def browser() -> Iterator[Browser]:
    chromium = next(filter(None, map(which, _NAMES)), None)
    if chromium is None and not os.environ.get("CI"):
        pytest.skip("these tests need Chromium on the PATH")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def made_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log that real clients have made through the real proxy; no test changes it."""
    directory = tmp_path_factory.mktemp("viewed") / "log"
    with upstream() as url:
        make_log(directory, url)
    return directory


@pytest.fixture(scope="session")
def viewer(made_log: Path) -> Iterator[Viewer]:
    with viewing(made_log) as viewer:
        yield viewer


@pytest.fixture
def page(browser: Browser, viewer: Viewer) -> Iterator[Page]:
    """A page that has been let in and shows the list; nothing may go wrong on it."""
    with let_in(browser, viewer) as page:
        yield page
