"""Downloads that are kept, since their checksum tells whether they are still what they were.

::

    <key>        the file as distributed, key = SHA-256 of URL and checksum
    <key>.lock   locked while it is fetched or used; its time stamp is the last use
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kiln.framework.context import Context
from kiln.framework.errors import InputError
from kiln.transfer.cache import DigestCache
from kiln.transfer.digest import Checksum
from kiln.transfer.http import Patience, download
from kiln.transfer.sink import Hashed, SparseFile
from kiln.transfer.source import Url
from kiln.transfer.space import told_when_full
from kiln.transfer.temporary import temporary_file

MAX_BYTES = 20 << 30
MAX_AGE = 30 * 24 * 3600
_POLL = 0.2


@dataclass(frozen=True)
class Downloads:
    """Kept downloads in ``directory``, shared by all processes of the user."""

    directory: Path
    digests: DigestCache

    @contextmanager
    def held(
        self, ctx: Context, source: Url, checksum: Checksum, path: str, checksum_path: str, patience: Patience | None
    ) -> Iterator[Path]:
        """The verified file, fetched when it is not there or not right, and kept while the block runs.

        Raises:
            InputError: what the URL gives does not have the checksum. And what ``http.download`` raises.
        """
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = hashlib.sha256(f"{source.url}\0{checksum}".encode()).hexdigest()
        file, lock = self.directory / key, self.directory / f"{key}.lock"
        doing = f"waiting for another download of {source.name}"
        with _locked(ctx, lock, fcntl.LOCK_SH, doing):
            if self._is_right(ctx, file, checksum, source.name):
                yield file
                return
        with _locked(ctx, lock, fcntl.LOCK_EX, doing) as fd:
            if not self._is_right(ctx, file, checksum, source.name):
                file.unlink(missing_ok=True)
                self._prune()
                self._fetch(ctx, source, checksum, file, path, checksum_path, patience)
            fcntl.flock(fd, fcntl.LOCK_SH)  # others may use it too now
            yield file

    def _is_right(self, ctx: Context, file: Path, checksum: Checksum, name: str) -> bool:
        doing = f"verifying {name}"
        try:
            return self.digests.digest(file, checksum.algorithm, lambda: ctx.check(doing)) == str(checksum)
        except FileNotFoundError:
            return False

    def _fetch(
        self,
        ctx: Context,
        source: Url,
        checksum: Checksum,
        file: Path,
        path: str,
        checksum_path: str,
        patience: Patience | None,
    ) -> None:
        with temporary_file(self.directory) as (fd, temporary):
            sink = Hashed(SparseFile(fd), checksum.algorithm)
            with told_when_full(f"the directory {self.directory}", os.fstat(fd).st_size, self.directory):
                download(ctx, source, sink, path, patience)
                sink.finish()
            if not sink.matches(checksum):
                raise mismatch(source.name, checksum, "", checksum_path)
            os.fsync(fd)
            temporary.replace(file)

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


def mismatch(name: str, checksum: Checksum, found: str, path: str) -> InputError:
    """The error for content that does not have its checksum."""
    cause = f"it has {found}" if found else f"its {checksum.algorithm} is another one"
    return InputError(
        path,
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
