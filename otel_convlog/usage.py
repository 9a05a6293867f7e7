"""Token counts, in whichever words a provider reports them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# The first name that is there counts. OpenAI responses and Anthropic, OpenAI chat, Gemini:
# https://platform.openai.com/docs/api-reference, https://docs.anthropic.com/en/api/messages,
# https://ai.google.dev/api/generate-content#UsageMetadata
_INPUT = ("input_tokens", "prompt_tokens", "promptTokenCount")
_OUTPUT = ("output_tokens", "completion_tokens", "candidatesTokenCount")

# The same providers' words: an object in the usage (or the usage itself), and the name in it.
_COMMON = {
    "input_tokens": tuple(("", name) for name in (*_INPUT, "input")),  # the last are Langfuse's
    "output_tokens": tuple(("", name) for name in (*_OUTPUT, "output")),
    "total_tokens": (("", "total_tokens"), ("", "totalTokenCount"), ("", "total")),
    "cache_read_input_tokens": (
        ("", "cache_read_input_tokens"),
        ("prompt_tokens_details", "cached_tokens"),
        ("input_tokens_details", "cached_tokens"),
        ("", "cachedContentTokenCount"),
    ),
    "cache_creation_input_tokens": (("", "cache_creation_input_tokens"),),
    "reasoning_output_tokens": (
        ("completion_tokens_details", "reasoning_tokens"),
        ("output_tokens_details", "reasoning_tokens"),
        ("", "thoughtsTokenCount"),
    ),
}

_LARGEST = 2**63 - 1  # what an attribute, and a column of the catalog, can hold


def token_counts(usage: object) -> tuple[int | None, int | None]:
    """Return the tokens that went in and that came out; None for what the usage does not say."""
    return _count(usage, _INPUT), _count(usage, _OUTPUT)


def by_common_names(usage: Mapping[str, object]) -> dict[str, int]:
    """Return what a usage says, by the names of docs/sources.md.

    Args:
        usage: In a provider's words.
    """
    found: dict[str, int] = {}
    for name, paths in _COMMON.items():
        for outer, inner in paths:
            holder = usage.get(outer) if outer else usage
            count = _count(holder, (inner,))
            if count is not None:
                found.setdefault(name, count)
    return found


def _count(usage: object, names: tuple[str, ...]) -> int | None:
    if isinstance(usage, dict):
        for name in names:
            count = usage.get(name)
            if isinstance(count, int) and abs(count) <= _LARGEST:
                return int(count)
    return None
