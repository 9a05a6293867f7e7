"""A log's directory against the format, and its catalog against the files."""

from __future__ import annotations

from collections import defaultdict
from time import time
from typing import TYPE_CHECKING

from otel_convlog.integrity.catalog_checks import CatalogCheck, catalog_problems
from otel_convlog.integrity.file_checks import CheckedFile, check_file
from otel_convlog.integrity.problem import Problem
from otel_convlog.store.layout import is_conversation_file, is_day, matching
from otel_convlog.store.rewriting import kept_beside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_FRESH_S = 60.0  # what is younger may be being written


def verify_log(directory: Path, on_progress: Callable[[int, int], object] | None = None) -> Iterator[Problem]:
    """Yield what is wrong with a log, file by file, then the catalog; beside running writers, too.

    Args:
        directory: The log's directory.
        on_progress: Told, before each file, how many have been looked at, of how many.
    """
    paths = matching(directory, "*/*.json")
    of_database = list(catalog_problems(directory))
    catalog = CatalogCheck(directory) if not of_database else None
    turn_ids: defaultdict[str, set[str]] = defaultdict(set)
    continuing: list[tuple[CheckedFile, str, str]] = []
    try:
        for number, path in enumerate(paths):
            if on_progress is not None:
                on_progress(number, len(paths))
            if not is_conversation_file(path):
                yield Problem(path, "no-file" if is_day(path.parent.name) else "folder")
                continue
            checked = check_file(directory, path)
            yield from checked.problems
            turn_ids[checked.conversation_id].update(entry.turn_id for entry, _, _ in checked.turns)
            continuing += [(checked, turn_id, continued) for turn_id, continued in checked.continues.items()]
            if catalog is not None and checked.turns:
                yield from catalog.of_file(checked)
            checked.turns.clear()
        yield from (
            Problem(checked.path, "continues", continued, turn_id)
            for checked, turn_id, continued in continuing
            if continued not in turn_ids[checked.conversation_id]
        )
        yield from leftovers(directory)
        yield from of_database if paths else ()
        if catalog is not None:
            yield from catalog.gone()
    finally:
        if catalog is not None:
            catalog.close()


def leftovers(directory: Path) -> Iterator[Problem]:
    """Yield what processes that were killed have left of new files; copies of damaged files are meant to be there."""
    for path in kept_beside(directory):
        if ".damaged-" not in path.name and path.is_file() and path.stat().st_mtime < time() - _FRESH_S:
            yield Problem(path, "leftover")
