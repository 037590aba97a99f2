"""Waiting for what a guest does in its own time."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

LIMIT = 60.0


def until(true: Callable[[], bool], limit: float = LIMIT) -> None:
    """Return as soon as it is true. Raises AssertionError after ``limit`` seconds."""
    deadline = time.monotonic() + limit
    while not true():
        assert time.monotonic() < deadline, "it did not become true"
        time.sleep(0.05)


def wait_for_line(log: Path, word: str) -> str:
    """The first line with ``word`` in the log, as soon as it is there. Raises AssertionError after a minute."""
    found: list[str] = []

    def seen() -> bool:
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        found.extend(line for line in lines if word in line)
        return bool(found)

    until(seen)
    return found[0]
