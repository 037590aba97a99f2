"""Temporary files that are gone afterwards, also when the process was killed.

Each one is locked (flock(2)) while it is used. A lock dies with its process, so the next one that works in the same
directory knows what a killed process left and removes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PREFIX = "partial-"
_EMPTY_SECONDS = 3600


@contextmanager
def temporary_file(directory: Path) -> Iterator[tuple[int, Path]]:
    """An empty file, open for reading and writing, 0600, deleted at the end unless it was renamed. Raises OSError."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    sweep(directory)
    fd, name = tempfile.mkstemp(prefix=_PREFIX, dir=directory)
    file = Path(name)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield fd, file
    finally:
        file.unlink(missing_ok=True)
        os.close(fd)


def sweep(directory: Path) -> None:
    """Remove the temporary files in ``directory`` whose process is no more."""
    for file in directory.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            _remove_unlocked(file)


def _remove_unlocked(file: Path) -> None:
    fd = os.open(file, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        status = os.fstat(fd)
        # One that is new and empty may be a sister's, made and not locked yet.
        if status.st_size or time.time() - status.st_mtime > _EMPTY_SECONDS:
            file.unlink()
    finally:
        os.close(fd)
