"""Directories that are expensive to build and are kept in the user's cache (standard library only).

Layout::

    ${XDG_CACHE_HOME:-~/.cache}/kiln/
        pulumi/<version>/bin/         the Pulumi CLI that Kiln built or installed
        codegen/<hash>/               the schema checker and SDK generator
        guests/<name>-<hash>/         guest images and their manifest.json

A directory appears under its final name only when it is complete: it is built beside it, under a lock, and renamed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_root() -> Path:
    """Return Kiln's directory below the user's cache directory (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "kiln"


def digest_of(files: Iterable[Path], *facts: str) -> str:
    """Return 16 hexadecimal digits that change with the content of *files* or with any of *facts*."""
    digest = hashlib.sha256()
    for part in (*(file.read_bytes() for file in files), *(fact.encode() for fact in facts)):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:16]


def ensure_directory(final: Path, build: Callable[[Path], None]) -> Path:
    """Return *final*, after ``build(partial)`` has filled it if it was not there.

    Two processes may call this at the same time: one builds, the other waits. What a killed build left is removed.
    """
    if final.is_dir():
        return final
    final.parent.mkdir(parents=True, exist_ok=True)
    with _locked(final.parent / f".{final.name}.lock"):
        if final.is_dir():
            return final
        partial = final.parent / f".{final.name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            build(partial)
            partial.rename(final)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return final


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
