"""The names of the snapshots inside a qcow2 file, which libvirt tells only of those that it knows a guest of.

Source: QEMU, docs/interop/qcow2.txt, "Snapshots". All integers are big-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from kiln.framework.errors import KilnError

_MAGIC = b"QFI\xfb"
_HEADER = struct.Struct(">4s56xIQ")
_ENTRY = struct.Struct(">12xHH20xI")
_ROOM = 2048
"""Bytes that are read for each: QEMU writes fewer than 400."""


def tags(read: Callable[[int, int], bytes]) -> list[str]:
    """The names, oldest first and each as often as it is there; none of a file that is no qcow2.

    ``read`` returns as many bytes (second argument) of the file from an offset (first), fewer at its end.

    Raises:
        KilnError: the file ends inside its table of snapshots.
    """
    head = read(0, _HEADER.size)
    if len(head) < _HEADER.size or not head.startswith(_MAGIC):
        return []
    _, count, offset = _HEADER.unpack(head)
    table, at, found = read(offset, count * _ROOM) if count else b"", 0, list[str]()
    for _ in range(count):
        if at + _ENTRY.size > len(table):
            raise KilnError("the table of snapshots in a qcow2 file cannot be read", action="look: qemu-img check FILE")
        id_size, name_size, extra = _ENTRY.unpack_from(table, at)
        name = at + _ENTRY.size + extra + id_size
        found.append(table[name : name + name_size].decode(errors="replace"))
        at = -(-(name + name_size) // 8) * 8
    return found
