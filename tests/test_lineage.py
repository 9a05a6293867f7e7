"""Dialogues of simulated clients: each becomes one conversation, and no two of them share one."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conversation_log import read_document
from simulated_clients import CLIENTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from simulated_clients import Turn

_DIALOGUES = 20
_REPLAY = Path(__file__).with_name("replay.py")


def interleaved(dialogues: list[Iterator[Turn]], seed: int) -> list[Turn]:
    """Mix dialogues, each in its own order."""
    source = random.Random(seed)
    going, turns = list(dialogues), []
    while going:
        dialogue = source.choice(going)
        turn = next(dialogue, None)
        if turn is None:
            going.remove(dialogue)
        else:
            turns.append(turn)
    return turns


def replay(directory: Path, turns: Iterable[Turn | list[Turn]], grouping: str = "lineage") -> None:
    """Record turns in a process of their own."""
    lines = "".join(json.dumps(turn) + "\n" for turn in turns)
    command = [sys.executable, "-W", "error", str(_REPLAY), str(directory), grouping]
    done = subprocess.run(command, input=lines, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


def stored_turns(directory: Path) -> list[dict[str, Any]]:
    return [turn for path in directory.glob("*/*.json") for turn in read_document(path)["turns"]]


def dialogues_of(directory: Path) -> dict[str, set[int]]:
    """Return the dialogues that are in each conversation."""
    found = defaultdict(set)
    for turn in stored_turns(directory):
        found[turn["conversation_id"]].add(turn["metadata"]["dialogue"])
    return found


@pytest.mark.parametrize("grouping", ["lineage", "dialogue"])
@pytest.mark.parametrize("client", CLIENTS)
def test_every_dialogue_is_one_conversation(client: str, grouping: str, tmp_path: Path) -> None:
    turns = interleaved([CLIENTS[client](number) for number in range(_DIALOGUES)], seed=len(client))
    third = len(turns) // 3 + 1
    for start in range(0, len(turns), third):
        replay(tmp_path, turns[start : start + third], grouping)
    conversations = dialogues_of(tmp_path)
    assert sorted(map(sorted, conversations.values())) == [[number] for number in range(_DIALOGUES)]
    assert len(stored_turns(tmp_path)) == len(turns)


@pytest.mark.parametrize("client", ["plain_growth", "streamed", "tool_loop_with_random_ids", "gemini"])
def test_the_order_in_which_turns_arrive_does_not_matter(client: str, tmp_path: Path) -> None:
    turns = interleaved([CLIENTS[client](number) for number in range(_DIALOGUES)], seed=1)
    source = random.Random(client)
    replay(tmp_path, [[{**turn, "ends": source.random()} for turn in turns]])
    assert sorted(map(sorted, dialogues_of(tmp_path).values())) == [[number] for number in range(_DIALOGUES)]
    assert len(stored_turns(tmp_path)) == len(turns)


@pytest.mark.parametrize("client", ["plain_growth", "tool_loop_with_counted_ids", "sub_agents"])
def test_processes_at_once_know_of_each_other(client: str, tmp_path: Path) -> None:
    turns = interleaved([CLIENTS[client](number) for number in range(_DIALOGUES)], seed=2)
    with ThreadPoolExecutor(3) as processes:
        list(processes.map(lambda first: replay(tmp_path, turns[first::3]), range(3)))
    assert sorted(map(sorted, dialogues_of(tmp_path).values())) == [[number] for number in range(_DIALOGUES)]
    assert len(stored_turns(tmp_path)) == len(turns)
