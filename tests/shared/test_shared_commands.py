from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import obstore
import pytest
from command_process import serving
from obstore.store import from_url
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from shared_place import Place, dialogue, interleaved

from otel_convlog.shared.away import ChangedError
from otel_convlog.viewer.guard import MARKER_HEADER

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from servers import Postgres


def run(place: Place, *arguments: str, status: int = 0) -> str:
    """Run a command on the shared log, and return what it prints."""
    command = [sys.executable, "-m", "otel_convlog.cli", arguments[0], *place.options, *arguments[1:]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == status, (arguments, done.stdout, done.stderr)
    return done.stdout


def lines(place: Place, *arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run(place, *arguments, "--json").splitlines()]


@pytest.fixture
def spans(place: Place) -> list[ReadableSpan]:
    """Three dialogues, one of them with turns that are not in its document yet."""
    first, second, third = (dialogue(f"dialogue {number}", 3) for number in range(3))
    machine = place.machine()
    machine.write(*first, *second, *third[:1])
    machine.deliver()
    place.make_documents()
    machine.write(*third[1:])
    machine.deliver()
    return interleaved([first, second, third])


def ids(place: Place) -> list[str]:
    return [str(row[0]) for row in place.rows("SELECT conversation_id FROM convlog_files ORDER BY created_at")]


def test_what_is_not_in_a_document_yet_is_read_with_it(place: Place, spans: list[ReadableSpan]) -> None:
    expected = place.written_by_one_machine(*spans)
    mirror = place.mirror()
    assert mirror.refresh() == 3
    assert {name: (mirror.directory / name).read_bytes() for name in expected} == expected
    assert mirror.refresh() == 0
    for path in mirror.directory.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_commands_read_it(place: Place, spans: list[ReadableSpan]) -> None:
    third = ids(place)[2]
    assert {found["turn_count"] for found in lines(place, "list")} == {3}
    assert "Answer 2 to dialogue 2" in run(place, "show", third[:12])
    assert "Answer 2 to dialogue 1" in run(place, "search", "dialogue 1")
    assert lines(place, "stats")[0]["turns"] == len(spans)
    assert "Question 2 of dialogue 2" in run(place, "diff", third, "1", "3")
    assert run(place, "tail", "-n", "2").count("\n") == 2
    assert run(place, "export", third, "--format", "jsonl").count("\n") == 3
    assert "whole" in run(place, "verify")
    run(place, "show", "nobody", status=2)


def test_a_command_about_one_conversation_fetches_that_one(place: Place, spans: list[ReadableSpan]) -> None:
    run(place, "show", ids(place)[0])
    assert len(list((place.folder / "cache").rglob("????-??-??/*.json"))) == 1
    assert spans


def test_documents_are_made_when_they_are_asked_for(place: Place, spans: list[ReadableSpan]) -> None:
    assert place.documents() != place.written_by_one_machine(*spans)
    assert lines(place, "publish", ids(place)[2]) == [{"documents": 1}]
    assert place.documents() == place.written_by_one_machine()
    assert lines(place, "publish") == [{"documents": 0}]


def test_what_is_forgotten_is_in_no_document_no_object_and_no_table(place: Place, spans: list[ReadableSpan]) -> None:
    first, second, third = ids(place)
    run(place, "forget", second, "--yes")
    assert ids(place) == [first, third]
    _forgotten(place, "dialogue 1")
    (turn,) = [found["turn_id"] for found in lines(place, "show", first)][:1]
    run(place, "forget", "--turn", turn, "--yes")
    assert place.rows("SELECT sum(turn_count) FROM convlog_files") == [(5,)]
    run(place, "publish")
    assert turn not in str(place.documents())
    assert turn not in str(place.rows("SELECT * FROM convlog_turns"))
    assert spans


def _forgotten(place: Place, words: str) -> None:
    assert words not in str(place.rows("SELECT * FROM convlog_files"))
    assert words not in str(place.rows("SELECT * FROM convlog_turns"))
    assert words not in str(place.documents())
    assert place.rows(
        "SELECT count(*) FROM convlog_turns t WHERE NOT EXISTS (SELECT 1 FROM convlog_files f WHERE f.file = t.file)"
    ) == [(0,)]
    assert place.rows(
        "SELECT count(*) FROM convlog_evidence e WHERE NOT EXISTS"
        " (SELECT 1 FROM convlog_turns t WHERE t.number = e.number)"
    ) == [(0,)]
    names = [str(row[0]) for row in place.rows("SELECT object FROM convlog_turns")]
    store = from_url(place.store, client_options={"allow_http": True})
    there = {meta["path"] for batch in obstore.list(store, ".turns") for meta in batch}
    assert there == set(names)


def test_turns_without_words_are_still_continued_when_they_have_been_moved(place: Place) -> None:
    machine = place.machine(content="metadata")
    machine.deliver()
    one, other = dialogue("one", 3), dialogue("other", 1)
    machine.write(*other, *one[:2])
    machine.deliver()
    place.make_documents()
    of_one, of_other = ids(place)
    run(place, "merge", of_other, of_one)
    machine.write(one[2])
    machine.deliver()
    assert place.rows("SELECT turn_count FROM convlog_files") == [(4,)]


def test_conversations_are_merged_and_split(place: Place, spans: list[ReadableSpan]) -> None:
    first, second, third = ids(place)
    run(place, "merge", first, second)
    assert ids(place) == [first, third]
    assert place.rows("SELECT turn_count, pending FROM convlog_files ORDER BY created_at")[0] == (6, False)
    assert "whole" in run(place, "verify")
    run(place, "split", first, "4", "5", "6", "--into", "apart")
    assert set(ids(place)) == {first, "apart", third}
    assert "whole" in run(place, "verify")
    documents = place.documents()
    assert sorted(json.loads(document)["turn_count"] for document in documents.values()) == [1, 3, 3]
    # What comes later finds the turns where they are now.
    machine = place.machine("later")
    machine.write(*dialogue("dialogue 3", 1))
    machine.deliver()
    assert len(ids(place)) == 4
    assert spans


def test_a_dialogue_goes_on_where_its_turns_were_put(place: Place) -> None:
    turns = dialogue("one", 3)
    machine = place.machine()
    machine.write(*turns[:2])
    machine.deliver()
    (before,) = ids(place)
    run(place, "split", before, "1", "2", "--into", "together")
    assert ids(place) == ["together"]
    machine.write(turns[2])
    machine.deliver()
    assert place.rows("SELECT conversation_id, turn_count FROM convlog_files") == [("together", 3)]
    assert [found["otel"]["continues"] is None for found in lines(place, "export", "together")] == [True, False, False]


def test_secrets_that_were_written_are_scrubbed_from_objects_too(place: Place, tmp_path: Path) -> None:
    machine = place.machine()
    machine.write(*dialogue("project nightfall", 2))
    machine.deliver()
    patterns = tmp_path / "patterns"
    patterns.write_text("nightfall\n")
    run(place, "scrub", "--patterns", str(patterns))
    assert "nightfall" not in str(place.documents())
    assert "nightfall" not in str(place.rows("SELECT * FROM convlog_files"))


def test_what_a_command_writes_to_a_directory_is_its_owner_s_alone(place_in_folder: Place) -> None:
    machine = place_in_folder.machine()
    machine.write(*dialogue("one", 2))
    machine.deliver()
    before = os.umask(0o022)
    try:
        run(place_in_folder, "publish")
    finally:
        os.umask(before)
    (document,) = (place_in_folder.folder / "store").glob("????-??-??/*.json")
    assert stat.S_IMODE(document.stat().st_mode) == 0o600


def test_old_conversations_are_pruned(place: Place, spans: list[ReadableSpan]) -> None:
    run(place, "prune", "--max-bytes", "1")
    assert len(ids(place)) == 1  # the one that was written last stays
    assert len(place.documents()) == 1
    machine = place.machine("later", max_bytes=1)
    machine.write(*dialogue("what comes later", 1))
    machine.run_until(lambda: len(ids(place)) == 1 and machine.deliverer.health.documents_made)
    assert "what comes later" in str(place.documents())
    run(place, "prune", "--max-age-days", "1")
    assert len(ids(place)) == 1
    assert spans


def test_what_has_been_changed_by_others_meanwhile_is_not_overwritten(place: Place, spans: list[ReadableSpan]) -> None:
    mirror = place.mirror()
    mirror.refresh()
    (name, *_) = sorted(place.documents())
    (mirror.directory / name).unlink()
    place.rows("UPDATE convlog_files SET version = nextval('convlog_versions') RETURNING version")
    with pytest.raises(ChangedError, match="try again"):
        mirror.give_back()
    assert len(ids(place)) == 3
    assert mirror.refresh() == 3
    assert (mirror.directory / name).exists()
    assert spans


def test_a_log_is_copied_from_anywhere_to_anywhere(
    place: Place, spans: list[ReadableSpan], tmp_path: Path, database_server: Postgres
) -> None:
    def copy(source: str, target: str, *options: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "otel_convlog.cli", "copy", source, target, "--json", *options]
        copied: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        return copied

    expected = place.written_by_one_machine(*spans)
    there = ("--from-catalog", place.database)
    copied = copy(place.store, str(tmp_path / "here"), *there)
    assert copied == {"files": 3, "present": 0, "turns": 9, "refused": []}
    found = {name: (tmp_path / "here" / name).read_bytes() for name in expected}
    assert found == expected
    assert copy(place.store, str(tmp_path / "here"), *there) == {"files": 3, "present": 3, "turns": 0, "refused": []}
    # Half of it is there already, as where it was stopped.
    victim = min((tmp_path / "here").glob("*/*.json"))
    victim.unlink()
    assert copy(place.store, str(tmp_path / "here"), *there)["present"] == 2
    other = Place(place.store + "-other", database_server.database(f"other-{place.store[-12:]}"), tmp_path)
    try:
        assert copy(str(tmp_path / "here"), other.store, "--to-catalog", other.database)["turns"] == 9
        assert other.documents() == expected
        assert copy(place.store, other.store, *there, "--to-catalog", other.database)["present"] == 3
        machine = other.machine()
        machine.write(dialogue("dialogue 0", 3)[2])
        machine.deliver()
        assert len(ids(other)) == 3  # what was copied is recognised
    finally:
        other.close()


def test_the_collector_delivers_to_it(place: Place) -> None:
    options = ["--catalog", place.database]
    environment = {
        **os.environ,
        "OTEL_EXPORTER_CONVLOG_SPOOL": str(place.folder / "spool"),
        "OTEL_EXPORTER_CONVLOG_QUIET_MS": "100",
    }
    spans = dialogue("one", 3)
    with serving("collect", place.store, *options, environment=environment) as (address, _):
        OTLPSpanExporter(endpoint=f"{address}/v1/traces").export(spans)
    assert place.rows("SELECT sum(turn_count) FROM convlog_files") == [(3,)]
    place.make_documents()
    assert len(place.documents()) == 1


def test_the_page_shows_what_comes_and_forgets_where_it_counts(place: Place, spans: list[ReadableSpan]) -> None:
    third = ids(place)[2]
    with serving("view", place.store, "--catalog", place.database, "--no-open") as (address, _):
        token = re.search(r"token=([\w-]+)", address)
        assert token is not None
        base = address.partition("/?")[0]
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())

        def get(path: str, data: bytes | None = None) -> str:
            request = urllib.request.Request(base + path, data, {"Origin": base, MARKER_HEADER: "1"})
            with opener.open(request, timeout=30) as response:
                text: str = response.read().decode()
                return text

        get(f"/?token={token[1]}")
        assert "Answer 2 to dialogue 2" in get(f"/conversation/{third}")
        machine = place.machine("later")
        machine.write(*dialogue("what comes later", 1))
        machine.deliver()
        deadline = time.monotonic() + 30
        while "what comes later" not in get("/"):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        get(f"/conversation/{third}/forget", b"sure=on")
        _forgotten(place, "dialogue 2")
    assert spans


def test_what_a_cleaner_of_caches_removes_is_removed_from_nothing_else(place: Place, spans: list[ReadableSpan]) -> None:
    first, second, third = ids(place)
    run(place, "list")
    cached = {path.stem: path for path in (place.folder / "cache").rglob("????-??-??/*.json")}
    cached[first].unlink()
    cached[second].write_bytes(b"what a bad disk has left")
    run(place, "forget", third, "--yes")
    assert ids(place) == [first, second]
    assert sorted(found["turn_count"] for found in lines(place, "list")) == [3, 3]
    assert b"bad disk" not in b"".join(place.documents().values())
    assert spans


def test_a_document_with_a_hostile_name_is_written_nowhere(place: Place, spans: list[ReadableSpan]) -> None:
    place.rows("UPDATE convlog_files SET file = '../../../' || file RETURNING 1")
    mirror = place.mirror()
    assert mirror.refresh() == 0
    assert not list(mirror.directory.parent.parent.glob("2*"))
    assert spans


_WRITE_LARGE = """
import sys
from pathlib import Path
from shared_place import Place, turn_span
store, database, folder = sys.argv[1:]
machine = Place(store, database, Path(folder)).machine()
words = "all work and no play " * 50_000
for number in range(150):
    request = {"conversation_id": "large", "messages": [{"role": "user", "content": f"{number} {words}"}]}
    machine.write(turn_span(request, None))
    machine.deliver()
machine.deliverer.close()
"""
_MEASURED = """
import re
import stat
from pathlib import Path
from otel_convlog.cli import main
try:
    main()
finally:
    print(" ", re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1], end="")
"""


def _python(code: str, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, Path(__file__).parents[:2]))}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment).stdout


@pytest.mark.crash
def test_a_large_document_is_made_read_and_copied_with_little_memory(place: Place, tmp_path: Path) -> None:
    # All in processes of their own: what pytest itself holds is not to count, nor to stay.
    _python(_WRITE_LARGE, place.store, place.database, str(tmp_path))
    for arguments in (
        ["publish", *place.options],
        ["show", *place.options, "large", "--turn", "3"],
        ["copy", place.store, str(tmp_path / "here"), "--from-catalog", place.database],
    ):
        most_kb = int(_python(_MEASURED, *arguments).rpartition(" ")[2])
        assert most_kb < 250_000, (arguments[0], most_kb)
    (document,) = (tmp_path / "here").glob("*/*.json")
    assert document.stat().st_size > 150e6
