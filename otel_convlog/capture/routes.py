"""Which requests are turns: the paths of the model APIs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Route:
    """A model API.

    Attributes:
        name: What the log calls it.
        backend: Who offers it, as ``gen_ai.provider.name`` has it.
        unnamed_event: What the log calls a streamed event that names no type.
    """

    name: str
    backend: str
    unnamed_event: str


_ROUTES = {
    "chat": Route("chat", "openai", "openai_chunk"),
    "responses": Route("responses", "openai", "openai_event"),
    "messages": Route("messages", "anthropic", "anthropic_event"),
    "gemini": Route("gemini", "gcp.gemini", "gemini_chunk"),
}

# With any prefix, as gateways have them: /openai/v1/chat/completions, /deployments/x/chat/completions.
_PATHS = (
    (re.compile(r".*/chat/completions/?"), "chat"),
    # Without /v1 elsewhere it may be anything's; so OpenAI's on Azure, and Codex's.
    (re.compile(r"(.*/(v1|openai|codex))?/responses/?"), "responses"),
    (re.compile(r".*/v1/messages/?"), "messages"),
    # The model stands in the path, but for Code Assist, which Gemini's command line asks: /v1internal:generateContent.
    (
        re.compile(r".*?(/(models|tunedModels|endpoints)/(?P<model>[^/]+))?:(?P<method>(g|streamG)enerateContent)"),
        "gemini",
    ),
)


@dataclass(frozen=True)
class Matched:
    """A path that is a turn's; Gemini's names the model, and says whether the answer streams."""

    route: Route
    model: str = ""
    streams: bool = False


class Routes:
    """Recognises the requests that are turns by their path.

    Args:
        paths: More of them: a path, or its end, and the name of its route (``chat``, ``responses``, ``messages``,
            ``gemini``, or any other).
    """

    def __init__(self, paths: Mapping[str, str] | None = None) -> None:
        self._paths = {
            path.rstrip("/"): _ROUTES.get(name, Route(name, "", f"{name}_event"))
            for path, name in (paths or {}).items()
        }

    def match(self, path: str) -> Matched | None:
        """Return what a path stands for; None where it is no model API's."""
        trimmed = path.rstrip("/")
        for end, route in self._paths.items():
            if trimmed.endswith(end):
                return Matched(route)
        for pattern, name in _PATHS:
            if found := pattern.fullmatch(path):
                named = found.groupdict()
                return Matched(_ROUTES[name], named.get("model") or "", named.get("method") == "streamGenerateContent")
        return None
