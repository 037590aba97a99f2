"""Where incoming bytes go: into a sparse file, hashed or expanded on the way."""

from __future__ import annotations

import hashlib
import os
from typing import Protocol

from kiln.transfer.compression import LONGEST_MAGIC, Expander, compression_of
from kiln.transfer.digest import Checksum
from kiln.transfer.extents import BLOCK, is_zero
from kiln.transfer.sparse import write_at


class Sink(Protocol):
    """Takes bytes in order."""

    def write(self, data: bytes) -> None:
        """Take the next bytes. Raises OSError, or Flaw when the bytes cannot be used."""

    def restart(self) -> None:
        """Forget everything: the next bytes are the first ones."""

    def finish(self) -> None:
        """Say that all bytes were given. Raises OSError, or Flaw when some are missing."""


class SparseFile:
    """A sink that writes an open file and leaves blocks of zeros out."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._offset = 0

    def write(self, data: bytes) -> None:
        """Write what is not zero."""
        view, position = memoryview(data), 0
        while position < len(view):
            take = min(len(view) - position, BLOCK - (self._offset + position) % BLOCK)
            piece = view[position : position + take]
            if not is_zero(bytes(piece)):
                write_at(self._fd, piece, self._offset + position)
            position += take
        self._offset += len(view)

    def restart(self) -> None:
        """Empty the file."""
        os.ftruncate(self._fd, 0)
        self._offset = 0

    def finish(self) -> None:
        """Give the file its length."""
        os.ftruncate(self._fd, self._offset)


class Hashed:
    """A sink that takes the checksum of what passes to another one."""

    def __init__(self, inner: Sink, algorithm: str) -> None:
        self._inner = inner
        self._algorithm = algorithm
        self._hash = hashlib.new(algorithm, usedforsecurity=True)

    def write(self, data: bytes) -> None:
        """Hash and pass on."""
        self._hash.update(data)
        self._inner.write(data)

    def restart(self) -> None:
        """Begin a new checksum."""
        self._hash = hashlib.new(self._algorithm, usedforsecurity=True)
        self._inner.restart()

    def finish(self) -> None:
        """Pass on."""
        self._inner.finish()

    def matches(self, checksum: Checksum) -> bool:
        """Whether what passed has this checksum."""
        return self._hash.hexdigest() == checksum.hex


class Unpacked:
    """A sink that expands compressed content, told by its first bytes, and passes everything else on as it is."""

    def __init__(self, inner: Sink) -> None:
        self._inner = inner
        self._head = b""
        self._decided = False
        self._expander: Expander | None = None

    def write(self, data: bytes) -> None:
        """Expand, or pass on."""
        if not self._decided:
            self._head += data
            if len(self._head) < LONGEST_MAGIC:
                return
            data = self._decide()
        self._pass(data)

    def restart(self) -> None:
        """Look at the first bytes again."""
        self._head, self._decided, self._expander = b"", False, None
        self._inner.restart()

    def finish(self) -> None:
        """End the expansion."""
        if not self._decided:
            self._pass(self._decide())
        if self._expander is not None:
            self._expander.finish()
        self._inner.finish()

    def _decide(self) -> bytes:
        compression = compression_of(self._head)
        self._expander = Expander(compression) if compression else None
        self._decided = True
        head, self._head = self._head, b""
        return head

    def _pass(self, data: bytes) -> None:
        if self._expander is None:
            self._inner.write(data)
            return
        for piece in self._expander.expand(data):
            self._inner.write(piece)
