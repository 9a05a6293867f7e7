"""Where a log is that several machines write: documents in an object store, what is known of them in a database."""

from __future__ import annotations

import re
from typing import NamedTuple

# What obstore opens (https://developmentseed.org/obstore/latest/api/store/#obstore.store.from_url), but for HTTP, which
# has no conditional writes, and memory, which nobody shares.
_STORES = ("s3", "s3a", "gs", "az", "abfs", "abfss", "file")
_DATABASES = ("postgresql", "postgres")
# Up to the last @, since who writes a password as it is may have any of these characters in it.
_PASSWORD = re.compile(r"(://[^/?#@:]*):.*@|((?:^|[?&])\w*password=)[^&]*", re.IGNORECASE | re.DOTALL)


class SharedLog(NamedTuple):
    """A log that several machines write.

    Attributes:
        store: The URL of the object store, with the folder in it, or the path of a directory that they share.
        database: The URL of the database.
    """

    store: str
    database: str

    def __repr__(self) -> str:
        return f"{without_password(self.store)} with {without_password(self.database)}"


def checked_store_url(url: str) -> str:
    """Return the URL of an object store.

    Raises:
        ValueError: It is none that can be used.
    """
    scheme, _, rest = url.partition("://")
    if scheme not in _STORES or not rest:
        raise ValueError(f"must be a path, or a URL that begins with {', '.join(f'{name}://' for name in _STORES)}")
    return url.rstrip("/")


def checked_database_url(url: str) -> str:
    """Return the URL of a database.

    Raises:
        ValueError: It is none that can be used.
    """
    if url.partition("://")[0] not in _DATABASES or not url.partition("://")[2]:
        raise ValueError("must be a URL that begins with postgresql://")
    return url


def without_password(url: str) -> str:
    """Return a URL without the password in it, for people to read."""
    return _PASSWORD.sub(lambda found: f"{found[1]}:***@" if found[1] else f"{found[2]}***", url)
