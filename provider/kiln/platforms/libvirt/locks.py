"""Locks between all Kiln processes of a user, one per thing on a node: a pool is made or refreshed by one at a time.

libvirt refuses to refresh a pool in which another client's volume is being built ("pool has asynchronous jobs
running"), and two clients that make one pool at once disturb each other.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager

from kiln.framework.context import Context
from kiln.platforms.libvirt.paths import cache_directory

_POLL_SECONDS = 0.05


@contextmanager
def locked(ctx: Context, uri: str, thing: str) -> Iterator[None]:
    """Hold the lock of ``thing`` ("pool kiln") on the node ``uri``; another thread's or process's hold is waited for.

    Raises:
        Cancelled, DeadlineExceeded: it was not free in time.
    """
    directory = cache_directory() / "locks"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = hashlib.sha256(f"{uri}\0{thing}".encode()).hexdigest()[:32]
    # A file lock belongs to the open file, so that it also holds between threads. The kernel drops it with the process.
    file = os.open(directory / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        while not _taken(file):
            ctx.sleep(_POLL_SECONDS, f"waiting for the lock of {thing}")
        yield
    finally:
        os.close(file)


def _taken(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
