"""Moving the disks of one libvirt node's guests. Fits ``ports.Moves``.

A running guest's disk is copied by ``virDomainBlockCopy`` into a volume that is there already; QEMU sends what the
guest writes meanwhile to both. libvirt changes the definition together with the guest at the pivot.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from kiln.framework.context import Context
from kiln.framework.errors import KilnError
from kiln.platforms.libvirt.codes import Affect, BlockCopy, BlockJobAbort, DomainXml, ErrorCode
from kiln.platforms.libvirt.connection import Link, Opened
from kiln.platforms.libvirt.contents import Contents
from kiln.platforms.libvirt.faults import tolerating
from kiln.platforms.libvirt.guests import Doing, Guest
from kiln.platforms.libvirt.xml.disk import moved, stored_in
from kiln.platforms.libvirt.xml.parse import disk_document, disk_path
from kiln.platforms.libvirt.xml.text import Element, dump
from kiln.ports.volumes import Volume

_POLL_SECONDS = 0.2
_UNDO_SECONDS = 30.0
# Until both are the same for a moment, which a guest that writes a lot delays.
_PIVOT_SECONDS = 120.0


class LibvirtMoves:
    """``changing`` is put around what changes a guest; ``contents`` is what was read of the volumes."""

    def __init__(self, link: Link, contents: Contents, changing: Callable[[], AbstractContextManager[None]]) -> None:
        self._link = link
        self._contents = contents
        self._changing = changing

    def obstacle(self, ctx: Context, uuid: str) -> str | None:
        """Why no disk of this guest can be moved now."""
        guest = Guest(uuid)
        return self._link.run(ctx, Doing("look at", guest), lambda opened: _obstacle(guest.find(opened)))

    def mirror(self, ctx: Context, uuid: str, target: str, to: Volume) -> None:
        """Copy a running guest's disk to a volume, until both get every write."""
        guest = Guest(uuid)
        doing = Doing(f"copy '{target}' of", guest, f" to '{to.ref}'")
        flags = BlockCopy.REUSE_EXT | BlockCopy.TRANSIENT_JOB
        document = dump(stored_in(to))
        try:
            with self._contents.changing():
                self._link.run(ctx, doing, lambda opened: guest.find(opened).blockCopy(target, document, {}, flags))
                done = 0
                while done < 100:
                    ctx.sleep(_POLL_SECONDS, str(doing))
                    done = self._link.run(ctx, doing, lambda opened: _progress(guest.find(opened), target, to))
                    ctx.log.status(f"copying '{target}': {done} %")
        except BaseException:
            self.unmirror(ctx.unhurried(_UNDO_SECONDS), uuid, target, to)
            raise

    def pivot(self, ctx: Context, uuid: str, target: str, to: Volume) -> None:
        """Let the guest have the volume that it is mirrored to."""

        def work(domain: Any) -> None:
            found = disk_document(domain.XMLDesc(0), target)
            if found is None or disk_path(found) != to.path:
                domain.blockJobAbort(target, BlockJobAbort.PIVOT)

        self._on(ctx, f"switch '{target}' to '{to.ref}' in", uuid, work, seconds=_PIVOT_SECONDS)

    def unmirror(self, ctx: Context, uuid: str, target: str, to: Volume) -> None:
        """End mirroring to a volume."""
        self._on(ctx, f"end the copy of '{target}' in", uuid, partial(_unmirror, target=target, path=to.path))

    def repoint(self, ctx: Context, uuid: str, target: str, to: Volume) -> None:
        """Let the definition have the volume as that disk."""

        def work(domain: Any) -> None:
            found = disk_document(domain.XMLDesc(DomainXml.INACTIVE | DomainXml.SECURE), target)
            if found is not None:
                domain.updateDeviceFlags(dump(moved(found, to)), Affect.CONFIG)

        self._on(ctx, f"define '{target}' as '{to.ref}' in", uuid, work)

    def _on(self, ctx: Context, verb: str, uuid: str, work: Callable[[Any], None], *, seconds: float = 60.0) -> None:
        guest = Guest(uuid)
        with self._changing():
            self._link.run(ctx, Doing(verb, guest), lambda opened: _found(guest, opened, work), seconds=seconds)


def _found(guest: Guest, opened: Opened, work: Callable[[Any], None]) -> None:
    work(guest.find(opened))


def _obstacle(domain: Any) -> str | None:
    if domain.hasManagedSaveImage():
        return "it is saved with its memory, which goes with the disk as it is"
    if domain.snapshotNum(0):
        return "it has snapshots, which hold on to the disk as it is"
    return None


def _progress(domain: Any, target: str, to: Volume) -> int:
    """How much is copied, in per cent, 100 once both are the same. Raises KilnError when the copy has ended."""
    job = domain.blockJobInfo(target, 0)
    mirror = _mirror(domain, target, to.path)
    if mirror is None:
        raise KilnError(
            f"the copy of '{target}' to '{to.ref}' ended before it was whole",
            cause=f"QEMU could not read the one or write the other; its log is that of guest '{domain.name()}'",
            action="see that the pool has room and the node's disks are sound, and run again",
        )
    if mirror.get("ready") == "yes":
        return 100
    return min(99, int(100 * job.get("cur", 0) / max(1, job.get("end", 1))))


def _unmirror(domain: Any, *, target: str, path: str) -> None:
    with tolerating(ErrorCode.OPERATION_INVALID, ErrorCode.INVALID_ARG):  # it stopped, or the copy ended by itself
        if domain.isActive() and _mirror(domain, target, path) is not None:
            domain.blockJobAbort(target, 0)


def _mirror(domain: Any, target: str, path: str) -> Element | None:
    """The ``<mirror>`` of a disk that is copied to ``path``."""
    disk = disk_document(domain.XMLDesc(0), target)
    mirror = None if disk is None else disk.find("mirror")
    return mirror if mirror is not None and disk_path(mirror) == path else None
