"""Dialogues of real users (`real_dialogues`): how many conversations they become, by the GROUPING setting."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import real_dialogues
from store_helpers import make_turn

from otel_convlog.identity.identifier import Identifier
from otel_convlog.store import ConversationStore

if TYPE_CHECKING:
    from pathlib import Path

    from real_dialogues import Dialogue

_DIALOGUES = 2_000


@pytest.fixture(scope="module")
def dialogues(tmp_path_factory: pytest.TempPathFactory) -> list[Dialogue]:
    found = real_dialogues.dialogues(real_dialogues.fetch(tmp_path_factory.mktemp("dataset")))
    return random.Random(1).sample(found, _DIALOGUES)


class Outcome:
    """Which conversations the dialogues have become.

    Args:
        directory: Of the log.
        grouping: The setting.
        dialogues: Recorded turn by turn, in a random order in which each dialogue keeps its own.
    """

    def __init__(self, directory: Path, grouping: str, dialogues: list[Dialogue]) -> None:
        identifier = Identifier(ConversationStore(directory).evidence, grouping=grouping)
        self._conversations_of: defaultdict[int, set[str]] = defaultdict(set)
        self._dialogues_in: defaultdict[str, set[int]] = defaultdict(set)
        for number, (dialogue, messages, answer) in enumerate(interleaved(dialogues), 1):
            request: Any = {"messages": messages}
            response: Any = {"choices": [{"message": answer, "finish_reason": "stop"}]}
            record = replace(make_turn(number, request).record, upstream_response=response)
            conversation = identifier.identify(record).conversation_id
            self._conversations_of[dialogue.number].add(conversation)
            self._dialogues_in[conversation].add(dialogue.number)

    def split(self, dialogues: list[Dialogue]) -> int:
        return sum(len(self._conversations_of[dialogue.number]) > 1 for dialogue in dialogues)

    def merged(self, dialogues: list[Dialogue]) -> int:
        return sum(
            any(len(self._dialogues_in[conversation]) > 1 for conversation in self._conversations_of[dialogue.number])
            for dialogue in dialogues
        )


def interleaved(dialogues: list[Dialogue]) -> list[tuple[Dialogue, list[dict[str, str]], dict[str, str]]]:
    source = random.Random(2)
    order = [dialogue for dialogue in dialogues for _ in dialogue.turns()]
    source.shuffle(order)
    turns = {dialogue.number: dialogue.turns() for dialogue in dialogues}
    return [(dialogue, *next(turns[dialogue.number])) for dialogue in order]


def with_own_opening(dialogues: list[Dialogue]) -> list[Dialogue]:
    count = Counter(dialogue.messages[0]["content"] for dialogue in dialogues)
    return [dialogue for dialogue in dialogues if count[dialogue.messages[0]["content"]] == 1]


def with_own_first_exchange(dialogues: list[Dialogue]) -> list[Dialogue]:
    count = Counter(dialogue.first_exchange for dialogue in dialogues)
    return [dialogue for dialogue in dialogues if count[dialogue.first_exchange] == 1]


def test_lineage_splits_no_dialogue_and_merges_only_those_that_open_alike(
    dialogues: list[Dialogue], tmp_path: Path
) -> None:
    outcome = Outcome(tmp_path, "lineage", dialogues)
    assert outcome.split(dialogues) == 0
    assert outcome.merged(with_own_opening(dialogues)) == 0
    assert outcome.merged(dialogues) == len(dialogues) - len(with_own_opening(dialogues))


def test_dialogue_tells_all_apart_whose_first_exchange_is_their_own(dialogues: list[Dialogue], tmp_path: Path) -> None:
    outcome = Outcome(tmp_path, "dialogue", dialogues)
    own = with_own_first_exchange(dialogues)
    assert len(own) > 0.9 * len(dialogues)
    assert outcome.split(own) == 0
    assert outcome.merged(own) == 0
    assert outcome.split(dialogues) < 0.08 * len(dialogues)
    assert outcome.merged(dialogues) < 0.08 * len(dialogues)


def test_seed_alone_splits_every_dialogue(dialogues: list[Dialogue], tmp_path: Path) -> None:
    assert Outcome(tmp_path, "seed", dialogues).split(dialogues) == len(dialogues)
