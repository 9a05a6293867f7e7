"""Where this package's servers listen: at this machine alone, unless they are told otherwise."""

from __future__ import annotations

import socket

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def is_loopback(host: str) -> bool:
    """Say whether an address, or a name, is this machine's own; as URLs have it, or without the brackets."""
    return host.strip("[]") in _LOOPBACK


def in_url(host: str) -> str:
    """Return an address as URLs have it."""
    return f"[{host}]" if ":" in host else host


def listen_at(host: str, port: int) -> socket.socket:
    """Listen at an address.

    Args:
        host: The address, or a name of it.
        port: The port; 0 for any that is free.

    Raises:
        OSError: It cannot be listened at.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=1024)
