"""Where a file has data: holes by SEEK_DATA and SEEK_HOLE (lseek(2)), zeros by looking."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

BLOCK = 64 << 10
"""The unit in which content is zero or not. A part of the extents digest's definition: never change it."""
WINDOW = 8 << 20
_PEEK = 64
_ZEROS = bytes(BLOCK)

Check = Callable[[], None]
"""Called often during long work; raises to stop it."""


def unchecked() -> None:
    """A check for work that nobody stops."""


@dataclass(frozen=True)
class Run:
    """A piece of a file, in bytes."""

    offset: int
    length: int

    @property
    def end(self) -> int:
        """The offset after the last byte."""
        return self.offset + self.length


def extents(fd: int, size: int) -> Iterator[Run]:
    """The pieces that the file system stores, in order; the whole file where it cannot tell."""
    offset = 0
    while offset < size:
        try:
            start = os.lseek(fd, offset, os.SEEK_DATA)
            end = os.lseek(fd, start, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                raise
            start, end = offset, size
        if start < size:
            yield Run(start, min(end, size) - start)
        offset = end


def runs(fd: int, size: int, check: Check = unchecked) -> Iterator[Run]:
    """The maximal runs of 64 KiB blocks that are not all zero, in order; the last one ends with the file.

    The same content gives the same runs however the file system lays out its holes.
    """
    start = end = -1
    for block in _candidates(fd, size, check):
        if block != end:
            if start >= 0:
                yield Run(start, end - start)
            start = block
        end = min(block + BLOCK, size)
    if start >= 0:
        yield Run(start, end - start)


def _candidates(fd: int, size: int, check: Check) -> Iterator[int]:
    """The offsets of the blocks that hold anything but zeros."""
    done, announced = 0, 0
    for extent in extents(fd, size):
        for block in range(max(done, extent.offset // BLOCK * BLOCK), extent.end, BLOCK):
            if block >= announced:
                check()
                # Reading the first bytes of each block looks random to the kernel: ask for what comes next.
                announced = block + WINDOW // 2
                os.posix_fadvise(fd, block, WINDOW, os.POSIX_FADV_WILLNEED)
            if not is_zero(os.pread(fd, _PEEK, block)) or not is_zero(os.pread(fd, min(BLOCK, size - block), block)):
                yield block
        done = -(-extent.end // BLOCK) * BLOCK


def is_zero(data: bytes) -> bool:
    """Whether at most 64 KiB of data are all zero (a memcmp; ``any()`` is a hundred times slower)."""
    return _ZEROS.startswith(data)


def read_run(fd: int, run: Run, buffer: bytearray, check: Check = unchecked) -> Iterator[memoryview]:
    """The bytes of a run through ``buffer``; each view holds until the next one is taken.

    Raises:
        OSError: EIO when the file ends inside the run.
    """
    view = memoryview(buffer)
    offset = run.offset
    while offset < run.end:
        check()
        count = os.preadv(fd, [view[: min(len(buffer), run.end - offset)]], offset)
        if count == 0:
            raise OSError(errno.EIO, "the file became shorter while it was read")
        yield view[:count]
        offset += count
