"""CD and DVD images: ISO 9660 (ECMA-119) and UDF (ECMA-167, OSTA UDF), known by their volume recognition sequence."""

from __future__ import annotations

import os
import struct

from kiln.transfer.content import Flaw

SECTOR = 2048
START = 16 * SECTOR
"""The first 16 sectors belong to boot code, which is how a hybrid ISO carries a partition table."""
RUN_OUT = 150 * SECTOR
"""Two seconds of padding that mastering tools promise and copies often lack."""

_DESCRIPTORS = 64
_ISO, _UDF_BEGIN, _UDF = b"CD001", b"BEA01", (b"NSR02", b"NSR03")


def is_iso(fd: int) -> bool:
    """Whether the file is an ISO 9660 or UDF volume."""
    begun = False
    for index in range(_DESCRIPTORS):
        identifier = os.pread(fd, 6, START + index * SECTOR)[1:]
        if identifier == _ISO or (identifier in _UDF and (begun or index == 0)):
            return True
        begun = begun or identifier == _UDF_BEGIN
        if not identifier.strip(b"\0"):
            return False
    return False


def check_length(fd: int, size: int) -> None:
    """Refuse an ISO 9660 volume that is shorter than its primary volume descriptor says. Raises Flaw."""
    descriptor = os.pread(fd, SECTOR, START)
    if len(descriptor) < SECTOR or descriptor[:6] != b"\x01CD001":
        return
    (blocks,) = struct.unpack_from("<I", descriptor, 80)
    (block,) = struct.unpack_from("<H", descriptor, 128)
    if blocks * block > size + RUN_OUT:
        raise Flaw(
            f"is a truncated ISO: its volume has {blocks * block} bytes and the file {size}",
            "fetch the file again and compare its checksum with the publisher's",
        )
