"""Running out of space, told with the place, what is needed and what there is."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kiln.framework.errors import KilnError
from kiln.transfer.content import human

_FULL = {errno.ENOSPC, errno.EDQUOT}
_WORDS = ("no space left", "disk quota exceeded", "enospc")


def available(directory: Path) -> int | None:
    """Bytes that an ordinary user can still write in ``directory``, None when that is not known."""
    try:
        status = os.statvfs(directory)
    except OSError:
        return None
    return status.f_bavail * status.f_frsize


def out_of_space(place: str, needed: int, there: int | None, cause: str | None = None) -> KilnError:
    """The error for content of ``needed`` bytes that does not fit in ``place`` ("pool 'kiln'")."""
    known = "" if there is None else f" and {human(there)} ({there} bytes) are available"
    return KilnError(
        f"{place} has no room: {human(needed)} ({needed} bytes) are needed{known}",
        cause=cause,
        action="free space there, or use a pool with more room",
    )


def require_space(place: str, needed: int, there: int | None) -> None:
    """Refuse before the first byte what cannot fit. An unknown ``there`` is no reason to refuse."""
    if there is not None and needed > there:
        raise out_of_space(place, needed, there)


@contextmanager
def told_when_full(place: str, needed: int, directory: Path | None = None) -> Iterator[None]:
    """Tell "no space left", from this machine's kernel or in a node's words, as ``out_of_space``."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise out_of_space(place, needed, available(directory) if directory else None, error.strerror) from error
    except KilnError as error:
        said = f"{error.what} {error.cause or ''}"
        if not any(word in said.lower() for word in _WORDS):
            raise
        raise out_of_space(place, needed, available(directory) if directory else None, said) from error
