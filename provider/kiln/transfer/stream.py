"""A local file as the chunks of a sparse upload, with the digest taken while they pass."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Protocol

from kiln.ports.volumes import Chunk
from kiln.transfer.digest import BUFFER, ContentHash, Kind
from kiln.transfer.extents import BLOCK, Run, read_run, runs
from kiln.transfer.progress import Progress


class _Hash(Protocol):
    def hole(self, length: int) -> None: ...
    def begin(self, run: Run) -> None: ...
    def add(self, data: memoryview) -> None: ...
    def digest(self) -> str: ...


class Chunks:
    """Iterate over it once; then ``digest()`` tells the digest of ``kind`` of all that was read.

    Data comes in pieces of at most 1 MiB that hold until the next one is taken, zeros as holes.
    """

    def __init__(self, fd: int, size: int, kind: Kind, progress: Progress) -> None:
        self._fd = fd
        self._size = size
        self._progress = progress
        self._hash: _Hash = _Extents(size) if kind == "extents-sha256" else _Bytes(kind)

    def __iter__(self) -> Iterator[Chunk]:
        offset, buffer = 0, bytearray(BUFFER)
        for run in runs(self._fd, self._size, lambda: self._progress.add(0)):
            yield from self._hole(run.offset - offset)
            self._hash.begin(run)
            for data in read_run(self._fd, run, buffer):
                self._hash.add(data)
                self._progress.add(len(data))
                yield Chunk(data)
            offset = run.end
        yield from self._hole(self._size - offset)

    def digest(self) -> str:
        """The digest, once the last chunk was taken."""
        return self._hash.digest()

    def _hole(self, length: int) -> Iterator[Chunk]:
        if length:
            self._hash.hole(length)
            yield Chunk(None, length)


class _Extents(ContentHash):
    def hole(self, length: int) -> None:
        """Holes are in the digest by the offsets of what lies between them."""


class _Bytes:
    def __init__(self, algorithm: str) -> None:
        self._name = algorithm
        self._hash = hashlib.new(algorithm, usedforsecurity=True)

    def hole(self, length: int) -> None:
        zeros = memoryview(bytes(BLOCK))
        while length:
            count = min(BLOCK, length)
            self._hash.update(zeros[:count])
            length -= count

    def begin(self, run: Run) -> None:
        """A run's place is told by the zeros before it."""

    def add(self, data: memoryview) -> None:
        self._hash.update(data)

    def digest(self) -> str:
        return f"{self._name}:{self._hash.hexdigest()}"
