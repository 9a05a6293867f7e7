"""Where a log is: what the commands' options say of it, and this machine's copy of one that several share."""

from __future__ import annotations

import os
from contextlib import contextmanager, nullcontext
from datetime import date, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING

import click

from otel_convlog.cli.output import note
from otel_convlog.cli.progress import progress
from otel_convlog.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_convlog.shared.mirror import Mirror

_FOLLOW_S = 1.0
_MOST_NEW = 5_000  # documents that are looked at each time
_DAY = len("YYYY-MM-DD")


class LogPlace(click.ParamType):  # type: ignore[type-arg]  # only click 8.3 and later have one
    """The path of a log's directory, or its URL."""

    name = "directory or URL"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> object:  # noqa: ARG002  click's signature
        """Return a URL as text, anything else as a path."""
        return value if isinstance(value, Path) or "://" in str(value) else Path(str(value))


def resolved(directory: Path | str | None, catalog: str | None, **more: object) -> Settings:
    """Return the settings, with these in the place of what the variables say; a usage error where they are none."""
    try:
        return Settings.resolve(directory=directory, catalog=catalog, **more)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


@contextmanager
def extras(names: str) -> Iterator[None]:
    """Turn a module that is missing into a usage error that says which extras have it."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise click.UsageError(f"{error.name} is missing: pip install 'otel-convlog[{names}]'") from error


def place_options(function: Callable[..., object]) -> Callable[..., object]:
    """Give a command the options that say where a log is."""
    function = click.option(
        "--catalog", metavar="URL", help="The database of a log that several machines share, postgresql://…."
    )(function)
    return click.option(
        "--directory",
        type=LogPlace(),
        help="The log, or its URL. Default: OTEL_EXPORTER_CONVLOG_DIRECTORY, or data/conversations.",
    )(function)


def opened_mirror(settings: Settings) -> Mirror:
    """Return this machine's copy of a log that several share.

    What a store that is a directory gets from now on is its owner's alone, as what the deliverer gives it.
    """
    assert settings.shared is not None  # noqa: S101  who calls this has asked
    os.umask(0o077)
    with extras("cloud,postgres"):
        from otel_convlog.shared.mirror import Mirror  # noqa: PLC0415  of extras

        return Mirror(settings.shared, grouping=settings.grouping)


@contextmanager
def fetched(mirror: Mirror, conversation: object, since: object, *, changes: bool) -> Iterator[None]:
    """Fetch what a command is about, before it is carried out.

    Args:
        mirror: The copy.
        conversation: The conversation that it is about, where it is about one.
        since: From when on it is about conversations, where it is not about all.
        changes: Whether what it has changed is to be brought back at its end.
    """
    with mirror.changing() if changes else nullcontext():
        with progress("fetching conversations") as tell:
            mirror.refresh(
                conversation=conversation if isinstance(conversation, str) else None,
                since=_day_before(since),
                on_progress=tell,
            )
        yield


@contextmanager
def followed(mirror: Mirror) -> Iterator[None]:
    """Fetch within the block what is new, as it comes."""
    end = Event()
    thread = Thread(target=_follow, args=(mirror, end), name="convlog-mirror", daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


def _follow(mirror: Mirror, end: Event) -> None:
    told = False
    while not end.wait(_FOLLOW_S):
        try:
            mirror.refresh(newest=_MOST_NEW)
            told = False
        except OSError as error:
            if not told:
                note(f"What is new cannot be fetched: {error}")
            told = True


def _day_before(time: object) -> str | None:
    """Return a day that is before a time in whatever zone; None where it is none."""
    try:
        return (date.fromisoformat(str(time)[:_DAY]) - timedelta(days=1)).isoformat()
    except (ValueError, OverflowError):
        return None
