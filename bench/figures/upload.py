"""``upload-sparse``: 8 GiB with 1 GiB of data into a directory pool, against ``cp --sparse=auto`` and fsync.

Timed in this process, around what an Image's create does with a local file: inspect it, copy it under a temporary name
with its digest taken on the way, sync it, give it its final name. No checksum is stated.
"""

from __future__ import annotations

import hashlib
import os
import random
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from kiln import app
from kiln.framework.context import Context
from kiln.ports.marks import Mark
from kiln.ports.nodes import Node
from kiln.ports.volumes import VolumeRef
from kiln.transfer.inspect import inspect
from kiln.transfer.local import Local
from kiln.transfer.upload import upload

from bench.measure import Figure, Sides, Tell
from bench.node import URI, connected, pool
from bench.scratch import Scratch

GIB = 1 << 30
SIZE = 8 * GIB
DATA = 1 * GIB
PIECE = 4 << 20
"""The data lies in pieces, evenly over the disk, as a file system's block groups do."""


@dataclass(frozen=True)
class Source:
    """The raw disk, and the digest that follows from how it was made, not from reading it."""

    path: Path
    digest: str


@contextmanager
def sides(scratch: Scratch, tell: Tell) -> Iterator[Sides]:
    """One source in the page cache; both sides write to the same file system and start with nothing to write back."""
    with connected(scratch) as connection, pool(connection, scratch):
        tell("upload-sparse: writing the source")
        source = make_source(scratch.directory / "source.raw")
        nodes = app.nodes()
        try:
            node = nodes.get(Context(), URI)
            both = Sides(
                ours=lambda: ours(node, scratch, source), floor=lambda: copy(source, scratch.directory / "copy.raw")
            )
            both.ours()
            both.floor()
            yield both
        finally:
            nodes.close()
            source.path.unlink(missing_ok=True)


def make_source(path: Path) -> Source:
    """Write the disk: random data, which no file system and no digest can take a short cut through."""
    noise = random.Random(8)
    digest = hashlib.sha256(struct.pack(">Q", SIZE))
    with path.open("wb") as file:
        file.truncate(SIZE)
        for offset in offsets():
            data = noise.randbytes(PIECE)
            os.pwrite(file.fileno(), data, offset)
            digest.update(struct.pack(">QQ", offset, PIECE) + data)
        os.fsync(file.fileno())
    return Source(path, f"extents-sha256:{digest.hexdigest()}")


def offsets() -> range:
    """Where the pieces of data begin."""
    return range(0, SIZE, SIZE // (DATA // PIECE))


def ours(node: Node, scratch: Scratch, source: Source) -> float:
    """Seconds to a finished volume; what is there is then compared with the source, and deleted."""
    ref = VolumeRef(scratch.prefix, "upload.raw")
    ctx = Context()
    os.sync()
    begun = time.perf_counter()
    local = Local(source.path, "source")
    done = upload(ctx, node.volumes, ref, local, inspect(source.path), Mark("bench", "creating"))
    seconds = time.perf_counter() - begun
    try:
        verify(Path(done.volume.path), done.digest, source)
    finally:
        node.volumes.delete(ctx, ref)
    return seconds


def copy(source: Source, target: Path) -> float:
    """Seconds that ``cp --sparse=auto`` takes, and the sync of what it wrote."""
    os.sync()
    begun = time.perf_counter()
    subprocess.run(["cp", "--sparse=auto", source.path, target], check=True)
    fd = os.open(target, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    seconds = time.perf_counter() - begun
    target.unlink()
    return seconds


def verify(target: Path, digest: str, source: Source) -> None:
    """Raise RuntimeError unless the volume is the source: its data, its digest, its length and its holes."""
    if digest != source.digest:
        raise RuntimeError(f"the digest is {digest}, which is not that of the content, {source.digest}")
    status = target.stat()
    if status.st_size != SIZE or status.st_blocks * 512 > DATA * 1.01:
        raise RuntimeError(f"the volume has {status.st_size} bytes and takes {status.st_blocks * 512}")
    with source.path.open("rb") as wanted, target.open("rb") as found:
        for offset in offsets():
            if os.pread(wanted.fileno(), PIECE, offset) != os.pread(found.fileno(), PIECE, offset):
                raise RuntimeError(f"the volume differs from the source at {offset}")
        for offset in offsets():
            with suppress(OSError):  # ENXIO: no data any more
                if os.lseek(found.fileno(), offset + PIECE, os.SEEK_DATA) % (SIZE // (DATA // PIECE)):
                    raise RuntimeError(f"the volume has data after {offset + PIECE}, where there is a hole")


FIGURE = Figure("upload-sparse", "s", 3.0, sides)
