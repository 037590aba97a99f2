"""``<disk>``: the whole backing chain with its formats, so that neither libvirt nor QEMU ever probes a file.

Source: https://libvirt.org/formatdomain.html#hard-drives-floppy-disks-cdroms
"""

from __future__ import annotations

from collections.abc import Sequence

from kiln.platforms.libvirt.xml.text import Element, add, element
from kiln.ports.domains import DiskSpec
from kiln.ports.volumes import Volume


def disk(spec: DiskSpec, *, cache: str | None = None) -> Element:
    """The element for a disk or CD. ``cache`` is QEMU's cache mode, None for its default."""
    top, *below = spec.chain
    made = element("disk", type=_type(top), device=spec.device)
    add(made, "driver", name="qemu", type=driver_format(top.format), cache=cache, discard=_discard(spec))
    _source(made, top)
    _backing(made, below)
    add(made, "target", dev=spec.target, bus=spec.bus)
    if spec.serial is not None:
        add(made, "serial", spec.serial)
    if spec.device == "cdrom":
        add(made, "readonly")
    if spec.boot_order is not None:
        add(made, "boot", order=str(spec.boot_order))
    return made


def stored_in(volume: Volume) -> Element:
    """What a running guest's disk is copied to: a volume that is there, and no overlay."""
    made = element("disk", type=_type(volume))
    add(made, "driver", name="qemu", type=driver_format(volume.format))
    _source(made, volume)
    return made


def moved(found: Element, to: Volume) -> Element:
    """A disk as it is but for where it is stored: in ``to``, which is no overlay."""
    found.set("type", _type(to))
    for name in ("source", "backingStore", "mirror"):
        for old in found.findall(name):
            found.remove(old)
    driver = found.find("driver")
    (add(found, "driver", name="qemu") if driver is None else driver).set("type", driver_format(to.format))
    _source(found, to)
    _backing(found, ())
    return found


def driver_format(format: str) -> str:
    """QEMU's driver for a volume's format: an ISO image is raw to it."""
    return "raw" if format == "iso" else format


def _discard(spec: DiskSpec) -> str | None:
    return "unmap" if spec.device == "disk" else None


def _backing(parent: Element, chain: Sequence[Volume]) -> None:
    for member in chain:
        parent = add(parent, "backingStore", type=_type(member))
        add(parent, "format", type=driver_format(member.format))
        _source(parent, member)
    # Without the empty element libvirt reads the last file's header, and opens and chowns whatever that names.
    add(parent, "backingStore")


def _type(volume: Volume) -> str:
    return "block" if volume.path.startswith("/dev/") else "file"


def _source(parent: Element, volume: Volume) -> None:
    add(parent, "source", **{"dev" if _type(volume) == "block" else "file": volume.path})
