"""Progress lines on standard error, and commands that stay quiet until they fail (standard library only)."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

Progress = Callable[[str], None]
"""Takes one line that says what is being done."""

TAIL_LINES = 40
QUIET_INTERVAL = 15.0
"""Seconds between two signs of life of a long command where the output is no terminal."""


class ToolError(Exception):
    """A tool cannot go on; the message says why and what to do next."""


def verbose() -> bool:
    """Tell whether ``VERBOSE=1`` asks for the output of every command."""
    return os.environ.get("VERBOSE", "") not in {"", "0"}


def say(text: str) -> None:
    """Print one line on standard error, which leaves standard output to results."""
    print(f"kiln: {text}", file=sys.stderr, flush=True)


def run(
    command: Sequence[str | Path],
    what: str,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    progress: Progress = say,
) -> None:
    """Run *command* with its output kept back, and tell on *progress* how long it takes.

    *env* is added to the environment. Raises ToolError with the end of the output when the command fails.
    """
    full_env = {**os.environ, **(env or {})}
    if verbose():
        if subprocess.run(command, env=full_env, cwd=cwd, stdin=subprocess.DEVNULL, check=False).returncode:
            raise ToolError(f"{what} failed: {' '.join(map(str, command))}")
        return
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        process = subprocess.Popen(
            command, env=full_env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            _wait(process, what, progress)
        except BaseException:
            process.terminate()
            process.wait()
            raise
        if process.returncode:
            raise ToolError(f"{what} failed: {' '.join(map(str, command))}\n{_tail(output)}")


def _wait(process: subprocess.Popen[bytes], what: str, progress: Progress) -> None:
    """Wait, and show the seconds that have passed: in place on a terminal, else in a line now and then."""
    in_place = progress is say and sys.stderr.isatty()
    started = time.monotonic()
    while True:
        try:
            process.wait(1.0 if in_place else QUIET_INTERVAL)
        except subprocess.TimeoutExpired:
            line = f"  … {what}: {time.monotonic() - started:.0f} s"
            if in_place:
                print(f"\r{line}", end="", file=sys.stderr, flush=True)
            else:
                progress(line)
        else:
            break
    if in_place:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _tail(output: IO[str]) -> str:
    output.seek(0)
    return "\n".join(output.read().splitlines()[-TAIL_LINES:])
