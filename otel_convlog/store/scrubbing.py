"""Applying today's rules to what was written before them."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from otel_convlog.record import IdentifiedTurn
from otel_convlog.redaction.headers import SECRET_HEADERS
from otel_convlog.redaction.patterns import read_patterns
from otel_convlog.redaction.turns import TurnRedactor
from otel_convlog.store import document
from otel_convlog.store.catalog import Catalog
from otel_convlog.store.reading import index_file
from otel_convlog.store.rewriting import conversation_files, held, kept_beside, rewrite, rewrite_text, told

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from otel_convlog.jsontext import Json
    from otel_convlog.store.locked_file import LockedFile

_logger = logging.getLogger(__name__)


@dataclass
class Scrubbed:
    """What a scrub has found.

    Attributes:
        files: How many files hold something to be taken out.
        turns: How many turns do.
        kinds: How often each kind of secret was found.
        named: Files whose name, the conversation's id, holds a secret: only `forget` removes these.
        refused: Files that could not be read or written, and why.
        complete: Whether nothing is left in the catalog of what was taken out.
    """

    files: int = 0
    turns: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    named: list[Path] = field(default_factory=list)
    refused: dict[Path, str] = field(default_factory=dict)
    complete: bool = True


def scrub(  # noqa: PLR0913  what it works by
    directory: Path,
    *,
    redact_headers: Sequence[str] = (),
    redact_patterns: Path | None = None,
    redactor: Callable[[str, str], str] | None = None,
    dry_run: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> Scrubbed:
    """Take out of all files what today's rules find in them, atomically file by file; also beside running writers.

    Args:
        directory: The log's directory.
        redact_headers: As for the exporter, as are the next two.
        redact_patterns: A file of regular expressions.
        redactor: A function for each text.
        dry_run: Whether only to count.
        on_progress: Told how many files are done, and of how many.

    Raises:
        ValueError: The patterns cannot be used.
    """
    redact = TurnRedactor(
        headers=(*SECRET_HEADERS, *redact_headers),
        patterns=read_patterns(redact_patterns) if redact_patterns is not None else None,
        hook=redactor,
    )
    scrubbed = Scrubbed()
    catalog = Catalog(directory)
    try:
        for path in told([*conversation_files(directory), *kept_beside(directory)], on_progress):
            try:
                with held(path) as file:
                    changed = file is not None and _scrub_file(file, redact, scrubbed, dry_run=dry_run)
                if redact.clean_text(path.name) != path.name:
                    scrubbed.named.append(path)
                if changed and not dry_run and path.suffix == ".json":
                    index_file(directory, catalog, path)
            except (OSError, ValueError) as error:
                scrubbed.refused[path] = str(error)
                _logger.warning("%s could not be scrubbed: %s", path, error)
        scrubbed.complete = dry_run or not scrubbed.files or catalog.purge()
    finally:
        catalog.close()
    return scrubbed


def _scrub_file(file: LockedFile, redact: TurnRedactor, scrubbed: Scrubbed, *, dry_run: bool) -> bool:
    def change(turn: dict[str, Json]) -> dict[str, Json]:
        return _scrub_turn(turn, redact, scrubbed)

    result = rewrite(file, change, dry_run=dry_run)
    if result is None:
        torn = rewrite_text(file, change, redact.clean_text, dry_run=dry_run)
        scrubbed.files += torn
        return torn
    scrubbed.files += bool(result.changed)
    scrubbed.turns += result.changed
    return bool(result.changed)


def _scrub_turn(turn: dict[str, Json], redact: TurnRedactor, scrubbed: Scrubbed) -> dict[str, Json]:
    """Return a turn without what the rules find in it; the same one where that is nothing."""
    otel = turn.get("otel")
    identified = document.turn_of(turn)
    before = otel if isinstance(otel, dict) else {}
    record = redact.clean_streams(replace(identified.record, trace=before))
    clean = redact.clean(IdentifiedTurn(record, identified.identity), document.turn_body(turn))
    new = document.turn_object(clean)
    changed = {**turn, **{name: new[name] for name in turn if name in new and name != "otel"}}
    if changed == turn:
        return turn
    after = clean.record.trace
    kinds, known = after.get("redacted"), before.get("redacted")
    if isinstance(kinds, dict):
        scrubbed.kinds.update({kind: count for kind, count in kinds.items() if isinstance(count, int)})
    if isinstance(known, dict):
        scrubbed.kinds.subtract({kind: count for kind, count in known.items() if isinstance(count, int)})
    changed["otel"] = after
    return changed
