"""The connection to the database that the machines of a log share."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import Connection, IsolationLevel
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from otel_convlog.shared.away import AwayError
from otel_convlog.shared.schema import migrate
from otel_convlog.shared_log import without_password

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from psycopg import Cursor
    from typing_extensions import LiteralString

_CONNECT_S = 5
# Without these a server that has gone without a word (a cable, a firewall) is waited for for two hours.
_ALIVE = "keepalives_idle=5 keepalives_interval=2 keepalives_count=3 tcp_user_timeout=10000"


class Database:
    """The database of one log. For one thread at a time; not to be taken over a fork.

    Args:
        url: Its URL; the rest of the settings may stand in libpq's variables.

    Attributes:
        round_trips: How often this has waited for the server, but for connecting.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.round_trips = 0
        self._connection: Connection | None = None

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Give the connection for one transaction, which ends with the block; an exception undoes it.

        Raises:
            AwayError: The database cannot be used now; nothing of it is done.
            psycopg.Error: It has refused what it was given, and would again.
        """
        try:
            connection = self._connected()
            with connection.transaction():
                yield connection
        except (psycopg.DataError, psycopg.IntegrityError, psycopg.errors.ProgramLimitExceeded):
            raise
        except psycopg.Error as error:
            self.close()
            raise AwayError(f"{without_password(self.url)} cannot be used: {_reason(error)}") from error

    def close(self) -> None:
        """Close the connection. The next use opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self) -> Connection:
        if self._connection is None:
            try:
                conninfo = make_conninfo(self.url, **conninfo_to_dict(_ALIVE))
            except psycopg.ProgrammingError:  # which repeats what it cannot read, and that may be the password
                raise AwayError(f"{without_password(self.url)} cannot be used: it cannot be read as a URL") from None
            connection = psycopg.connect(
                conninfo,
                connect_timeout=_CONNECT_S,
                application_name="otel_convlog",
                autocommit=True,
            )
            try:
                _prepare_nothing_for_a_pooler(connection)
                migrate(connection)
                connection.isolation_level = IsolationLevel.READ_COMMITTED
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection


def _prepare_nothing_for_a_pooler(connection: Connection) -> None:
    """Prepare no statements where a pooler gives each transaction another of its connections, which has others."""
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    if row is None or row[0] != connection.info.backend_pid:
        connection.prepare_threshold = None


def rows_into(  # noqa: PLR0913  as a statement has them
    cursor: Cursor[Any],
    table: LiteralString,
    columns: Mapping[LiteralString, LiteralString],
    rows: Sequence[Sequence[object]],
    *,
    also: Mapping[LiteralString, LiteralString] | None = None,
    rest: LiteralString = "",
) -> None:
    """Insert rows with one statement, however many there are.

    Args:
        cursor: Of the connection.
        table: The table's name; the statement calls it ``t``.
        columns: The names of the columns, and their types.
        rows: The rows; none at all are inserted nowhere.
        also: What stands in further columns of all rows, as SQL.
        rest: What follows in the statement.
    """
    if not rows:
        return
    more = also or {}
    names = ", ".join([*columns, *more])
    values = ", ".join(f"%s::{kind}[]" for kind in columns.values())
    selected = ", ".join(["given.*", *more.values()])
    cursor.execute(
        f"INSERT INTO {table} AS t ({names}) SELECT {selected} FROM unnest({values}) AS given {rest}",  # noqa: S608  our own names
        [list(column) for column in zip(*rows, strict=True)],
    )


def text(value: str) -> str:
    """Return text that PostgreSQL takes: no NUL, no lone surrogates."""
    value = value.replace("\0", "\N{REPLACEMENT CHARACTER}")
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def texts(values: Iterable[str]) -> list[str]:
    """Return texts that PostgreSQL takes."""
    return [text(value) for value in values]


def _reason(error: psycopg.Error) -> str:
    return " ".join(str(error).split()) or type(error).__name__
