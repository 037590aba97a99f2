"""Threads that run blocking calls, so that a call which never returns blocks a thread and not an operation.

``concurrent.futures.ThreadPoolExecutor`` is not used because the interpreter waits for its threads at exit, and a
thread that hangs in a C call would never let it go.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from kiln.framework.context import Context
from kiln.framework.errors import Cancelled, DeadlineExceeded

T = TypeVar("T")

QUEUE_SECONDS = 600.0
CANCEL_GRACE_SECONDS = 3.0


class Task(Generic[T]):
    """Work handed to a thread: when it began and what came of it."""

    def __init__(self, work: Callable[[], T]) -> None:
        self.future: Future[T] = Future()
        self.changed = threading.Condition()
        self.begun = False
        self._work = work

    def run(self) -> None:
        """Do the work on the calling thread, unless it was dropped before."""
        if not self.future.set_running_or_notify_cancel():
            return
        self._note()
        try:
            result = self._work()
        except BaseException as error:
            self.future.set_exception(error)
        else:
            self.future.set_result(result)
        self._note(done=True)

    def result(self, ctx: Context, doing: object, seconds: float, *, shared: bool = False) -> T:
        """What the work returned or raised; ``seconds`` count from when it began, not while it waits for a thread.

        Work that nobody waits for any more is dropped if it has not begun, unless it is ``shared`` with others.

        Raises:
            DeadlineExceeded: it did not end in time.
            Cancelled: the user interrupted, and it did not end within a few seconds either.
        """
        if self.future.done():
            return self.future.result()
        with ctx.cancellation.on_cancel(self._note):
            ready = self._wait(ctx, lambda: self.begun or self.future.done(), QUEUE_SECONDS) and self._wait(
                ctx, self.future.done, seconds
            )
        if ready or self.future.done():
            return self.future.result()
        if ctx.cancellation.cancelled:
            # What was sent to the node mostly ends at once, and then its effect is known.
            with self.changed:
                if self.begun and self.changed.wait_for(self.future.done, CANCEL_GRACE_SECONDS):
                    return self.future.result()
            self._give_up(shared=shared)
            raise Cancelled(f"{doing} was cancelled")
        self._give_up(shared=shared)
        raise DeadlineExceeded(f"could not {doing}", cause="the node did not answer in time")

    def _give_up(self, *, shared: bool) -> None:
        if not shared:
            self.future.cancel()

    def _wait(self, ctx: Context, ready: Callable[[], bool], seconds: float) -> bool:
        with self.changed:
            self.changed.wait_for(lambda: ready() or ctx.cancellation.cancelled, ctx.remaining(seconds))
            return ready()

    def _note(self, *, done: bool = False) -> None:
        with self.changed:
            self.begun = self.begun or done or self.future.running()
            self.changed.notify_all()


class Workers:
    """Up to ``count`` daemon threads, started when there is work for them."""

    def __init__(self, count: int, name: str) -> None:
        self._count = count
        self._name = name
        self._lock = threading.Lock()
        self._threads = 0
        self._idle = 0
        self._closed = False
        self._tasks: queue.SimpleQueue[Task[Any] | None] = queue.SimpleQueue()

    def submit(self, work: Callable[[], T]) -> Task[T]:
        """Run ``work`` on a thread as soon as one is free.

        The task fails with ConnectionAbortedError when the workers were closed.
        """
        task = Task(work)
        with self._lock:
            if self._closed:
                task.future.set_exception(ConnectionAbortedError("the connection was closed"))
                return task
            if self._idle:
                self._idle -= 1
            elif self._threads < self._count:
                self._threads += 1
                threading.Thread(target=self._serve, name=f"{self._name}-{self._threads}", daemon=True).start()
            self._tasks.put(task)
        return task

    def close(self) -> None:
        """Let the threads end once they have done what was submitted."""
        with self._lock:
            self._closed = True
            for _ in range(self._threads):
                self._tasks.put(None)

    def _serve(self) -> None:
        while (task := self._tasks.get()) is not None:
            task.run()
            del task
            with self._lock:
                self._idle += 1
