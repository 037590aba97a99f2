"""The one directory and the one prefix under which a run of the benches makes everything, and its removal."""

from __future__ import annotations

import os
import re
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PREFIX = "kiln-bench-"
PARENT = Path("/var/tmp")
"""A disk on every distribution, where /tmp may be memory; guests must be able to reach it."""

MARKER = "KILN_BENCH"
"""Environment variable of every process that a bench starts, by which a straggler is found."""

STRAGGLER_SECONDS = 15.0


@dataclass(frozen=True)
class Scratch:
    """A directory of this run's own, and the prefix of all names it gives to what lies elsewhere."""

    directory: Path
    prefix: str

    def subdirectory(self, name: str) -> Path:
        """A fresh, empty directory that guests can reach."""
        directory = self.directory / name
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        directory.chmod(0o711)
        return directory


@contextmanager
def scratch() -> Iterator[Scratch]:
    """A scratch directory that goes away with everything in it, and with the processes that still use it."""
    for directory in abandoned(PARENT):
        shutil.rmtree(directory, ignore_errors=True)
    prefix = f"{PREFIX}{os.getpid()}"
    directory = Path(tempfile.mkdtemp(prefix=f"{prefix}-", dir=PARENT))
    directory.chmod(0o711)
    os.environ[MARKER] = prefix
    try:
        yield Scratch(directory, prefix)
    finally:
        del os.environ[MARKER]
        shutil.rmtree(directory, ignore_errors=True)


def abandoned(parent: Path) -> list[Path]:
    """The directories of runs that were killed before they could clear away."""
    return [path for path in parent.glob(f"{PREFIX}*") if is_abandoned(path.name)]


def is_abandoned(name: str) -> bool:
    """Whether a name was given by a run whose process is no more."""
    found = re.match(rf"{PREFIX}(\d+)(?!\d)", name)
    return found is not None and not Path("/proc", found[1]).exists()


def end_stragglers(prefix: str) -> None:
    """Interrupt the processes that this run started and that still run (after Ctrl-C), and wait until they are gone."""
    deadline = time.monotonic() + STRAGGLER_SECONDS
    number = signal.SIGINT
    while found := _started_by(prefix):
        for pid in found:
            _signal(pid, number)
        number = signal.SIGKILL if time.monotonic() > deadline else signal.SIGCONT
        time.sleep(0.1)


def _started_by(prefix: str) -> list[int]:
    wanted = f"{MARKER}={prefix}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environment = (process / "environ").read_bytes()
        except OSError:
            continue
        if wanted in environment.split(b"\0") and int(process.name) != os.getpid():
            found.append(int(process.name))
    return found


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
