"""Removing a guest's definition with all that libvirt keeps beside it: NVRAM, TPM state, saved memory, and what it
knows of snapshots and checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kiln.framework.context import Context
from kiln.platforms.libvirt.codes import DomainUndefine, ErrorCode
from kiln.platforms.libvirt.connection import Link, Opened
from kiln.platforms.libvirt.faults import code_of, tolerating
from kiln.platforms.libvirt.guests import Doing, Guest

_ALL = (
    DomainUndefine.MANAGED_SAVE
    | DomainUndefine.SNAPSHOTS_METADATA
    | DomainUndefine.NVRAM
    | DomainUndefine.CHECKPOINTS_METADATA
    | DomainUndefine.TPM
)
_NEWER = (DomainUndefine.TPM, DomainUndefine.CHECKPOINTS_METADATA)
"""What libvirts before 8.9 and 5.6 do not know, and drivers other than QEMU never do."""


@dataclass(frozen=True)
class Gone:
    """A guest that has no definition any more, and the names of its snapshots that libvirt knew."""

    name: str
    snapshots: tuple[str, ...]


def undefine(ctx: Context, link: Link, uuid: str) -> Gone | None:
    """Remove the definition; None when there is no such guest."""
    guest = Guest(uuid)

    def work(opened: Opened) -> Gone | None:
        with tolerating(ErrorCode.NO_DOMAIN):
            domain = guest.find(opened)
            snapshots = _snapshots(domain)
            _undefine(domain)
            return Gone(str(domain.name()), snapshots)
        return None

    return link.run(ctx, Doing("remove the definition of", guest), work)


def _snapshots(domain: Any) -> tuple[str, ...]:
    with tolerating(ErrorCode.NO_SUPPORT):
        return tuple(sorted(domain.snapshotListNames(0))) if domain.snapshotNum(0) else ()
    return ()


def _undefine(domain: Any, flags: DomainUndefine = _ALL, newer: tuple[DomainUndefine, ...] = _NEWER) -> None:
    try:
        domain.undefineFlags(flags)
    except Exception as error:
        if not newer or code_of(error) != ErrorCode.INVALID_ARG:
            raise
        _undefine(domain, flags & ~newer[0], newer[1:])
