"""Temporary files that are gone afterwards, also when the process was killed.

Each one is locked (flock(2)) while it is used. A lock dies with its process, so the next one that works in the same
directory knows what a killed process left and removes it, however new or empty that is.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PREFIX = "partial-"


@contextmanager
def temporary_file(directory: Path) -> Iterator[tuple[int, Path]]:
    """An empty file, open for reading and writing, 0600, deleted at the end unless it was renamed. Raises OSError."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    sweep(directory)
    fd, file = _locked(directory)
    try:
        yield fd, file
    finally:
        file.unlink(missing_ok=True)
        os.close(fd)


def sweep(directory: Path) -> None:
    """Remove the temporary files in ``directory`` whose process is no more."""
    for file in directory.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            _remove_unlocked(file)


def _locked(directory: Path) -> tuple[int, Path]:
    """A new file that is locked. One that a sweep took away before it was locked is made again."""
    while True:
        fd, name = tempfile.mkstemp(prefix=_PREFIX, dir=directory)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            if os.fstat(fd).st_nlink:
                return fd, Path(name)
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def _remove_unlocked(file: Path) -> None:
    fd = os.open(file, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.unlink()
    finally:
        os.close(fd)
