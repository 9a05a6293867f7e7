"""Token counts, in whichever words a provider reports them."""

from __future__ import annotations

# The first name that is there counts. OpenAI responses and Anthropic, OpenAI chat, Gemini:
# https://platform.openai.com/docs/api-reference, https://docs.anthropic.com/en/api/messages,
# https://ai.google.dev/api/generate-content#UsageMetadata
_INPUT = ("input_tokens", "prompt_tokens", "promptTokenCount")
_OUTPUT = ("output_tokens", "completion_tokens", "candidatesTokenCount")

_LARGEST = 2**63 - 1  # what an attribute, and a column of the catalog, can hold


def token_counts(usage: object) -> tuple[int | None, int | None]:
    """Return the tokens that went in and that came out; None for what the usage does not say."""
    return _count(usage, _INPUT), _count(usage, _OUTPUT)


def _count(usage: object, names: tuple[str, ...]) -> int | None:
    if isinstance(usage, dict):
        for name in names:
            count = usage.get(name)
            if isinstance(count, int) and abs(count) <= _LARGEST:
                return int(count)
    return None
