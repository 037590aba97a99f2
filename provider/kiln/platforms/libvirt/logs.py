"""The logs of guests in the daemon's directory on this machine, by names that only Kiln gives.

::

    web-<uuid>.console.log       what a server wrote to its console (see ``paths.console_log``)
    web-<uuid>.console.log.0     the same, set aside by virtlogd when it was full
    kiln-probe-<tag>.log         what libvirt logged about a probe guest
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from kiln.framework.context import Context
from kiln.framework.errors import KilnError, Refused
from kiln.platforms.libvirt.codes import ErrorCode
from kiln.platforms.libvirt.connection import Link, Opened
from kiln.platforms.libvirt.faults import tolerating
from kiln.platforms.libvirt.paths import logs_directory
from kiln.platforms.libvirt.xml.parse import told_log
from kiln.ports.domains import GuestLog

_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_CONSOLE = re.compile(rf"(?P<name>.+)-(?P<uuid>{_UUID})\.console\.log(?:\.\d+)?")
_NUMBER = re.compile(r"\.\d+$")
_PROBE = re.compile(r"(?P<name>kiln-probe-[0-9a-f-]{8,})\.log")


def all_logs(link: Link) -> list[GuestLog]:
    """All logs of Kiln's guests. Raises KilnError when their directory may not be read."""
    directory = logs_directory(link.uri)
    if directory is None:
        return []
    try:
        return sorted(_logs(directory), key=lambda log: log.path)
    except FileNotFoundError:  # no guest has run here yet
        return []
    except OSError as error:
        raise KilnError(
            f"could not look for logs of guests in {directory}",
            cause=error.strerror,
            action="run it as root to see these too",
        ) from error


def delete(ctx: Context, link: Link, log: GuestLog) -> None:
    """Delete a log that no guest writes to. Raises Refused when one does, KilnError when it may not be deleted."""
    if link.run(ctx, f"look who writes to {log.path}", lambda opened: _in_use(opened, log)):
        raise Refused(f"a guest writes to {log.path}", action="leave it, or remove the guest first")
    try:
        Path(log.path).unlink(missing_ok=True)
    except OSError as error:
        raise KilnError(f"could not delete {log.path}", cause=error.strerror, action="run it as root") from error


def _logs(directory: Path) -> Iterator[GuestLog]:
    with os.scandir(directory) as entries:
        for entry in entries:
            found = _CONSOLE.fullmatch(entry.name) or _PROBE.fullmatch(entry.name)
            if found is None or not entry.is_file(follow_symlinks=False):
                continue
            with contextlib.suppress(FileNotFoundError):  # gone since it was listed
                changed = entry.stat(follow_symlinks=False).st_mtime
                yield GuestLog(entry.path, found["name"], found.groupdict().get("uuid"), changed)


def _in_use(opened: Opened, log: GuestLog) -> bool:
    """Whether the guest the log is of is there, or another one was told to write to it."""
    written = _NUMBER.sub("", log.path)
    for domain in opened.handle.listAllDomains(0):
        with tolerating(ErrorCode.NO_DOMAIN):  # gone since it was listed
            named = domain.name() == log.name if log.uuid is None else domain.UUIDString() == log.uuid
            if named or told_log(domain.XMLDesc(0)) == written:
                return True
    return False
