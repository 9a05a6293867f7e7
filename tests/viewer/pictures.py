"""Takes the pictures of docs/viewer.md anew, of a log that real clients have made through the real proxy.

Run ``python tests/viewer/pictures.py``.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from shutil import which

_ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(_ROOT / "tests" / "examples"), str(_ROOT / "tests")]

from cli_log import make_log, upstream  # noqa: E402  after its place is known
from playwright.sync_api import sync_playwright  # noqa: E402  as above
from viewer_process import viewing  # noqa: E402  as above
from watched import watched_page  # noqa: E402  as above

_PICTURES = {"viewer-dialogue": "/conversation/weather", "viewer-events": "/conversation/slow?tab=events"}
_WIDTH, _HEIGHT = 1100, 640


def take(directory: Path, folder: Path) -> None:
    """Take the pictures of a log."""
    with viewing(directory) as viewer, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=which("chromium"), args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        with watched_page(browser, width=_WIDTH, height=_HEIGHT) as page:
            page.goto(viewer.address)
            page.wait_for_url(f"{viewer.url}/")
            for name, path in _PICTURES.items():
                page.goto(viewer.url + path)
                page.wait_for_selector("#panel > *")
                page.screenshot(path=folder / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    os.environ["NO_PROXY"] = "127.0.0.1"
    with tempfile.TemporaryDirectory() as name:
        with upstream() as url:
            make_log(Path(name) / "log", url)
        take(Path(name) / "log", _ROOT / "docs")
