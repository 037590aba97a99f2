"""Compressed sources: told by their first bytes, expanded piece by piece under limits.

Formats: gzip (RFC 1952), xz, bzip2, zstd (RFC 8878). Several members, streams or frames after each other are one
content, as the formats' own tools have it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from kiln.transfer.content import Flaw, human

PIECE = 1 << 20
MAX_OUTPUT = 64 << 40
RATIO = 20_000
"""Bytes out for one in that are believed: above what xz reaches on a disk that is mostly holes (about 7 000)."""
FREE_OUTPUT = 1 << 30
"""Output that is believed whatever the ratio, so that small test images with large holes pass."""
_XZ_MEMORY = 512 << 20


class Decompressor(Protocol):
    """One member, as ``lzma``, ``bz2`` and ``zstd`` have it."""

    @property
    def eof(self) -> bool:
        """Whether the member ended."""

    @property
    def needs_input(self) -> bool:
        """Whether nothing more comes without more input."""

    @property
    def unused_data(self) -> bytes:
        """Input after the member's end."""

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Expand up to ``max_length`` bytes."""


@dataclass(frozen=True)
class Compression:
    """A compression format: its name, how a file of it begins and how to expand one member."""

    name: str
    begins: re.Pattern[bytes]
    open: Callable[[], Decompressor]


class _Gzip:
    """``zlib`` in the shape of the other decompressors."""

    def __init__(self) -> None:
        import zlib

        self._inner = zlib.decompressobj(wbits=31)
        self._full = False

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail and not self._full

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        out = self._inner.decompress(self._inner.unconsumed_tail + data, max(0, max_length))
        self._full = len(out) == max_length
        return out


def _xz() -> Decompressor:
    import lzma

    return lzma.LZMADecompressor(memlimit=_XZ_MEMORY)


def _bzip2() -> Decompressor:
    import bz2

    return bz2.BZ2Decompressor()


def _zstd() -> Decompressor:
    try:
        from compression import zstd  # type: ignore[import-not-found,unused-ignore]  # Python 3.14 and later
    except ImportError:
        from backports import zstd
    decompressor: Decompressor = zstd.ZstdDecompressor()
    return decompressor


COMPRESSIONS = (
    Compression("gzip", re.compile(rb"\x1f\x8b\x08"), _Gzip),
    Compression("xz", re.compile(rb"\xfd7zXZ\0"), _xz),
    # "BZh" alone is too common a beginning: the first block, or the end of an empty file, must follow.
    Compression("bzip2", re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"), _bzip2),
    # The second form is a skippable frame, which parallel zstd tools begin with.
    Compression("zstd", re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"), _zstd),
)
LONGEST_MAGIC = 10


def compression_of(head: bytes) -> Compression | None:
    """The compression that a file beginning with ``head`` has, None for none."""
    return next((each for each in COMPRESSIONS if each.begins.match(head)), None)


class Expander:
    """Expands compressed bytes as they come. Feed with ``expand``, then call ``finish``."""

    def __init__(self, compression: Compression) -> None:
        self._compression = compression
        self._member: Decompressor | None = compression.open()
        self._taken = 0
        self._given = 0

    def expand(self, data: bytes) -> Iterator[bytes]:
        """The content that ``data`` adds, in pieces of at most 1 MiB. Raises Flaw when it is damaged or a bomb."""
        self._taken += len(data)
        while data or (self._member and not self._member.needs_input and not self._member.eof):
            if self._member is None:
                data = data.lstrip(b"\0")  # padding between and after members, as gzip and xz allow it
                if not data:
                    return
                self._member = self._compression.open()
            piece = self._piece(self._member, data)
            data = b""
            if self._member.eof:
                data, self._member = self._member.unused_data, None
            if piece:
                self._weigh(len(piece))
                yield piece

    def finish(self) -> None:
        """Say that there is no more input. Raises Flaw when content is missing."""
        if self._member is not None:
            name = self._compression.name
            raise Flaw(f"is a truncated {name} file", "fetch it again and compare its checksum with the publisher's")

    def _piece(self, member: Decompressor, data: bytes) -> bytes:
        try:
            return member.decompress(data, PIECE)
        # Each library has its own error class (zlib.error, LZMAError, OSError, ZstdError) and no common base but this.
        except MemoryError:
            raise
        except Exception as error:
            what = f"is a damaged {self._compression.name} file ({error})"
            raise Flaw(what, "fetch it again and compare its checksum with the publisher's") from error

    def _weigh(self, count: int) -> None:
        self._given += count
        if self._given > min(MAX_OUTPUT, FREE_OUTPUT + RATIO * self._taken):
            what = f"expands to more than {human(self._given)} from {human(self._taken)}, which no disk image does"
            raise Flaw(what, "unpack it yourself when you trust it, and use the unpacked file")
