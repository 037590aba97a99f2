"""Where things lie on a node: what the daemon of a URI may write and its guests may read."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from kiln.platforms.libvirt.uris import is_local, is_session


def console_log(uri: str, name: str, uuid: str) -> str | None:
    """The file that a guest's console output goes to; None where the place is not known.

    The directory is the daemon's own for such files, which confinement (AppArmor, SELinux) lets its log daemon write.
    The UUID keeps a new guest from continuing the log of an old one of its name.
    """
    return _log(uri, f"{name}-{uuid}.console.log")


def guest_log(uri: str, name: str) -> str | None:
    """The file that libvirt itself logs about a guest in; None where the place is not known."""
    return _log(uri, f"{name}.log")


def logs_directory(uri: str) -> Path | None:
    """Where the daemon of this machine's ``uri`` keeps its guests' logs; None where that is not known for certain: on
    another machine, and of a daemon with a socket or a root of its own."""
    parts = urlsplit(uri)
    usual = parts.path in {"/system", "/session"} and not parts.query and parts.scheme.partition("+")[0] == "qemu"
    log = guest_log(uri, "") if usual and is_local(uri) else None
    return None if log is None else Path(log).parent


def pool_directory(uri: str, name: str) -> str | None:
    """The directory for a new pool: beside libvirt's own, where policies expect guests' disks; None if unknown."""
    if not is_session(uri):
        return f"/var/lib/libvirt/images/{name}"
    return str(_xdg("XDG_DATA_HOME", ".local/share") / "libvirt/images" / name) if is_local(uri) else None


def cache_directory() -> Path:
    """Where this user's Kiln keeps what can be found out again."""
    return _xdg("XDG_CACHE_HOME", ".cache") / "kiln"


def _log(uri: str, file: str) -> str | None:
    if not is_session(uri):
        return f"/var/log/libvirt/qemu/{file}"
    # A session daemon of another machine has its user's home directory, which libvirt does not tell.
    return str(_xdg("XDG_CACHE_HOME", ".cache") / "libvirt/qemu/log" / file) if is_local(uri) else None


def _xdg(variable: str, default: str) -> Path:
    value = os.environ.get(variable, "")
    return Path(value) if value.startswith("/") else Path.home() / default
