"""What was said is found from the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cli_helpers import answered, asked, objects, run, write
from store_helpers import make_turn

from otel_convlog.privacy import Target, verify
from otel_convlog.reading.search import bring_texts_up_to_date
from otel_convlog.store import ConversationStore, render

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    write(
        tmp_path,
        make_turn(1, asked("The quick brown fox"), client_response=answered("jumps over\nthe lazy dog")),
        make_turn(
            2, asked("The quick brown fox", "jumps over\nthe lazy dog", "Résumé, 请把天气告诉我"), conversation_id="c"
        ),
        make_turn(3, asked("another fox"), conversation_id="d", client_response=answered("100% of “it”")),
    )
    return tmp_path


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (("fox",), [("d", "user"), ("c", "user")]),
        (("quick fox",), [("c", "user")]),
        (('"brown fox"',), [("c", "user")]),
        (('"fox brown"',), []),
        (("QUI*",), [("c", "user")]),
        (("qui",), []),
        (("resume",), [("c", "user")]),
        (("天气",), [("c", "user")]),
        (("气天",), []),
        (("lazy",), [("c", "assistant")]),
        (("lazy", "--role", "user"), []),
        (("fox", "--limit", "1"), [("d", "user")]),
        (("it's AND NOT (fox)",), []),
        (("--regex", r"f.x\b"), [("d", "user"), ("c", "user")]),
        (("--regex", "QUICK", "-i"), [("c", "user")]),
        (("--regex", r"over\nthe"), [("c", "assistant")]),
    ],
)
def test_words_phrases_beginnings_and_patterns_are_found(
    log: Path, wanted: tuple[str, ...], found: list[tuple[str, str]]
) -> None:
    hits = objects(log, "search", *wanted)
    assert [(hit["conversation_id"], hit["role"]) for hit in hits] == found


def test_a_snippet_shows_what_was_found_among_its_words(log: Path) -> None:
    (hit,) = objects(log, "search", "天气")
    assert (hit["snippet"], "".join(hit["found"])) == ("Résumé, 请把天气告诉我", "天气")
    assert run(log, "search", "lazy").stdout.split("\t")[-1] == "jumps over the lazy dog\n"


def test_a_search_that_makes_no_sense_is_a_wrong_use(log: Path) -> None:
    run(log, "search", "--regex", "(", status=2)
    run(log, "search", "…", status=2)


def test_each_search_reads_only_what_is_new(log: Path) -> None:
    assert len(objects(log, "search", "fox")) == 2
    write(
        log, make_turn(4, asked("The quick brown fox", "jumps over\nthe lazy dog", "a later fox"), conversation_id="c")
    )
    behind: list[int] = []
    bring_texts_up_to_date(log, lambda _, total: behind.append(total))
    assert behind == [1]
    assert len(objects(log, "search", "fox")) == 3
    bring_texts_up_to_date(log, lambda _, total: behind.append(total))
    assert behind == [1]


def test_a_turn_that_is_replaced_is_found_by_its_new_words(log: Path) -> None:
    assert objects(log, "search", "another")
    store = ConversationStore(log)
    turn = make_turn(3, asked("something else"), conversation_id="d")
    store.write(store.path_of(turn), [render(turn)])
    run(log, "reindex")
    assert objects(log, "search", "another") == []
    assert objects(log, "search", "something")


def test_what_is_forgotten_is_left_in_no_index(log: Path) -> None:
    assert objects(log, "search", "lazy")
    from otel_convlog.privacy import forget

    assert forget(log, Target(conversation_id="c")).complete
    assert objects(log, "search", "lazy") == []
    assert verify(log, Target(text="the lazy dog")) == []
    assert not any(b"lazy" in path.read_bytes() for path in log.glob("catalog*"))
