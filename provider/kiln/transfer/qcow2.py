"""The qcow2 header and tables, read before any other program opens the file.

Source: QEMU, docs/interop/qcow2.txt. All integers are big-endian.
"""

from __future__ import annotations

import os
import struct
import sys
from array import array
from dataclasses import dataclass

from kiln.transfer.content import SECTOR, Flaw

MAGIC = b"QFI\xfb"
MAX_VIRTUAL_SIZE = 64 << 40
TABLES_READ = 64 << 20
"""Bytes of L2 tables that are read to find clusters beyond the end: enough for 512 GiB of data in 64 KiB clusters."""

_V2 = struct.Struct(">4sIQIIQIIQQIIQ")
_FEATURES = struct.Struct(">Q")
_DIRTY, _CORRUPT, _DATA_FILE, _COMPRESSION, _EXTENDED_L2 = (1 << bit for bit in range(5))
_OFFSET = 0x00FF_FFFF_FFFF_FE00
_ZERO, _COMPRESSED = 1, 1 << 62

_RECREATE = "on a machine you trust, make a self-contained copy: qemu-img convert -O qcow2 -o compat=1.1 OLD NEW.qcow2"
_TRUNCATED = "fetch the file again and compare its checksum with the publisher's"


@dataclass(frozen=True)
class Header:
    """The fields of a qcow2 header that Kiln looks at; sizes and offsets are bytes."""

    version: int
    backing_offset: int
    cluster_bits: int
    virtual_size: int
    encryption: int
    l1_entries: int
    l1_offset: int
    refcount_offset: int
    refcount_clusters: int
    incompatible: int

    @property
    def cluster(self) -> int:
        """Bytes in a cluster."""
        return 1 << self.cluster_bits


def read_header(head: bytes) -> Header:
    """The header in the first 512 bytes of a file that begins with ``MAGIC``. Raises Flaw."""
    if len(head) < SECTOR:
        raise Flaw("is a qcow2 image cut off inside its header", _TRUNCATED)
    fields = _V2.unpack_from(head)
    version = fields[1]
    if version not in (2, 3):
        raise Flaw(f"is a QCOW image of version {version}; versions 2 and 3 are usable", _RECREATE)
    incompatible = _FEATURES.unpack_from(head, 72)[0] if version == 3 else 0
    return Header(
        version, fields[2], fields[4], fields[5], fields[6], fields[7], fields[8], fields[9], fields[10], incompatible
    )


def check_header(header: Header, size: int) -> None:
    """Refuse what reads other files, what cannot be decoded, and what lies about its size. Raises Flaw."""
    if header.backing_offset:
        raise Flaw("is a qcow2 overlay of another file (it has a backing file)", _RECREATE)
    if header.incompatible & _DATA_FILE:
        raise Flaw("is a qcow2 image that keeps its data in another file (external data file)", _RECREATE)
    if header.encryption:
        raise Flaw("is an encrypted qcow2 image", "decrypt it first; Kiln has no place for its key")
    if header.incompatible & _CORRUPT:
        raise Flaw("is marked corrupt in its own header", "repair a copy of it with: qemu-img check -r all COPY.qcow2")
    _check_features(header.incompatible & ~(_DIRTY | _CORRUPT | _DATA_FILE | _COMPRESSION))
    _check_geometry(header, size)


def _check_features(unknown: int) -> None:
    if unknown == _EXTENDED_L2:
        raise Flaw("uses subclusters (extended_l2), which not every node can read", _RECREATE + " -o extended_l2=off")
    if unknown:
        bits = ", ".join(str(bit) for bit in range(64) if unknown >> bit & 1)
        raise Flaw(f"uses qcow2 features that Kiln does not know (incompatible bits {bits})", _RECREATE)


def _check_geometry(header: Header, size: int) -> None:
    if not 9 <= header.cluster_bits <= 21:
        raise Flaw(f"is a damaged qcow2 image (cluster size 2^{header.cluster_bits})", _TRUNCATED)
    if header.virtual_size == 0:
        raise Flaw("is a qcow2 image of no size", "state a source that holds data, or no source for a blank disk")
    if header.virtual_size > MAX_VIRTUAL_SIZE:
        raise Flaw(f"claims a virtual size of {header.virtual_size} bytes; 64 TiB is the most", _RECREATE)
    if header.virtual_size % SECTOR:
        raise Flaw(f"has a virtual size of {header.virtual_size} bytes, not whole sectors of 512", _RECREATE)
    covered = header.l1_entries * header.cluster // 8 * header.cluster
    if covered < header.virtual_size or header.l1_entries > (32 << 20) // 8:
        raise Flaw("is a damaged qcow2 image (its L1 table does not fit its size)", _TRUNCATED)
    ends = (
        header.l1_offset + header.l1_entries * 8,
        header.refcount_offset + 1,
    )
    if any(offset % header.cluster for offset in (header.l1_offset, header.refcount_offset)):
        raise Flaw("is a damaged qcow2 image (a table is not at a cluster)", _TRUNCATED)
    if max(ends) > size or header.refcount_clusters == 0:
        raise Flaw("is a truncated qcow2 image (a table lies beyond its end)", _TRUNCATED)


def check_tables(fd: int, header: Header, size: int) -> None:
    """Follow the L1 and L2 tables and refuse an image whose clusters lie beyond its end. Raises Flaw.

    QEMU may leave the last cluster of a whole-sector file short, so only a cluster that starts beyond the end counts
    then; a file that ends inside a sector was cut.
    """
    end = size if size % SECTOR else -(-size // header.cluster) * header.cluster
    budget = TABLES_READ
    l1 = _table(fd, header.l1_offset, header.l1_entries * 8)
    for offset in dict.fromkeys(entry & _OFFSET for entry in l1):
        if not offset or budget <= 0:
            continue
        l2 = _table(fd, offset, header.cluster)
        if len(l2) * 8 < header.cluster or _beyond(l2, header, end):
            raise Flaw("is a truncated qcow2 image (its data lies beyond its end)", _TRUNCATED)
        budget -= header.cluster


def _beyond(l2: array[int], header: Header, end: int) -> bool:
    plain = max((entry & _OFFSET for entry in l2 if entry and not entry & (_COMPRESSED | _ZERO)), default=0)
    if plain and plain + header.cluster > end:
        return True
    return any(_compressed_start(entry, header) >= end for entry in l2 if entry & _COMPRESSED)


def _compressed_start(entry: int, header: Header) -> int:
    """The offset of the last sector of a compressed cluster, which must begin inside the file."""
    shift = 62 - (header.cluster_bits - 8)
    offset = entry & ((1 << shift) - 1)
    more = (entry & ((1 << 62) - 1)) >> shift
    return offset - offset % SECTOR + more * SECTOR


def _table(fd: int, offset: int, length: int) -> array[int]:
    data = os.pread(fd, length, offset)
    table = array("Q", data[: len(data) // 8 * 8])
    if sys.byteorder == "little":
        table.byteswap()
    return table
