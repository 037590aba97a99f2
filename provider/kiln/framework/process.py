"""Processes, told so that others can find out whether they still run, from another machine as far as that goes."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_TAG = re.compile(r"([0-9a-f]{8})([0-9a-f]{8})-([0-9a-f]+)-([0-9a-f]+)-[0-9a-f]{8}")
_ENDED = frozenset("ZXx")
"""The states of processes that have ended."""


@dataclass(frozen=True)
class Process:
    """A process: the machine it runs on with its pid namespace, since pids mean nothing outside it, the boot of that
    machine, its pid, and its start in clock ticks since boot (proc(5), field 22 of stat)."""

    machine: str
    boot: str
    pid: int
    started: int

    def runs(self) -> bool | None:
        """Whether it still runs; None when it is of another machine, where nobody can tell."""
        machine, boot = _machine()
        if self.machine != machine:
            return None
        return self.boot == boot and _started(self.pid) == self.started


def this_process() -> Process:
    """This process."""
    machine, boot = _machine()
    return Process(machine, boot, os.getpid(), _started(os.getpid()) or 0)


def tag() -> str:
    """A word for the name of something short-lived: new each time, and telling that this process made it."""
    made = this_process()
    return f"{_short(made.machine)}{_short(made.boot)}-{made.pid:x}-{made.started:x}-{secrets.token_hex(4)}"


def maker_runs(word: str) -> bool | None:
    """Whether the process that made the tag ``word`` still runs; None when it is of another machine, or is no tag."""
    found = _TAG.fullmatch(word)
    machine, boot = _machine()
    if found is None or found[1] != _short(machine):
        return None
    return found[2] == _short(boot) and _started(int(found[3], 16)) == int(found[4], 16)


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


@cache
def _machine() -> tuple[str, str]:
    try:
        machine = Path("/etc/machine-id").read_text().strip() or socket.gethostname()
    except OSError:
        machine = socket.gethostname()
    namespace = os.readlink("/proc/self/ns/pid")
    return f"{machine} {namespace}", Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _started(pid: int) -> int | None:
    """When a process started; None when there is none, or it has ended and its parent did not ask how (proc(5))."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in _ENDED else int(fields[19])
