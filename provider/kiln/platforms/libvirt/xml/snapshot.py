"""Documents of snapshots (https://libvirt.org/formatsnapshot.html).

libvirt keeps the guest's definition in a snapshot's, with its metadata, and Kiln's mark of the snapshot lies there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from kiln.platforms.libvirt.xml import metadata
from kiln.platforms.libvirt.xml.text import Element, add, dump, element, parse
from kiln.ports.marks import Mark
from kiln.ports.snapshots import GuestState, Snapshot

_STATES: Final[dict[str, GuestState]] = {
    "running": "running",
    "blocked": "running",
    "nostate": "running",
    "paused": "paused",
    "pmsuspended": "paused",
}
NAMED = "name"
"""The entry of a mark that says whose it is: a snapshot that somebody takes of a marked guest is not Kiln's."""


def snapshot(name: str, *, memory: bool, description: str | None) -> str:
    """What is asked of libvirt."""
    root = element("domainsnapshot")
    add(root, "name", name)
    if description is not None:
        add(root, "description", description)
    add(root, "memory", snapshot="internal" if memory else "no")
    return dump(root)


def told_snapshot(document: str, guest: str) -> Snapshot:
    """What libvirt says of a snapshot of the guest with this UUID."""
    root = parse(document)
    name = root.findtext("name") or ""
    kinds = {disk.get("name"): disk.get("snapshot") for disk in root.findall("disks/disk")}
    files = dict(_files(root))
    memory = root.find("memory")
    return Snapshot(
        guest=guest,
        name=name,
        created=int(root.findtext("creationTime") or 0),
        state=_STATES.get(root.findtext("state") or "", "stopped"),
        disks={target: path for target, path in files.items() if path and kinds.get(target) == "internal"},
        media={target: path for target, path in files.items() if kinds.get(target) != "internal"},
        description=root.findtext("description"),
        internal="external" not in {*kinds.values(), None if memory is None else memory.get("snapshot")},
        mark=_told_mark(root, name),
    )


def described(document: str, description: str | None, mark: Mark) -> str:
    """The document with this description and mark in place of its own."""
    root = parse(document)
    for old in root.findall("description"):
        root.remove(old)
    if description is not None:
        text = element("description", description)
        root.insert(1, text)
    for domain in _definitions(root):
        kept = domain.find("metadata")
        kept = add(domain, "metadata") if kept is None else kept
        if (before := metadata.find_snapshot(domain)) is not None:
            kept.remove(before)
        kept.append(metadata.snapshot_metadata(mark))
    return dump(root)


def without_media(document: str, paths: Collection[str]) -> str:
    """The document of a guest that has empty drives in the place of those with these CDs."""
    root = parse(document)
    for domain in _definitions(root):
        for disk in domain.findall("devices/disk[@device='cdrom']"):
            source = disk.find("source")
            if source is not None and source.get("file") in paths:
                disk.remove(source)
    return dump(root)


def _definitions(root: Element) -> Iterator[Element]:
    """The guest's definition when the snapshot was taken, and the persistent one beside it if it ran."""
    return (found for found in root if found.tag in {"domain", "inactiveDomain"})


def _files(root: Element) -> Iterator[tuple[str, str | None]]:
    """Target and file of the guest's disks and drives, None for an empty one."""
    for disk in root.findall("domain/devices/disk"):
        target, source = disk.find("target"), disk.find("source")
        if target is not None:
            yield target.get("dev") or "", None if source is None else source.get("file")


def _told_mark(root: Element, name: str) -> Mark | None:
    domain = root.find("domain")
    mark = None if domain is None else metadata.told(metadata.find_snapshot(domain)).mark
    return mark if mark is not None and mark.info.get(NAMED) == name else None
