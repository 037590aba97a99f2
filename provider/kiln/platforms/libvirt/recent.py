"""What was read of a whole node moments ago, shared by all who ask meanwhile.

A refresh asks for every guest by itself, hundreds at once. The first one to ask has all of them read in one go, on one
thread, and the others wait for that. What was read is told for a few seconds, and nothing that was changed through the
same node is told as it was before: it is read again by who asks for it, and the rest stays as it was read.

::

    get    what was there a few seconds ago, without what has been changed since
    now    what is there now: new things and changed ones are read, the others told as they were a few seconds ago
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Generic, TypeVar

from kiln.framework.context import Context
from kiln.platforms.libvirt.connection import Link, Opened
from kiln.platforms.libvirt.workers import Task

T = TypeVar("T")

KEPT_SECONDS = 10.0


class _Reading(Generic[T]):
    """One reading of everything, and what has become of it since. Guarded by the lock of who has it."""

    def __init__(self, task: Task[dict[str, T]]) -> None:
        self.task = task
        self.until = time.monotonic() + KEPT_SECONDS
        self.changes: dict[str, int] = {}
        self.again: dict[str, T] = {}

    def find(self, key: str) -> T | None:
        """A thing, unless it has been changed since it was read."""
        return self.again.get(key) if key in self.changes else self.task.future.result().get(key)

    def drop(self, key: str) -> None:
        """Note that a thing has been changed."""
        self.changes[key] = self.changes.get(key, 0) + 1
        self.again.pop(key, None)

    def put(self, key: str, thing: T, changes: int) -> None:
        """Take a thing that was read again after that many changes of it."""
        if self.changes.get(key, 0) == changes:
            self.changes[key] = changes
            self.again[key] = thing


class Recent(Generic[T]):
    """The things of one kind on a node by key, read when they are asked for.

    Args:
        link: the connection they are read over.
        doing: a verb phrase for errors, "read all guests".
        read_all: reads all of them, on a worker thread.
        seen: looks which there are, on a worker thread: the keys, each with the thing known by it as long as that is
            the same. It is given what finds the known one.
        read: reads the one with a key, on a worker thread; None when it is gone.
    """

    def __init__(
        self,
        link: Link,
        doing: str,
        *,
        read_all: Callable[[Opened], dict[str, T]],
        seen: Callable[[Opened, Callable[[str], T | None]], Mapping[str, T | None]],
        read: Callable[[Opened, str], T | None],
    ) -> None:
        self._link = link
        self._doing = doing
        self._read_all = read_all
        self._seen = seen
        self._read = read
        self._lock = threading.Lock()
        self._kept: _Reading[T] | None = None

    def get(self, ctx: Context, key: str) -> T | None:
        """A thing as it was at most ``KEPT_SECONDS`` ago, None when it was not there or has been changed since. Raises
        as ``Link.run`` does."""
        reading = self._reading(ctx)
        with self._lock:
            return reading.find(key)

    def now(self, ctx: Context) -> dict[str, T]:
        """All that is there now. Raises as ``Link.run`` does."""
        reading = self._reading(ctx)

        def known(key: str) -> T | None:
            with self._lock:
                return reading.find(key)

        def look(opened: Opened) -> dict[str, T]:
            found = dict(self._seen(opened, known))
            for key in [key for key, thing in found.items() if thing is None]:
                with self._lock:
                    changes = reading.changes.get(key, 0)
                found[key] = thing = self._read(opened, key)
                if thing is not None:
                    with self._lock:
                        reading.put(key, thing, changes)
            return {key: thing for key, thing in found.items() if thing is not None}

        return self._link.run(ctx, self._doing, look)

    def drop(self, key: str | None = None) -> None:
        """Forget the thing with that key, or all."""
        with self._lock:
            if key is None:
                self._kept = None
            elif self._kept is not None:
                self._kept.drop(key)

    @contextmanager
    def changing(self, key: str | None = None) -> Iterator[None]:
        """Around a change of the thing with that key, or of any: nothing of it that was read before the change's end is
        told after it, whether it fails or not."""
        try:
            yield
        finally:
            self.drop(key)

    def _reading(self, ctx: Context) -> _Reading[T]:
        """A reading that is not old, once it is there."""
        opened = self._link.open(ctx)
        with self._lock:
            reading = self._kept
            if reading is None or time.monotonic() > reading.until or opened.dead.is_set():
                reading = self._kept = _Reading(opened.workers.submit(lambda: self._read_all(opened)))
        try:
            self._link.wait(ctx, self._doing, opened, reading.task, shared=True)
        except BaseException:
            with self._lock:
                if self._kept is reading:
                    self._kept = None
            raise
        return reading
