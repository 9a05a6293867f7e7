"""The tables of a shared log, and how they came about: each step is done once, by whoever comes first."""

from __future__ import annotations

from time import sleep
from typing import TYPE_CHECKING

from psycopg import IntegrityError, ProgrammingError

from otel_convlog.shared.away import AwayError

if TYPE_CHECKING:
    from psycopg import Connection

_STEPS = (
    """
    CREATE SEQUENCE convlog_numbers;
    CREATE SEQUENCE convlog_versions;
    CREATE TABLE convlog_turns (
        number BIGINT PRIMARY KEY,          -- the order in which they came
        turn_id TEXT NOT NULL UNIQUE,
        file TEXT NOT NULL,                 -- the document that it belongs into, as in a directory
        object TEXT NOT NULL,               -- its content, as its machine has written it
        size BIGINT NOT NULL,               -- of that, in bytes
        in_document BOOLEAN NOT NULL,       -- whether the document has it
        kept_at TIMESTAMPTZ NOT NULL DEFAULT now(),
        -- which conversation it belongs to: this counts, whatever its object says
        conversation_id TEXT NOT NULL,
        evidence TEXT NOT NULL,
        continues TEXT,
        thread TEXT,
        scope TEXT NOT NULL,
        -- by what later turns recognise it
        system BYTEA NOT NULL,
        opening BYTEA NOT NULL,
        chain BYTEA NOT NULL,
        answered BOOLEAN NOT NULL,
        failed BOOLEAN NOT NULL,
        continued BOOLEAN NOT NULL,
        keys BYTEA,                         -- of its evidence, 16 bytes each, none any more once it is too old
        slots BYTEA NOT NULL,               -- what is locked where its dialogue changes, 4 bytes each
        -- what it was, as a directory's catalog has it
        started_at TEXT NOT NULL,
        updated_at TEXT NOT NULL,
        route TEXT NOT NULL,
        client_model TEXT NOT NULL,
        upstream_model TEXT NOT NULL,
        backend TEXT NOT NULL,
        stream BOOLEAN NOT NULL,
        duration_ms DOUBLE PRECISION NOT NULL,
        input_tokens BIGINT,
        output_tokens BIGINT,
        error BOOLEAN NOT NULL,
        complete BOOLEAN NOT NULL,
        first_token_ms DOUBLE PRECISION
    );
    CREATE INDEX convlog_turns_by_file ON convlog_turns (file);
    CREATE TABLE convlog_evidence (
        key BYTEA NOT NULL,
        number BIGINT NOT NULL,             -- of the turn
        kind SMALLINT NOT NULL,
        PRIMARY KEY (key, number, kind)
    );
    CREATE TABLE convlog_openings (
        seed TEXT PRIMARY KEY,
        count BIGINT NOT NULL,
        last_at TIMESTAMPTZ NOT NULL
    );
    CREATE TABLE convlog_slots (            -- locked, so that turns of one dialogue come one after another
        slot INTEGER PRIMARY KEY
    );
    CREATE TABLE convlog_files (            -- the documents: one for each conversation and day
        file TEXT PRIMARY KEY,
        conversation_id TEXT NOT NULL,
        route TEXT NOT NULL,
        created_at TEXT NOT NULL,
        updated_at TEXT NOT NULL,
        turn_count BIGINT NOT NULL,
        size_bytes BIGINT NOT NULL,         -- of its turns
        first_user_text TEXT NOT NULL,
        last_reply TEXT NOT NULL,
        last_client_model TEXT NOT NULL,
        last_backend TEXT NOT NULL,
        last_started TEXT NOT NULL,         -- when the last of its turns began
        version BIGINT NOT NULL,            -- another one whenever anything of it has changed
        touched TIMESTAMPTZ NOT NULL,       -- when a turn has come last
        pending BOOLEAN NOT NULL,           -- whether the document lacks turns
        rebuild BOOLEAN NOT NULL,           -- whether it has to be made of all of them
        disordered BOOLEAN NOT NULL,        -- whether a turn has come after one that it was before
        document TEXT,                      -- its version in the store; none where there is none yet
        leased_until TIMESTAMPTZ,           -- somebody is making it
        lease TEXT
    );
    CREATE INDEX convlog_files_by_conversation ON convlog_files (conversation_id);
    CREATE INDEX convlog_files_by_time ON convlog_files (updated_at);
    CREATE INDEX convlog_files_pending ON convlog_files (touched) WHERE pending;
    CREATE INDEX convlog_files_by_version ON convlog_files (version);
    CREATE TABLE convlog_notes (
        name TEXT PRIMARY KEY,
        value TEXT NOT NULL
    )
    """,
    """
    -- what is compared of a turn whose object does not tell it; none any more once that is too old
    ALTER TABLE convlog_turns ADD COLUMN seal TEXT;
    -- whether it shows an earlier turn, and none was known
    ALTER TABLE convlog_turns ADD COLUMN unmatched BOOLEAN NOT NULL DEFAULT FALSE;
    CREATE INDEX convlog_turns_unmatched ON convlog_turns (started_at) WHERE unmatched
    """,
    """
    CREATE TABLE convlog_removals (         -- what is to be removed from the store
        name TEXT PRIMARY KEY,
        noted_at TIMESTAMPTZ NOT NULL DEFAULT now(),
        removed_at TIMESTAMPTZ              -- none while it is to be
    );
    CREATE INDEX convlog_removals_due ON convlog_removals (name) WHERE removed_at IS NULL
    """,
)
VERSION = len(_STEPS)

_MOST_TRIES = 20
_PAUSE_S = 0.05


def migrate(connection: Connection) -> None:
    """Bring the tables to this release's version.

    Raises:
        AwayError: They are of a newer release.
    """
    if schema_version(connection) == VERSION:
        return  # who may only use them need not be allowed to make them
    for last in (False,) * _MOST_TRIES + (True,):
        try:
            with connection.transaction():
                connection.execute(
                    "CREATE TABLE IF NOT EXISTS convlog_schema"
                    " (version INTEGER PRIMARY KEY, made_at TIMESTAMPTZ NOT NULL)"
                )
            break
        except (IntegrityError, ProgrammingError):  # IF NOT EXISTS does not keep two apart that make it at once
            if last:
                raise
            sleep(_PAUSE_S)
    for version, step in enumerate(_STEPS, 1):
        with connection.transaction():
            # Who comes second waits here for the first, and then has nothing to insert.
            inserted = connection.execute(
                "INSERT INTO convlog_schema VALUES (%s, now()) ON CONFLICT (version) DO NOTHING", (version,)
            )
            if inserted.rowcount:
                connection.execute(step)
    found = schema_version(connection) or 0
    if found > VERSION:
        raise AwayError(f"the database is of version {found}, and this release knows {VERSION}")


def schema_version(connection: Connection) -> int | None:
    """Return the version of the tables; None where there are none."""
    with connection.transaction():
        there = connection.execute("SELECT to_regclass('convlog_schema')").fetchone()
        if there is None or there[0] is None:
            return None
        row = connection.execute("SELECT max(version) FROM convlog_schema").fetchone()
        return row[0] if row else None
