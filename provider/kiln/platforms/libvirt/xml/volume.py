"""``<volume>``. Source: https://libvirt.org/formatstorage.html#storage-volume-xml"""

from __future__ import annotations

from kiln.platforms.libvirt.xml.disk import driver_format
from kiln.platforms.libvirt.xml.text import Element, add, dump, element, parse
from kiln.ports.volumes import Volume, VolumeRef


def volume(name: str, *, format: str, virtual_size: int, backing: Volume | None = None, mode: int = 0o600) -> str:
    """The definition of a new, sparse volume; sizes are bytes."""
    root = element("volume")
    add(root, "name", name)
    add(root, "capacity", str(virtual_size), unit="bytes")
    add(root, "allocation", "0", unit="bytes")
    target = add(root, "target")
    add(target, "format", type=driver_format(format))
    add(add(target, "permissions"), "mode", f"0{mode:o}")
    if format == "qcow2":
        add(target, "compat", "1.1")  # libvirt's default is 0.10, which every QEMU since 2013 has better than
    if backing is not None:
        store = add(root, "backingStore")
        add(store, "path", backing.path)
        add(store, "format", type=driver_format(backing.format))
    return dump(root)


def told_volume(document: str, pool: str) -> Volume:
    """The volume that a document of libvirt's describes. An ISO image is raw: libvirt calls it iso only once it looks
    into the file again, and a format that changes by itself would be drift."""
    root = parse(document)
    return Volume(
        ref=VolumeRef(pool, root.findtext("name") or ""),
        path=root.findtext("target/path") or "",
        format=driver_format(_format(root)),
        virtual_size=int(root.findtext("capacity") or 0),
        allocation=int(root.findtext("allocation") or 0),
        backing=root.findtext("backingStore/path") or None,
    )


def told_change(document: str) -> float:
    """When the volume was last written to, in seconds since the epoch; 0.0 where the pool does not know."""
    return float(parse(document).findtext("target/timestamps/mtime") or 0.0)


def _format(root: Element) -> str:
    found = root.find("target/format")
    return "raw" if found is None else found.get("type") or "raw"
