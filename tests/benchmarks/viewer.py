"""What the page costs: first paints in a real browser, and the server's memory, on large logs.

Beside each page's first paint stands that of an empty page of the same server, in the same run, and their ratio. Run
``python tests/benchmarks/viewer.py``; it needs Chromium.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path
from shutil import which
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

_TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(_TESTS), str(_TESTS / "viewer")]

from cli import write_many  # noqa: E402  after its place is known
from command_process import most_memory  # noqa: E402  as above
from large_conversation import TURNS, write_large  # noqa: E402  as above
from playwright.sync_api import sync_playwright  # noqa: E402  as above
from viewer_process import viewing  # noqa: E402  as above

if TYPE_CHECKING:
    from playwright.sync_api import Page
    from viewer_process import Viewer

_ROUNDS = 5
_EMPTY = "/?model=no-such-model-at-all&day=1999-01-01"
_LISTS = {
    "list, first page": "/",
    "list, page 1,000": "/?offset=50000",
    "list, by model": "/?model=model-3",
    "list, with errors": "/?errors=yes",
    "list, by tokens": "/?sort=tokens",
    "overview, all": "/overview?range=all",
}
_TURN = f"/conversation/c?turn={TURNS // 2}"
_CONVERSATION = {"rendered": _TURN, **{tab: f"{_TURN}&tab={tab}" for tab in ("wire", "events", "diff", "raw")}}


def paint_ms(page: Page, url: str) -> float:
    """Load a page; the milliseconds from the request to its first contentful paint."""
    page.goto(url)
    page.wait_for_function("() => performance.getEntriesByName('first-contentful-paint').length")
    return float(page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))


def measure(page: Page, viewer: Viewer, pages: dict[str, str]) -> None:
    """Print the first paint of each page, that of an empty one, and their ratio."""
    for name, path in pages.items():
        times, empty = [], []
        for _ in range(_ROUNDS):
            empty.append(paint_ms(page, viewer.url + _EMPTY))
            times.append(paint_ms(page, viewer.url + path))
        print(f"| {name} | {median(times):.0f} ms | {median(empty):.0f} ms | {median(times) / median(empty):.1f} |")
    print(f"the server's memory at most: {most_memory(viewer.process_id) / 1e6:.0f} MB\n")


def measure_search(page: Page, viewer: Viewer) -> None:
    """Print how long the first search takes until all is read, and the second."""
    for name in ("first", "second"):
        started = perf_counter()
        page.goto(f"{viewer.url}/?q=question")
        page.wait_for_selector("#results mark", timeout=300_000)
        seen = perf_counter() - started
        while page.locator("[data-again]").count():
            page.wait_for_timeout(50)
        print(f"{name} search: something after {seen:.2f} s, all after {perf_counter() - started:.1f} s")


def main() -> None:
    """Measure both logs."""
    os.environ["NO_PROXY"] = "127.0.0.1"
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=which("chromium"), args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        for title, write, pages in (
            (f"a conversation of 250 MB, {TURNS:,} turns", write_large, _CONVERSATION),
            ("100,000 conversations, 150,000 turns", write_many, _LISTS),
        ):
            directory = Path(name) / re.sub(r"\W", "", title)
            write(directory)
            with viewing(directory) as viewer:
                page = browser.new_page()
                page.goto(viewer.address)
                page.wait_for_url(f"{viewer.url}/")
                print(f"| {title} | first paint | empty page | ratio |\n| --- | --- | --- | --- |")
                measure(page, viewer, pages)
                if write is write_many:
                    measure_search(page, viewer)
                page.close()
        browser.close()


if __name__ == "__main__":
    main()
