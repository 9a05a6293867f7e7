"""Methods of other libraries that are wrapped, and can be as they were again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Patches:
    """What one hook has wrapped.

    Another library may wrap the same method later, and then holds the wrapper. It stays there when this hook is undone,
    and has to ask whether it is still to do anything.

    Attributes:
        active: Whether the wrappers are to do anything.
    """

    def __init__(self) -> None:
        self.active = False
        self._wrapped: dict[tuple[type, str], tuple[Callable[..., Any], Callable[..., Any]]] = {}

    def wrap(self, owner: type, method: str, wrapper: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        """Put a wrapper around a method; a second time it does nothing."""
        self.active = True
        if (owner, method) not in self._wrapped:
            original = getattr(owner, method)
            self._wrapped[owner, method] = (original, wrapper(original))
            setattr(owner, method, self._wrapped[owner, method][1])

    def undo(self) -> None:
        """Let all be as it was, but for methods that somebody else has wrapped since."""
        self.active = False
        for (owner, method), (original, wrapped) in list(self._wrapped.items()):
            if getattr(owner, method) is wrapped:
                setattr(owner, method, original)
                del self._wrapped[owner, method]
