"""Waiting for what a guest writes to its console's log file."""

from __future__ import annotations

import time
from pathlib import Path

LIMIT = 60.0


def wait_for_line(log: Path, word: str) -> str:
    """The first line with ``word`` in the log, as soon as it is there. Raises AssertionError after a minute."""
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        for line in lines:
            if word in line:
                return line
        time.sleep(0.1)
    raise AssertionError(f"no line with {word!r} in {log}")
