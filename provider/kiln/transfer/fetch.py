"""From a source as the user wrote it to a file on this machine that can be inspected and uploaded.

Compressed content is expanded on the way into a sparse temporary file, whatever it came by; a download without a
checksum is expanded while it arrives, unless it is to be kept. Temporary files lie in the
``scratch`` folder of Kiln's cache directory.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from kiln.framework.context import Context
from kiln.framework.errors import InputError
from kiln.framework.values import Asset
from kiln.transfer.cache import DigestCache, cache_directory
from kiln.transfer.compression import LONGEST_MAGIC, compression_of
from kiln.transfer.content import Flaw
from kiln.transfer.digest import Checksum
from kiln.transfer.downloads import Downloads, mismatch
from kiln.transfer.http import Patience, download
from kiln.transfer.local import Local
from kiln.transfer.progress import Progress
from kiln.transfer.sink import Hashed, Sink, SparseFile, Unpacked
from kiln.transfer.source import File, Source, Text, Url, locate
from kiln.transfer.space import told_when_full
from kiln.transfer.temporary import temporary_file

_PIECE = 1 << 20


@contextmanager
def fetched(
    ctx: Context,
    source: str | Asset,
    *,
    checksum: Checksum | None = None,
    path: str = "source",
    unpack: bool = True,
    keep: bool = False,
    cache: Path | None = None,
    patience: Patience | None = None,
) -> Iterator[Local]:
    """The source as a local file, expanded when it was compressed, for as long as the block runs.

    Args:
        checksum: what the source's bytes, as distributed, must have. A download with a checksum is kept in the cache
            and verified again each time it is used.
        path: the property path that errors carry; those about the checksum carry ``checksum``.
        unpack: False gives the bytes as they are distributed, also when they are compressed (an initial RAM disk).
        keep: True keeps a download without a checksum too, for who fetches it next: while the server says that it did
            not change, it is taken from the cache.
        cache: Kiln's cache directory (default: the user's).

    Raises:
        InputError: the source cannot be read or fetched, is damaged, or does not have the checksum.
        KilnError: the network failed too often, or there is no room for a temporary file.
        Cancelled, DeadlineExceeded: it was time to stop.
    """
    where = locate(source, path)
    request = _Request(ctx, checksum, path, unpack, keep, cache or cache_directory(), patience)
    with ExitStack() as stack:
        try:
            local = _enter(stack, where, request)
        except Flaw as flaw:
            raise InputError(path, f"'{where.name}' {flaw.what}", action=flaw.action) from flaw
        except OSError as error:
            action = "check the path and its permissions, and the disk"
            raise InputError(path, f"'{where.name}' cannot be read", cause=_cause(error), action=action) from error
        yield local


@dataclass(frozen=True)
class _Request:
    ctx: Context
    checksum: Checksum | None
    path: str
    unpack: bool
    keep: bool
    cache: Path
    patience: Patience | None

    @property
    def downloads(self) -> Downloads:
        """The downloads that are kept."""
        return Downloads(self.cache / "downloads", DigestCache(self.cache))


def _enter(stack: ExitStack, where: Source, ask: _Request) -> Local:
    match where:
        case File():
            _verify_file(where, ask)
            return stack.enter_context(_expanded(ask, where.path, where.name))
        case Url() if ask.checksum is not None or ask.keep or ask.downloads.has(where):
            held = ask.downloads.held(ask.ctx, where, ask.checksum, ask.path, ask.patience)
            return stack.enter_context(_expanded(ask, stack.enter_context(held), where.name))
        case Url():
            local, sink = stack.enter_context(_temporary(ask, where.name))
            download(ask.ctx, where, sink, ask.path, ask.patience)
            sink.finish()
            return local
        case Text():
            local, sink = stack.enter_context(_temporary(ask, where.name))
            _take_text(where, sink, ask.checksum)
            return local


def _cause(error: OSError) -> str:
    return error.strerror or str(error)


def _verify_file(file: File, ask: _Request) -> None:
    if ask.checksum is None:
        return
    doing = f"verifying {file.name}"
    ask.ctx.log.status(doing)
    found = DigestCache(ask.cache).digest(file.path, ask.checksum.algorithm, lambda: ask.ctx.check(doing))
    if found != str(ask.checksum):
        raise mismatch(file.name, ask.checksum, found)


def _take_text(text: Text, sink: Sink, checksum: Checksum | None) -> None:
    hashed = Hashed(sink, checksum.algorithm if checksum else "sha256")
    hashed.write(text.data)
    hashed.finish()
    if checksum is not None and not hashed.matches(checksum):
        raise mismatch(text.name, checksum)


@contextmanager
def _expanded(ask: _Request, file: Path, name: str) -> Iterator[Local]:
    """The file itself, or what it expands to."""
    if not ask.unpack or not is_compressed(file):
        yield Local(file, name)
        return
    with _temporary(ask, name) as (local, sink):
        with file.open("rb", buffering=0) as stream:
            progress = Progress(ask.ctx, f"unpacking {name}", os.fstat(stream.fileno()).st_size)
            while data := stream.read(_PIECE):
                sink.write(data)
                progress.add(len(data))
        sink.finish()
        yield local


def is_compressed(file: Path) -> bool:
    """Whether a file will be expanded. Raises OSError."""
    fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        return compression_of(os.pread(fd, LONGEST_MAGIC, 0)) is not None
    finally:
        os.close(fd)


@contextmanager
def _temporary(ask: _Request, name: str) -> Iterator[tuple[Local, Sink]]:
    scratch = ask.cache / "scratch"
    with temporary_file(scratch) as (fd, file):
        sink: Sink = SparseFile(fd)
        if ask.unpack:
            sink = Unpacked(sink)
        yield Local(file, name, is_temporary=True), _Room(sink, fd, scratch)


class _Room:
    """A sink that tells a full disk by the directory that is full."""

    def __init__(self, inner: Sink, fd: int, directory: Path) -> None:
        self._inner = inner
        self._fd = fd
        self._directory = directory

    def write(self, data: bytes) -> None:
        with self._told():
            self._inner.write(data)

    def restart(self) -> None:
        self._inner.restart()

    def finish(self) -> None:
        with self._told():
            self._inner.finish()

    @contextmanager
    def _told(self) -> Iterator[None]:
        with told_when_full(f"the directory {self._directory}", os.fstat(self._fd).st_blocks * 512, self._directory):
            yield
