"""Digests of files that did not change, so that a preview does not read 8 GiB again."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kiln.transfer.content import file_version
from kiln.transfer.digest import Kind, digest_open_file
from kiln.transfer.extents import Check, unchecked

if TYPE_CHECKING:
    import sqlite3

MAX_ENTRIES = 4096
RACY_NS = 2_000_000_000
"""A file changed less than this ago may change again without a new time stamp: its digest is not remembered."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS digests (
  kind TEXT, path TEXT, version TEXT NOT NULL, digest TEXT NOT NULL, used INTEGER NOT NULL, PRIMARY KEY (kind, path)
)
"""


def cache_directory() -> Path:
    """Kiln's directory under the user's cache directory (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "kiln"


@dataclass(frozen=True)
class DigestCache:
    """Digests by path, each valid for one version of the file.

    Kept in an SQLite file that any number of threads and processes share. A cache that cannot be read or written is no
    cache and no error.
    """

    directory: Path

    def digest(self, file: Path, kind: Kind, check: Check = unchecked) -> str:
        """The digest of ``kind`` of ``file``, from the cache when the file did not change. Raises OSError."""
        return self.get(file, kind, lambda fd: digest_open_file(fd, os.fstat(fd).st_size, kind, check))

    def get(self, file: Path, key: str, compute: Callable[[int], str]) -> str:
        """What ``compute`` said of the open file, under ``key``, while the file does not change. Raises OSError."""
        fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            status = os.fstat(fd)
            path = os.path.realpath(file)
            known = self._find(path, key, file_version(status))
            if known is not None:
                return known
            digest = compute(fd)
            self._remember(path, key, status, os.fstat(fd), digest)
            return digest
        finally:
            os.close(fd)

    def remember(self, file: Path, kind: Kind, before: os.stat_result, digest: str) -> None:
        """Note a digest that was taken otherwise, of the version of ``file`` that ``before`` tells."""
        with contextlib.suppress(OSError):
            self._remember(os.path.realpath(file), kind, before, os.stat(file), digest)

    def _remember(self, path: str, key: str, before: os.stat_result, after: os.stat_result, digest: str) -> None:
        age = time.time_ns() - max(before.st_mtime_ns, before.st_ctime_ns)
        if file_version(before) == file_version(after) and age > RACY_NS:
            self._store(path, key, file_version(before), digest)

    def _find(self, path: str, key: str, version: str) -> str | None:
        with self._forgiving(), self._database() as database:
            row = database.execute(
                "SELECT digest FROM digests WHERE kind=? AND path=? AND version=?", (key, path, version)
            ).fetchone()
            if row is not None:
                database.execute("UPDATE digests SET used=? WHERE kind=? AND path=?", (time.time_ns(), key, path))
                return str(row[0])
        return None

    def _store(self, path: str, key: str, version: str, digest: str) -> None:
        with self._forgiving(), self._database() as database:
            row = (key, path, version, digest, time.time_ns())
            database.execute("INSERT OR REPLACE INTO digests VALUES (?,?,?,?,?)", row)
            database.execute(
                "DELETE FROM digests WHERE rowid IN (SELECT rowid FROM digests ORDER BY used DESC LIMIT -1 OFFSET ?)",
                (MAX_ENTRIES,),
            )

    @property
    def _file(self) -> Path:
        return self.directory / "digests.sqlite"

    @contextlib.contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        """A transaction on the cache."""
        import sqlite3  # most runs look at no file

        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.closing(sqlite3.connect(self._file, timeout=5)) as database, database:
            database.execute("PRAGMA synchronous=OFF")  # what a power cut takes is read again
            database.execute(_SCHEMA)
            yield database

    @contextlib.contextmanager
    def _forgiving(self) -> Iterator[None]:
        """Swallow what goes wrong with the cache itself; one that is not a database is removed."""
        import sqlite3

        try:
            yield
        except (sqlite3.OperationalError, OSError):
            return
        except sqlite3.DatabaseError:
            with contextlib.suppress(OSError):
                self._file.unlink()
