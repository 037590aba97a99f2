"""What was read of a whole node moments ago, shared by all who ask meanwhile.

A refresh asks for every guest by itself, hundreds at once. The first one to ask has all of them read in one go, on one
thread, and the others wait for that. What was read is told for a few seconds, and never past a change made through the
same node: a reading that began before a change ended is dropped when it ends.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from kiln.framework.context import Context
from kiln.platforms.libvirt.connection import Link, Opened
from kiln.platforms.libvirt.workers import Task

T = TypeVar("T")

KEPT_SECONDS = 10.0


@dataclass(frozen=True)
class _Reading(Generic[T]):
    task: Task[T]
    until: float


class Recent(Generic[T]):
    """One reading of a node, made when it is asked for.

    Args:
        link: the connection it is read over.
        doing: a verb phrase for errors, "read all guests".
        read: reads it, on a worker thread.
    """

    def __init__(self, link: Link, doing: str, read: Callable[[Opened], T]) -> None:
        self._link = link
        self._doing = doing
        self._read = read
        self._lock = threading.Lock()
        self._kept: _Reading[T] | None = None

    def get(self, ctx: Context) -> T:
        """What was read, at most ``KEPT_SECONDS`` ago. Raises as ``Link.run`` does."""
        opened = self._link.open(ctx)
        with self._lock:
            reading = self._kept
            if reading is None or time.monotonic() > reading.until or opened.dead.is_set():
                task = opened.workers.submit(lambda: self._read(opened))
                reading = self._kept = _Reading(task, time.monotonic() + KEPT_SECONDS)
        try:
            return self._link.wait(ctx, self._doing, opened, reading.task, shared=True)
        except BaseException:
            with self._lock:
                if self._kept is reading:
                    self._kept = None
            raise

    def drop(self) -> None:
        """Forget what was read."""
        with self._lock:
            self._kept = None

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Around a change: nothing that was read before its end is told after it, whether it fails or not."""
        try:
            yield
        finally:
            self.drop()
