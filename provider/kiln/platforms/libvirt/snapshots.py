"""The snapshots of one libvirt node's guests. Fits ``ports.Snapshots``.

A snapshot keeps the definition that the guest had, with its metadata: the mark of a snapshot is put into the guest's
metadata for the moment in which it is taken, so that no snapshot of Kiln's is ever without one, and is changed with
what ``virsh snapshot-edit`` uses.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from kiln.framework.context import Context
from kiln.framework.errors import Refused
from kiln.platforms.libvirt import observe
from kiln.platforms.libvirt.codes import Affect, DomainMetadata, ErrorCode, SnapshotCreate, SnapshotXml
from kiln.platforms.libvirt.connection import CALL_SECONDS, Link, Opened
from kiln.platforms.libvirt.contents import Contents
from kiln.platforms.libvirt.domains import LibvirtDomains
from kiln.platforms.libvirt.faults import tolerating
from kiln.platforms.libvirt.guests import Doing, Guest
from kiln.platforms.libvirt.locks import locked
from kiln.platforms.libvirt.xml import metadata
from kiln.platforms.libvirt.xml.snapshot import described, snapshot, told_snapshot, without_media
from kiln.platforms.libvirt.xml.text import dump
from kiln.ports.marks import Mark
from kiln.ports.snapshots import Snapshot

T = TypeVar("T")

STORING_SECONDS = 1800.0
"""How long writing or reading a guest's memory may take."""


class LibvirtSnapshots:
    """Snapshots by guest and name. ``domains`` and ``contents`` are what else is read of guests and volumes, both of
    which a revert changes."""

    def __init__(self, link: Link, domains: LibvirtDomains, contents: Contents) -> None:
        self._link = link
        self._domains = domains
        self._contents = contents

    def get(self, ctx: Context, guest: str, name: str) -> Snapshot:
        """One snapshot."""
        return self._with(ctx, f"read snapshot '{name}' of", guest, lambda domain: _told(domain, name))

    def list(self, ctx: Context, guest: str) -> Sequence[Snapshot]:
        """All snapshots of a guest."""

        def work(domain: Any) -> Sequence[Snapshot]:
            with tolerating(ErrorCode.NO_SUPPORT):
                names = [str(found.getName()) for found in domain.listAllSnapshots(0)]
                return [told for name in names if (told := _told_if_there(domain, name)) is not None]
            return ()

        return self._with(ctx, "list the snapshots of", guest, work)

    def create(
        self, ctx: Context, guest: str, name: str, *, memory: bool, description: str | None, mark: Mark
    ) -> Snapshot:
        """Take a snapshot."""
        document = snapshot(name, memory=memory, description=description)

        def work(domain: Any) -> Snapshot:
            with _marked(domain, mark):
                domain.snapshotCreateXML(document, 0)
            return _told(domain, name)

        with locked(ctx, self._link.uri, f"snapshots of {guest}"):
            return self._with(ctx, f"take snapshot '{name}' of", guest, work, seconds=STORING_SECONDS)

    def describe(self, ctx: Context, guest: str, name: str, *, description: str | None, mark: Mark) -> Snapshot:
        """Replace the description and the mark."""

        def work(domain: Any) -> Snapshot:
            _rewrite(domain, name, lambda document: described(document, description, mark))
            return _told(domain, name)

        return self._with(ctx, f"describe snapshot '{name}' of", guest, work)

    def revert(self, ctx: Context, guest: str, name: str, *, ejected: Collection[str] = ()) -> None:
        """Take a guest back to the snapshot."""

        def work(domain: Any) -> None:
            if ejected:
                _rewrite(domain, name, lambda document: without_media(document, ejected))
            domain.revertToSnapshot(domain.snapshotLookupByName(name, 0), 0)

        with self._domains.changing(), self._contents.changing():
            self._with(ctx, f"revert to snapshot '{name}' of", guest, work, seconds=STORING_SECONDS)

    def delete(self, ctx: Context, guest: str, name: str) -> None:
        """Delete a snapshot."""
        found = Guest(guest)

        def work(opened: Opened) -> None:
            with tolerating(ErrorCode.NO_DOMAIN, ErrorCode.NO_DOMAIN_SNAPSHOT):
                domain = found.find(opened)
                snapshot = domain.snapshotLookupByName(name, 0)
                if domain.isActive():
                    _refuse_changed(domain, name)
                snapshot.delete(0)

        doing = Doing(f"delete snapshot '{name}' of", found)
        with self._contents.changing():
            self._link.run(ctx, doing, work, seconds=STORING_SECONDS)

    def _with(
        self, ctx: Context, verb: str, uuid: str, work: Callable[[Any], T], *, seconds: float = CALL_SECONDS
    ) -> T:
        guest = Guest(uuid)
        return self._link.run(ctx, Doing(verb, guest), lambda opened: work(guest.find(opened)), seconds=seconds)


@contextmanager
def _marked(domain: Any, mark: Mark) -> Iterator[None]:
    """The guest has the mark of a snapshot in its metadata, live and persistent, from which a snapshot copies it."""
    _set_metadata(domain, dump(metadata.snapshot_metadata(mark, bare=True)))
    try:
        yield
    finally:
        with tolerating(ErrorCode.NO_DOMAIN, ErrorCode.NO_DOMAIN_METADATA):
            _set_metadata(domain, None)


def _set_metadata(domain: Any, document: str | None) -> None:
    flags = Affect.CONFIG | Affect.LIVE if domain.isActive() else Affect.CONFIG
    domain.setMetadata(DomainMetadata.ELEMENT, document, metadata.PREFIX, metadata.SNAPSHOT_NAMESPACE, flags)


def _refuse_changed(domain: Any, name: str) -> None:
    """Refuse to delete a snapshot of a running guest that lacks a disk or drive of then: libvirtd 9.0 dies of it."""
    now = observe.describe(domain)
    if changed := _told(domain, name).changed(now):
        raise Refused(
            f"snapshot '{name}' of guest '{now.name}' stays",
            cause=f"the guest runs without what it had in {', '.join(changed)} then, and libvirt cannot delete it so",
            action="stop the guest, or give it these again, and run again",
        )


def _rewrite(domain: Any, name: str, change: Callable[[str], str]) -> None:
    """Put another document in the place of a snapshot's own; what it holds stays."""
    found = domain.snapshotLookupByName(name, 0)
    flags = SnapshotCreate.REDEFINE | (SnapshotCreate.CURRENT if found.isCurrent() else 0)
    domain.snapshotCreateXML(change(found.getXMLDesc(SnapshotXml.SECURE)), flags)


def _told(domain: Any, name: str) -> Snapshot:
    return told_snapshot(domain.snapshotLookupByName(name, 0).getXMLDesc(0), str(domain.UUIDString()))


def _told_if_there(domain: Any, name: str) -> Snapshot | None:
    """A snapshot of a list, None for one that went away meanwhile."""
    with tolerating(ErrorCode.NO_DOMAIN_SNAPSHOT):
        return _told(domain, name)
    return None
