"""Copying a file into an empty one without its holes, with the digest taken on the way.

::

    reflink (FICLONE, ioctl_ficlonerange(2))      no byte moves; the digest is read from the source
    else copy_file_range(2), run by run           in this thread, while a second one hashes the same pages
    else read and write                           where the kernel cannot copy between the two file systems
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from kiln.framework.context import Context
from kiln.framework.errors import Refused
from kiln.transfer.content import file_version
from kiln.transfer.digest import BUFFER, Kind, digest_open_file
from kiln.transfer.extents import Run, read_run, runs
from kiln.transfer.progress import Progress

_FICLONE: Final = 0x40049409
_PIECE = 16 << 20
_CANNOT_CLONE = {errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS, errno.EPERM, errno.ETXTBSY}
_CANNOT_COPY = {errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM, errno.EIO}


class _Abandoned(Exception):
    """The copy failed, so the digest is not wanted any more."""


def copy(
    ctx: Context, source: int, target: int, kind: Kind, doing: str, *, room: Callable[[int], None] | None = None
) -> str:
    """Copy the open file ``source`` into the empty open file ``target``, sync it, and return the digest of ``kind``.

    Blocks of zeros are left as holes. The two are the same length afterwards. ``room`` is called with the bytes that
    the source takes, once it is known that they will be written and not shared; it raises when they do not fit.

    Raises:
        OSError: reading or writing failed (ENOSPC among them).
        Refused: the source changed while it was copied.
        Cancelled, DeadlineExceeded: it was time to stop.
    """
    before = os.fstat(source)
    abandoned = threading.Event()

    def check() -> None:
        if abandoned.is_set():
            raise _Abandoned
        ctx.check(doing)

    with ThreadPoolExecutor(1, "digest") as pool:
        digest: Future[str] = pool.submit(digest_open_file, source, before.st_size, kind, check)
        try:
            _fill(ctx, source, target, before, doing, room)
        except BaseException:
            abandoned.set()
            raise
        result = digest.result()
    if file_version(before) != file_version(os.fstat(source)):
        raise Refused(
            f"{doing} was stopped: the file changed meanwhile", action="wait until it is complete, then run again"
        )
    return result


def _fill(
    ctx: Context, source: int, target: int, before: os.stat_result, doing: str, room: Callable[[int], None] | None
) -> None:
    if not clone(source, target):
        allocated = min(before.st_size, before.st_blocks * 512)
        if room:
            room(allocated)
        os.ftruncate(target, before.st_size)
        progress = Progress(ctx, doing, allocated)
        for run in runs(source, before.st_size, lambda: ctx.check(doing)):
            _copy_run(source, target, run, progress)
    ctx.check(doing)
    os.fsync(target)


def clone(source: int, target: int) -> bool:
    """Make ``target`` share the blocks of ``source`` (a reflink); False where the file system cannot."""
    import fcntl

    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno in _CANNOT_CLONE:
            return False
        raise
    return True


def _copy_run(source: int, target: int, run: Run, progress: Progress) -> None:
    offset = run.offset
    while offset < run.end:
        length = min(_PIECE, run.end - offset)
        try:
            count = os.copy_file_range(source, target, length, offset, offset)
        except OSError as error:
            if error.errno not in _CANNOT_COPY:
                raise
            count = 0
        if count == 0:
            _read_and_write(source, target, Run(offset, run.end - offset), progress.add)
            return
        progress.add(count)
        offset += count


def _read_and_write(source: int, target: int, run: Run, copied: Callable[[int], None]) -> None:
    offset = run.offset
    for data in read_run(source, run, bytearray(BUFFER)):
        write_at(target, data, offset)
        copied(len(data))
        offset += len(data)


def write_at(fd: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of ``data`` at ``offset``."""
    view = memoryview(data)
    while view:
        count = os.pwrite(fd, view, offset)
        view, offset = view[count:], offset + count
