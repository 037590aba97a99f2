"""Downloads that are kept while it can be told whether they are still what they were: by their checksum, or by the
server's word (RFC 9110 section 13).

::

    <key>        the file as distributed, key = SHA-256 of URL and checksum
    <key>.lock   locked while it is fetched or used; its time stamp is the last use. For a file without a checksum it
                 holds the headers (JSON) by which the server is asked for a change
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kiln.framework.context import Context
from kiln.framework.errors import InputError
from kiln.transfer.cache import DigestCache
from kiln.transfer.content import file_version
from kiln.transfer.digest import Checksum
from kiln.transfer.http import Patience, download, unchanged
from kiln.transfer.sink import Hashed, SparseFile
from kiln.transfer.source import Url
from kiln.transfer.space import told_when_full
from kiln.transfer.temporary import temporary_file

MAX_BYTES = 20 << 30
MAX_AGE = 30 * 24 * 3600
_POLL = 0.2
_MOST_NOTED = 64 << 10


@dataclass(frozen=True)
class _Wanted:
    source: Url
    checksum: Checksum | None
    file: Path
    path: str
    patience: Patience | None


@dataclass(frozen=True)
class Downloads:
    """Kept downloads in ``directory``, shared by all processes of the user."""

    directory: Path
    digests: DigestCache

    def has(self, source: Url) -> bool:
        """Whether a download without a checksum is kept, be it still what the server has or not."""
        return (self.directory / _key(source, None)).exists()

    @contextmanager
    def held(
        self, ctx: Context, source: Url, checksum: Checksum | None, path: str, patience: Patience | None
    ) -> Iterator[Path]:
        """The file, fetched when it is not there or not right, and kept while the block runs.

        Raises:
            InputError: what the URL gives does not have the checksum. And what ``http.download`` raises.
        """
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        wanted = _Wanted(source, checksum, self.directory / _key(source, checksum), path, patience)
        lock, doing = wanted.file.with_suffix(".lock"), f"waiting for another download of {source.name}"
        with _locked(ctx, lock, fcntl.LOCK_SH, doing) as fd:
            if self._is_right(ctx, wanted, fd):
                yield wanted.file
                return
            wrong = _version(wanted.file)
        with _locked(ctx, lock, fcntl.LOCK_EX, doing) as fd:
            if _version(wanted.file) == wrong or not self._is_right(ctx, wanted, fd):
                wanted.file.unlink(missing_ok=True)
                self._prune()
                _note(fd, self._fetch(ctx, wanted))
            fcntl.flock(fd, fcntl.LOCK_SH)  # others may use it too now
            yield wanted.file

    def _is_right(self, ctx: Context, wanted: _Wanted, lock: int) -> bool:
        if wanted.checksum is None:
            return wanted.file.exists() and unchanged(ctx, wanted.source, _noted(lock), wanted.patience)
        doing = f"verifying {wanted.source.name}"
        try:
            found = self.digests.digest(wanted.file, wanted.checksum.algorithm, lambda: ctx.check(doing))
        except FileNotFoundError:
            return False
        return found == str(wanted.checksum)

    def _fetch(self, ctx: Context, wanted: _Wanted) -> Mapping[str, str]:
        """Fetch and verify the file. Returns by what the server knows it, for one without a checksum."""
        source, checksum = wanted.source, wanted.checksum
        with temporary_file(self.directory) as (fd, temporary):
            sink = Hashed(SparseFile(fd), checksum.algorithm if checksum else "sha256")
            with told_when_full(f"the directory {self.directory}", os.fstat(fd).st_size, self.directory):
                conditions = download(ctx, source, sink, wanted.path, wanted.patience)
                sink.finish()
            if checksum is not None and not sink.matches(checksum):
                raise mismatch(source.name, checksum)
            os.fsync(fd)
            temporary.replace(wanted.file)
        return conditions if checksum is None else {}

    def _prune(self) -> None:
        """Remove what was not used for long, and the least recently used beyond the bound; what is in use stays."""
        kept = 0
        for lock in sorted(self.directory.glob("*.lock"), key=_used, reverse=True):
            file = lock.with_suffix("")
            with contextlib.suppress(OSError):
                kept += file.stat().st_blocks * 512
            if kept > MAX_BYTES or time.time() - _used(lock) > MAX_AGE:
                with contextlib.suppress(OSError):
                    _remove_unused(lock, file)


def _key(source: Url, checksum: Checksum | None) -> str:
    return hashlib.sha256(f"{source.url}\0{checksum or ''}".encode()).hexdigest()


def _version(file: Path) -> str | None:
    """Which version of a kept file it is, None where there is none."""
    try:
        return file_version(file.stat())
    except FileNotFoundError:
        return None


def _note(lock: int, conditions: Mapping[str, str]) -> None:
    os.ftruncate(lock, 0)
    os.pwrite(lock, json.dumps(dict(conditions)).encode(), 0)


def _noted(lock: int) -> Mapping[str, str]:
    """What was noted in a lock's file; nothing where that was cut off."""
    try:
        return dict(json.loads(os.pread(lock, _MOST_NOTED, 0)))
    except ValueError:
        return {}


def mismatch(name: str, checksum: Checksum, found: str = "") -> InputError:
    """The error, at ``checksum``, for content that does not have its checksum."""
    cause = f"it has {found}" if found else f"its {checksum.algorithm} is another one"
    return InputError(
        "checksum",
        f"'{name}' does not have the checksum {checksum}",
        cause=cause,
        action="fetch it again, or compare the checksum with the publisher's; nothing of it was used",
    )


def _used(lock: Path) -> float:
    try:
        return lock.stat().st_mtime
    except OSError:
        return 0.0


@contextmanager
def _locked(ctx: Context, lock: Path, how: int, doing: str) -> Iterator[int]:
    fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.flock(fd, how | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                ctx.log.status(doing)
                ctx.sleep(_POLL, doing)
        os.utime(fd)
        yield fd
    finally:
        os.close(fd)


def _remove_unused(lock: Path, file: Path) -> None:
    fd = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.unlink(missing_ok=True)
        lock.unlink()
    finally:
        os.close(fd)
