"""Small files in a pool's directory on this machine. Links are never followed, and files appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kiln.framework.process import tag
from kiln.ports.volumes import TEMPORARY_PREFIX

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def read(directory: Path, name: str, *, offset: int = 0, length: int) -> bytes:
    """Up to ``length`` bytes from ``offset``. Raises OSError."""
    file = os.open(directory / name, _READ)
    try:
        return os.pread(file, length, offset)
    finally:
        os.close(file)


def write(directory: Path, name: str, data: bytes, *, new: bool) -> None:
    """Write a 0600 file atomically and durably. Raises FileExistsError when it is to be ``new`` and is not, OSError."""
    temporary = f"{TEMPORARY_PREFIX}mark-{tag()}"
    with _opened(directory) as base:
        file = os.open(temporary, _CREATE, 0o600, dir_fd=base)
        try:
            with os.fdopen(file, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fdatasync(stream.fileno())
            if new:
                os.link(temporary, name, src_dir_fd=base, dst_dir_fd=base, follow_symlinks=False)
                os.unlink(temporary, dir_fd=base)
            else:
                os.replace(temporary, name, src_dir_fd=base, dst_dir_fd=base)
        except BaseException:
            _remove(base, temporary)
            raise
        os.fsync(base)


def remove(directory: Path, name: str) -> None:
    """Remove a file; one that is not there is a success. Raises OSError."""
    with _opened(directory) as base:
        _remove(base, name)


def replace(directory: Path, temporary: Path, name: str) -> None:
    """Give ``temporary`` the name ``name`` in the directory, durably. Raises OSError."""
    with _opened(directory) as base:
        os.replace(temporary, name, dst_dir_fd=base)
        os.fsync(base)


def names(directory: Path) -> list[str]:
    """All names in the directory. Raises OSError."""
    return os.listdir(directory)


def changes(directory: Path, prefix: str) -> dict[str, float]:
    """When each file whose name begins with ``prefix`` was last written to. Raises OSError."""
    found = {}
    for name in names(directory):
        if name.startswith(prefix):
            with contextlib.suppress(FileNotFoundError):  # gone since it was listed
                found[name] = os.lstat(directory / name).st_mtime
    return found


def _remove(base: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=base)
    except FileNotFoundError:
        return


@contextmanager
def _opened(directory: Path) -> Iterator[int]:
    base = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield base
    finally:
        os.close(base)
