"""What the relays share."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

UPSTREAM = os.environ.get("UPSTREAM", "")
PATHS = ("/v1/chat/completions", "/v1/responses", "/v1/messages")

_PASSED = {"authorization", "x-api-key", "content-type", "accept", "user-agent", "anthropic-version"}


def headers_upstream(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers if name.lower() in _PASSED}
