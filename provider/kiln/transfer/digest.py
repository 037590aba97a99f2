"""Checksums that users state, and the digests Kiln takes of what it stores.

``sha256:<hex>``
    SHA-256 over the bytes of a file, for qcow2 and ISO and for stated checksums (also ``sha512:``).
``extents-sha256:<hex>``
    For raw content, whose holes must not cost what data costs: SHA-256 over the virtual size, and then for each maximal
    run of 64 KiB blocks that are not all zero its offset, its length and its bytes; the integers are 64-bit big-endian.
    It depends on the content alone, not on which zeros the file system stores.
"""

from __future__ import annotations

import hashlib
import re
import struct
from dataclasses import dataclass
from typing import Literal

from kiln.framework.errors import InputError
from kiln.transfer.content import Content
from kiln.transfer.extents import BLOCK, Check, Run, extents, read_run, runs, unchecked

Kind = Literal["sha256", "sha512", "extents-sha256"]
BUFFER = 1 << 20
_U64 = struct.Struct(">Q")
_EXTENT = struct.Struct(">QQ")
_CHECKSUM = re.compile(r"(sha256):([0-9a-f]{64})|(sha512):([0-9a-f]{128})", re.IGNORECASE)


@dataclass(frozen=True)
class Checksum:
    """A checksum as the publisher of a file states it, over the file's bytes as distributed."""

    algorithm: Literal["sha256", "sha512"]
    hex: str

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"


def parse_checksum(text: str, path: str = "checksum") -> Checksum:
    """Read ``sha256:…`` or ``sha512:…``. Raises InputError at ``path``."""
    match = _CHECKSUM.fullmatch(text.strip())
    if match is None:
        raise InputError(
            path,
            f"{text!r} is not a checksum",
            action="write 'sha256:' and 64 hexadecimal digits, or 'sha512:' and 128 of them",
        )
    if match[1]:
        return Checksum("sha256", match[2].lower())
    return Checksum("sha512", match[4].lower())


class ContentHash:
    """An extents digest in the making: ``add`` each run in order with all its bytes."""

    def __init__(self, virtual_size: int) -> None:
        self._hash = hashlib.sha256(_U64.pack(virtual_size))

    def begin(self, run: Run) -> None:
        """Say which run the next bytes belong to."""
        self._hash.update(_EXTENT.pack(run.offset, run.length))

    def add(self, data: bytes | memoryview) -> None:
        """Add bytes of the run."""
        self._hash.update(data)

    def digest(self) -> str:
        """The finished digest."""
        return f"extents-sha256:{self._hash.hexdigest()}"


def extents_digest(fd: int, virtual_size: int, check: Check = unchecked) -> str:
    """The extents digest of raw content. ``check`` is called at least once for every few MiB."""
    content, buffer = ContentHash(virtual_size), bytearray(BUFFER)
    for run in runs(fd, virtual_size, check):
        content.begin(run)
        for data in read_run(fd, run, buffer, check):
            content.add(data)
    return content.digest()


def file_digest(fd: int, size: int, algorithm: Literal["sha256", "sha512"], check: Check = unchecked) -> str:
    """The digest of a file's bytes. Holes are hashed, as zeros that are not read."""
    hasher, buffer, offset = hashlib.new(algorithm, usedforsecurity=True), bytearray(BUFFER), 0
    zeros = bytes(BLOCK * 16)
    for extent in [*extents(fd, size), Run(size, 0)]:
        while offset < extent.offset:
            check()
            gap = min(len(zeros), extent.offset - offset)
            hasher.update(memoryview(zeros)[:gap])
            offset += gap
        for data in read_run(fd, extent, buffer, check):
            hasher.update(data)
        offset = extent.end
    return f"{algorithm}:{hasher.hexdigest()}"


def kind_for(content: Content) -> Kind:
    """The digest that content of this format is known by."""
    return "extents-sha256" if content.format == "raw" else "sha256"


def digest_open_file(fd: int, size: int, kind: Kind, check: Check = unchecked) -> str:
    """The digest of ``kind`` of an open file of ``size`` bytes."""
    if kind == "extents-sha256":
        return extents_digest(fd, size, check)
    return file_digest(fd, size, kind, check)
