"""Settings: a keyword argument, else an environment variable, else the default; validated once, then frozen.

The variables are ``OTEL_EXPORTER_CONVLOG_<OPTION>``, with OpenTelemetry's rules
(https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/): an empty value is unset, only
``true`` (in any case) is true, a value that cannot be read is warned of, by the variable's name, and ignored.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from otel_convlog.content_modes import FULL, METADATA, ContentModes
from otel_convlog.redaction.headers import configured_names, header_name, is_secret_header
from otel_convlog.redaction.patterns import PatternError, UserPatterns, read_patterns
from otel_convlog.request_fields import RequestField
from otel_convlog.shared_log import SharedLog, checked_database_url, checked_store_url, without_password

if TYPE_CHECKING:
    from collections.abc import Callable

PREFIX = "OTEL_EXPORTER_CONVLOG_"

_SOURCES = ("turn", "gen_ai", "openinference")

_logger = logging.getLogger(__name__)

_T = TypeVar("_T")


def _directory(value: object) -> Path:
    if not isinstance(value, (str, os.PathLike)) or "\0" in os.fspath(value):
        raise ValueError("must be the path of a directory")
    try:
        # Absolute at once: a server that changes its working directory later must not start a second log.
        return Path(value).expanduser().absolute()
    except (RuntimeError, OSError) as error:  # no such user; no working directory
        raise ValueError(f"cannot be made an absolute path ({error})") from error


def _place(value: object) -> Path | str:
    """Return a directory's path, or the URL of one in an object store."""
    if isinstance(value, str) and "://" in value:
        return checked_store_url(value.strip())
    return _directory(value)


def _catalog(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be the URL of a database")  # noqa: TRY004  one kind of error for a bad value
    return checked_database_url(value.strip()) if value else ""


def _stream_events(value: object) -> int | None:
    text = str(value).strip().lower()
    if text in {"all", "none"}:
        return None if text == "all" else 0
    if not (text.isascii() and text.isdigit()):
        raise ValueError("must be all, none or a number")
    return int(text)


def _number(value: object) -> int:
    text = str(value).strip()
    if not (text.isascii() and text.isdigit()):
        raise ValueError("must be a number, 0 or more")
    return int(text)


def _number_or_none(value: object) -> int | None:
    return None if value == "" else _number(value)


def _grouping(value: object) -> str:
    text = str(value).strip().lower()
    if text not in {"lineage", "dialogue", "seed"}:
        raise ValueError("must be lineage, dialogue or seed")
    return text


def _sources(value: object) -> tuple[str, ...]:
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise ValueError("must be text, or a list of it")
    chosen = tuple(dict.fromkeys(name.strip().lower() for name in names if name.strip()))
    if not chosen or not set(chosen) <= set(_SOURCES):
        raise ValueError(f"must be one or more of {', '.join(_SOURCES)}")
    return chosen


def _request_fields(value: object) -> tuple[RequestField, ...]:
    texts = value.split(",") if isinstance(value, str) else value
    if not isinstance(texts, (list, tuple)) or not all(isinstance(text, str) for text in texts):
        raise ValueError("must be text, or a list of it")
    places = tuple(RequestField.parse(text) for text in texts if text.strip())
    for place in places:  # two secrets may look alike behind the mask
        if place.place == "header" and is_secret_header(header_name(place.name), configured_names()):
            raise ValueError(f"cannot use the header {place.name}, which is masked before it gets here")
    return places


def _content(value: object) -> ContentModes:
    if not isinstance(value, str):
        raise ValueError("must be text")  # noqa: TRY004  one kind of error for a bad value
    return ContentModes.parse(value)


def _group_access(value: object) -> str:
    text = str(value).strip().lower()
    if text not in {"none", "read", "write"}:
        raise ValueError("must be none, read or write")
    return text


def _names(value: object) -> tuple[str, ...]:
    texts = value.split(",") if isinstance(value, str) else value
    if not isinstance(texts, (list, tuple)) or not all(isinstance(text, str) for text in texts):
        raise ValueError("must be text, or a list of it")
    return tuple(text.strip() for text in texts if text.strip())


def _patterns(value: object) -> UserPatterns:
    return UserPatterns() if value == "" else read_patterns(_directory(value))


def _when(value: object) -> bool:
    text = str(value).strip().lower()
    if text not in {"never", "always"}:
        raise ValueError("must be never or always")
    return text == "always"


def _writer(value: object) -> bool:
    text = str(value).strip().lower()
    if text not in {"thread", "process"}:
        raise ValueError("must be thread or process")
    return text == "process"


def _boolean(value: object) -> bool:
    text = str(value).strip().lower()
    if text not in {"true", "false"}:
        raise ValueError("must be true or false")
    return text == "true"


@dataclass(frozen=True)
class Settings:
    """The exporter's settings.

    Attributes:
        directory: Where the day folders go. A relative path is taken from the working directory at start. Where the log
            is shared by several machines, the spool: what is on its way there.
        grouping: How a turn without an id of its own finds its conversation: ``lineage``, ``dialogue`` or ``seed``.
        scope: Where the values stand that keep tenants apart.
        conversation_keys: Where conversation ids stand, besides the places that are known.
        sources: The span vocabularies that become turns.
        stream_events: How many stream events to keep of each end and direction; None for all of them.
        fsync: Whether a turn survives the loss of power, not only the end of the process.
        max_age_days: How long ago a conversation may have been written last before it is removed; None for any time.
        max_bytes: How large all conversations may be together before the oldest are removed; None for any size.
        queue_bytes: How many bytes of turns may wait in memory while they cannot be written.
        content: How much of what was said is written, by route.
        group_access: What the group may do with the files: ``none``, ``read`` or ``write``.
        redact_headers: Names of headers to mask, besides those that are known to carry secrets.
        redact_patterns: The user's own patterns. Where the variable's file cannot be used there are none, and
            `content` is ``metadata`` at most: nothing that they might have matched may be written.
        own_process: Whether a processor has its turns written by a process of its own.
        catalog: The URL of the database that several machines share; empty where the log is this machine's alone.
        spool: Where turns wait that are on their way to a log which several machines share.
        spool_bytes: How many bytes of them may wait there.
        quiet_ms: How long a conversation is to have been quiet before its document is made, in milliseconds.
        evidence_days: How long a turn is recognised there by those that continue it, in days.
        shared: Where the log is that several machines share; None where it is this machine's alone.
    """

    directory: Path = field(metadata={"parse": _place, "default": "data/conversations"})
    grouping: str = field(metadata={"parse": _grouping, "default": "lineage"})
    scope: tuple[RequestField, ...] = field(metadata={"parse": _request_fields, "default": ""})
    conversation_keys: tuple[RequestField, ...] = field(metadata={"parse": _request_fields, "default": ""})
    sources: tuple[str, ...] = field(metadata={"parse": _sources, "default": ",".join(_SOURCES)})
    stream_events: int | None = field(metadata={"parse": _stream_events, "default": "all"})
    fsync: bool = field(metadata={"parse": _when, "default": "never"})
    max_age_days: int | None = field(metadata={"parse": _number_or_none, "default": ""})
    max_bytes: int | None = field(metadata={"parse": _number_or_none, "default": ""})
    queue_bytes: int = field(metadata={"parse": _number, "default": str(256 << 20)})
    content: ContentModes = field(metadata={"parse": _content, "default": "full"})
    group_access: str = field(metadata={"parse": _group_access, "default": "none"})
    redact_headers: tuple[str, ...] = field(metadata={"parse": _names, "default": ""})
    redact_patterns: UserPatterns = field(metadata={"parse": _patterns, "default": ""})
    own_process: bool = field(metadata={"parse": _writer, "default": "thread", "option": "writer"})
    catalog: str = field(metadata={"parse": _catalog, "default": ""})
    spool: Path = field(metadata={"parse": _directory, "default": "data/spool"})
    spool_bytes: int = field(metadata={"parse": _number, "default": str(1 << 30)})
    quiet_ms: int = field(metadata={"parse": _number, "default": "60000"})
    evidence_days: int = field(metadata={"parse": _number, "default": "60"})
    shared: SharedLog | None = None

    @property
    def place(self) -> dict[str, str]:
        """The arguments of an exporter that say where the log is."""
        if self.shared is None:
            return {"directory": str(self.directory)}
        return {"directory": self.shared.store, "catalog": self.shared.database, "spool": str(self.directory)}

    @classmethod
    def resolve(cls, **keywords: object) -> Settings:
        """Settle every option.

        Args:
            keywords: Values by option name; None, as an absent one, leaves the option to the environment.

        Raises:
            ValueError: A keyword's value cannot be used. (A variable's value that cannot is warned of and ignored.)
        """
        values: dict[str, object] = {}
        most_content = FULL
        for option in fields(cls):
            if not option.metadata:
                continue
            parse, default = option.metadata["parse"], option.metadata["default"]
            name = option.metadata.get("option", option.name)
            keyword = keywords.get(name)
            if keyword is None:
                try:
                    values[option.name] = from_environment(name, parse, default)
                except PatternError as error:  # to go on without them would be to write what they are to keep out
                    _logger.error("%s; turns are written without content", error)  # noqa: TRY400  it is the user's
                    values[option.name], most_content = UserPatterns(), METADATA
                continue
            try:
                values[option.name] = parse(keyword)
            except ValueError as error:
                raise ValueError(f"{name} {error}, not {_shown(keyword)!r}") from None
        place = values["directory"]
        settings = cls(**values)  # type: ignore[arg-type]  # each from its option's own parser
        settings = replace(settings, content=settings.content.at_most(most_content))
        if not isinstance(place, str) and not settings.catalog:
            return settings
        if not settings.catalog:
            missing = f"a log at {place} needs a database that all its machines share: set catalog, {PREFIX}CATALOG"
            if keywords.get("directory") is not None:
                raise ValueError(missing)
            _logger.error("%s; turns are kept in %s until then", missing, settings.spool)
            return replace(settings, directory=settings.spool)
        return replace(settings, directory=settings.spool, shared=SharedLog(str(place), settings.catalog))


def _shown(value: object) -> object:
    return without_password(value) if isinstance(value, str) else value


def switched_off() -> bool:
    """Say whether ``OTEL_EXPORTER_CONVLOG_DISABLED`` switches the recording of turns off in this process."""
    return switch("disabled", default=False)


def switch(option: str, *, default: bool = True) -> bool:
    """Return what ``OTEL_EXPORTER_CONVLOG_<OPTION>`` says of a switch that is no setting of the exporter."""
    return from_environment(option, _boolean, str(default))


def from_environment(option: str, parse: Callable[[str], _T], default: str) -> _T:
    """Return what ``OTEL_EXPORTER_CONVLOG_<OPTION>`` says; the default where it says nothing that can be read."""
    variable = PREFIX + option.upper()
    text = os.environ.get(variable, "")
    if text.strip():
        try:
            return parse(text)
        except PatternError as error:
            raise PatternError(f"{variable} {error}") from error
        except ValueError as error:
            _logger.warning("%s %s; ignoring %r", variable, error, _shown(text))
    return parse(default)
