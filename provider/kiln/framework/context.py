"""What every effect is handed: a deadline, a cancellation signal, and a way to tell the user what goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

from kiln.framework.errors import Cancelled, DeadlineExceeded


class Log(Protocol):
    """Where messages for the user go. ``status`` is ephemeral: each one replaces the one before."""

    def info(self, message: str) -> None:
        """Tell the user something worth keeping."""

    def warning(self, message: str) -> None:
        """Tell the user something they should act on."""

    def status(self, message: str) -> None:
        """Show progress; the next status replaces it."""

    def debug(self, message: str) -> None:
        """Tell a developer something."""


class SilentLog:
    """A log for callers that have nobody to tell."""

    def info(self, message: str) -> None:
        """Drop the message."""

    def warning(self, message: str) -> None:
        """Drop the message."""

    def status(self, message: str) -> None:
        """Drop the message."""

    def debug(self, message: str) -> None:
        """Drop the message."""


class Cancellation:
    """A signal that can be raised once, from any thread, and waited for."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._callbacks: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    def cancel(self) -> None:
        """Raise the signal. A second call does nothing."""
        with self._lock:
            if self._event.is_set():
                return
            self._event.set()
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    @property
    def cancelled(self) -> bool:
        """Whether the signal was raised."""
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait up to ``seconds`` for the signal; True when it was raised."""
        return self._event.wait(seconds)

    @contextmanager
    def on_cancel(self, callback: Callable[[], None]) -> Iterator[None]:
        """Run ``callback`` when the signal is raised while the block runs (at once when it already was)."""
        with self._lock:
            raised = self._event.is_set()
            if not raised:
                self._callbacks.append(callback)
        if raised:
            callback()
        try:
            yield
        finally:
            with self._lock:
                if callback in self._callbacks:
                    self._callbacks.remove(callback)


class StepObserver(Protocol):
    """Sees each step before and after it runs. Raising from either is the way a test injects a fault."""

    def before(self, step: str) -> None:
        """Called before the step named ``step``."""

    def after(self, step: str) -> None:
        """Called after the step named ``step`` succeeded."""


@dataclass(frozen=True)
class Context:
    """The surroundings of one operation.

    ``deadline`` is a ``time.monotonic()`` value, or None for no limit. ``urn`` is the resource's URN (a hint that ends
    up in ownership marks, never proof), ``preview`` is True when nothing may be changed.
    """

    log: Log = field(default_factory=SilentLog)
    cancellation: Cancellation = field(default_factory=Cancellation)
    deadline: float | None = None
    urn: str = ""
    preview: bool = False
    observer: StepObserver | None = None

    def limited(self, seconds: float | None) -> Context:
        """A copy whose deadline is at most ``seconds`` from now."""
        if seconds is None:
            return self
        deadline = time.monotonic() + seconds
        return replace(self, deadline=deadline if self.deadline is None else min(self.deadline, deadline))

    def unhurried(self, seconds: float) -> Context:
        """A copy for undoing: ``seconds`` from now whatever the old deadline, and deaf to cancellation."""
        return replace(self, deadline=time.monotonic() + seconds, cancellation=Cancellation())

    def remaining(self, at_most: float) -> float:
        """Seconds left, never more than ``at_most`` and never below zero."""
        if self.deadline is None:
            return at_most
        return max(0.0, min(at_most, self.deadline - time.monotonic()))

    def check(self, doing: str = "the operation") -> None:
        """Raise ``Cancelled`` or ``DeadlineExceeded`` when it is time to stop; ``doing`` names what was under way."""
        if self.cancellation.cancelled:
            raise Cancelled(f"{doing} was cancelled")
        if self.deadline is not None and time.monotonic() >= self.deadline:
            raise DeadlineExceeded(
                f"{doing} did not end in time",
                action="raise the resource's timeout (customTimeouts) or find what blocks it",
            )

    def sleep(self, seconds: float, doing: str = "the operation") -> None:
        """Wait, ending early with ``Cancelled`` or ``DeadlineExceeded``."""
        self.check(doing)
        self.cancellation.wait(self.remaining(seconds))
        self.check(doing)
