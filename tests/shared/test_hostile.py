"""What clients, other programs and whoever writes to the database can do: to themselves alone."""

from __future__ import annotations

import json
import os
from contextlib import closing
from typing import TYPE_CHECKING

import psycopg
import pytest
from shared_place import dialogue, turn_span

from otel_convlog.shared.database import Database
from otel_convlog.shared_log import without_password

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from shared_place import Machine, Place


def named(conversation_id: str, turns: int = 2) -> list[ReadableSpan]:
    return [
        turn_span(
            {"conversation_id": conversation_id, "messages": [{"role": "user", "content": f"{number} of them"}]},
            {"role": "assistant", "content": "so it is"},
        )
        for number in range(turns)
    ]


@pytest.mark.parametrize("conversation_id", [".hidden", "...", "../../../etc/x", ".json", "a.json", "~", "x" * 200])
def test_any_id_of_a_client_s_is_delivered_and_read(place_in_folder: Place, conversation_id: str) -> None:
    place = place_in_folder
    spans = named(conversation_id)
    machine = place.machine()
    machine.write(*spans)
    assert machine.waiting() == 1
    assert machine.deliver() == 2
    assert machine.waiting() == 0
    place.make_documents()
    assert place.documents() == place.written_by_one_machine(*spans)
    assert place.mirror().refresh() == 1


def alter(machine: Machine, field: str, value: str) -> None:
    """Change a field of the one turn in the spool, and let it be the first to be delivered."""
    (path,) = machine.settings.directory.glob("????-??-??/*.json")
    text = path.read_text()
    before = json.dumps({field: json.loads(text)["turns"][0][field]})[1:-1]
    path.write_text(text.replace(before, json.dumps({field: value})[1:-1]))
    os.utime(path, (1, 1))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("started_at", value) for value in ("", "..", "../../../evil", "a//b", "\0", "\ud800", "2026-11-2")),
        ("turn_id", "x" * 300),
        ("turn_id", "x" * 20_000),
        ("turn_id", "\ud800"),
    ],
)
def test_a_crafted_file_in_the_spool_holds_up_no_other(place_in_folder: Place, field: str, value: str) -> None:
    place = place_in_folder
    machine = place.machine()
    machine.write(*dialogue("one", 1))
    alter(machine, field, value)
    machine.write(*dialogue("two", 2))
    for _ in range(3):
        machine.deliver()
    assert machine.waiting() == 0
    place.make_documents()
    assert [len(json.loads(content)["turns"]) for content in place.documents().values()].count(2) == 1
    inside = {"spool", "store", "one-machine", "cache"}
    assert {path.name for path in place.folder.iterdir() if path.is_dir()} <= inside
    assert not list(place.folder.parent.glob("evil*"))


def test_a_file_with_the_name_of_a_day_holds_up_nothing(place_in_folder: Place) -> None:
    machine = place_in_folder.machine()
    machine.write(*dialogue("one", 1))
    (machine.settings.directory / "2020-01-01").write_text("no folder")
    assert machine.waiting() == 1
    assert machine.deliver() == 1
    assert machine.waiting() == 0


@pytest.mark.parametrize("name", ["../../../etc/passwd", "", ".turns", "a//b", "2026-11-27/x.json"])
def test_an_object_s_name_that_is_none_costs_its_turn_alone(place_in_folder: Place, name: str) -> None:
    place = place_in_folder
    machine = place.machine()
    machine.write(*dialogue("one", 2), *dialogue("two", 2))
    machine.deliver()
    place.rows(f"UPDATE convlog_turns SET object = '{name}' WHERE number = 1 RETURNING 1")  # noqa: S608
    place.make_documents()
    assert sorted(len(json.loads(content)["turns"]) for content in place.documents().values()) == [1, 2]
    assert place.mirror().refresh() == 2


def test_a_conversation_whose_turns_have_gone_goes(place_in_folder: Place) -> None:
    place = place_in_folder
    machine = place.machine()
    machine.write(*dialogue("one", 2), *dialogue("two", 2))
    machine.deliver()
    place.make_documents()
    (gone, _), _ = place.rows("SELECT file, conversation_id FROM convlog_files ORDER BY created_at")
    for statement in (
        "DELETE FROM convlog_turns WHERE file = %s",
        "UPDATE convlog_files SET disordered = TRUE, pending = TRUE WHERE file = %s",
    ):
        with psycopg.connect(place.database, autocommit=True) as connection:
            connection.execute(statement, (gone,))
    place.make_documents()
    assert place.rows("SELECT count(*) FROM convlog_files") == [(1,)]
    assert len(place.documents()) == 1
    assert not (place.folder / "store" / str(gone)).exists()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:SECRET@host/db",
        "postgresql://me:SECRET%@host/db",
        "postgresql://me:SEC/RET@host/db?a=b",
        "postgresql://me:a@SECRET#?@host/db",
        "postgresql://host/db?sslpassword=SECRET&user=me",
        "postgresql://host/db?PASSWORD=SECRET",
        "postgresql://me:SECRET@[::1/db",
        "s3://user:SECRET@bucket/folder",
    ],
)
def test_no_password_is_shown(url: str) -> None:
    shown = without_password(url)
    assert "SEC" not in shown
    assert "RET" not in shown
    assert shown.startswith(url.partition("://")[0])
    if url.startswith("postgresql://"):
        with (
            closing(Database(url)) as database,
            pytest.raises(OSError, match="cannot be used") as refused,
            database.transaction(),
        ):
            pass
        assert "SEC" not in str(refused.value)
        assert "RET" not in str(refused.value)
