"""Methods of other libraries that are wrapped, and can be as they were again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Patches:
    """What one hook has wrapped."""

    def __init__(self) -> None:
        self._originals: dict[tuple[type, str], Callable[..., Any]] = {}

    def wrap(self, owner: type, method: str, wrapper: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        """Put a wrapper around a method; a second time it does nothing."""
        if (owner, method) not in self._originals:
            original = getattr(owner, method)
            self._originals[owner, method] = original
            setattr(owner, method, wrapper(original))

    def undo(self) -> None:
        """Let all be as it was."""
        while self._originals:
            (owner, method), original = self._originals.popitem()
            setattr(owner, method, original)
