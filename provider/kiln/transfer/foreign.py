"""Formats that Kiln knows and does not take, each with what to do about it.

Container formats other than qcow2 can name files of the host (VMDK extents), are opened by parsers with a long record
of vulnerabilities, or cannot be grown, so none of them reaches a node.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kiln.transfer.content import Flaw

HEAD = 4096
TAIL = 512


@dataclass(frozen=True)
class Foreign:
    """A format by its marks: ``matches(head, tail)`` looks at the first 4096 and the last 512 bytes."""

    name: str
    driver: str
    matches: Callable[[bytes, bytes], bool]


def _starts(*magics: bytes) -> Callable[[bytes, bytes], bool]:
    return lambda head, tail: head.startswith(magics)


def _vmdk(head: bytes, tail: bytes) -> bool:
    return (
        head.startswith((b"KDMV", b"COWD"))
        or b'createtype="' in head.lower()
        or b"# disk descriptorfile" in head.lower()
    )


DISKS = (
    Foreign("VMDK disk", "vmdk", _vmdk),
    Foreign("VHDX disk", "vhdx", _starts(b"vhdxfile")),
    Foreign("VHD disk", "vpc", lambda head, tail: b"conectix" in (head[:8], tail[:8])),
    Foreign("VDI disk", "vdi", lambda head, tail: head[0x40:0x44] == b"\x7f\x10\xda\xbe"),
    Foreign("QED disk", "qed", _starts(b"QED\0")),
    Foreign("QCOW version 1 disk", "qcow", _starts(b"QFI\xfb\0\0\0\x01")),
    Foreign("Parallels disk", "parallels", _starts(b"WithoutFreeSpace", b"WithouFreSpacExt")),
    Foreign("Bochs disk", "bochs", _starts(b"Bochs Virtual HD Image")),
    Foreign("Apple disk image", "dmg", lambda head, tail: tail[:4] == b"koly"),
)

ARCHIVES = (
    Foreign("ZIP archive", "", _starts(b"PK\x03\x04", b"PK\x05\x06")),
    Foreign("7-Zip archive", "", _starts(b"7z\xbc\xaf\x27\x1c")),
    Foreign("RAR archive", "", _starts(b"Rar!\x1a\x07")),
    Foreign("tar archive (an OVA is one too)", "", lambda head, tail: head[257:262] == b"ustar"),
)


def refuse_foreign(head: bytes, tail: bytes, *, stated_raw: bool) -> None:
    """Refuse a format that is neither qcow2, ISO nor raw, and a web page in place of an image. Raises Flaw.

    An archive is acceptable as the raw content of a disk when the user said so.
    """
    for foreign in DISKS:
        if foreign.matches(head, tail):
            action = f"convert it: qemu-img convert -f {foreign.driver} -O qcow2 OLD NEW.qcow2"
            raise Flaw(f"is a {foreign.name}; qcow2, raw and ISO are usable", action)
    if head.startswith((b"LUKS\xba\xbe", b"SKUL\xba\xbe")):
        raise Flaw("is encrypted with LUKS", "decrypt it first (cryptsetup open); Kiln has no place for its key")
    if head[:512].lstrip().lower().startswith((b"<!doctype html", b"<html")):
        raise Flaw("is a web page, not a disk image", "use the address of the file itself, not of the page about it")
    for archive in ARCHIVES if not stated_raw else ():
        if archive.matches(head, tail):
            raise Flaw(f"is a {archive.name}", "unpack it and use the disk image inside")
