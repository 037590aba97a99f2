"""Volumes' content over libvirt streams: for pools whose files this process cannot reach."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any

from kiln.framework.context import Context
from kiln.framework.errors import KilnError
from kiln.platforms.libvirt.codes import VolumeStream
from kiln.platforms.libvirt.connection import Link, Opened
from kiln.platforms.libvirt.pools import known
from kiln.ports.volumes import Chunk, VolumeRef

# A stream's hole leaves what is there. A new qcow2 volume has its metadata at the front, so that part is written out.
_DENSE_HEAD = 4 << 20
# One message of libvirt's protocol carries no more.
_PIECE = 256 << 10
_FINISH_SECONDS = 300.0
_TAIL = 4096
_ABORT_SECONDS = 5.0


def upload(ctx: Context, link: Link, ref: VolumeRef, chunks: Iterator[Chunk]) -> None:
    """Write ``chunks`` from offset 0, holes as holes. Each piece has its own deadline, the whole that of ``ctx``.

    The end is read back: libvirt (9.0) forgets a write error when the stream is finished before its writer thread
    comes to it, which is the rule for content of a few hundred KiB. What comes after the first failed write is lost, so
    that the end tells.
    """
    doing = f"upload to volume '{ref}'"

    def begin(opened: Opened) -> Any:
        stream = opened.handle.newStream(0)
        volume = known(opened, ref.pool).handle.storageVolLookupByName(ref.name)
        volume.upload(stream, 0, 0, VolumeStream.SPARSE)
        return stream

    stream = link.run(ctx, doing, begin)
    try:
        offset, end, tail = 0, 0, b""
        for chunk in _pieces(chunks):
            link.run(ctx, doing, partial(_send, stream, chunk, offset))
            offset += chunk.hole if chunk.data is None else len(chunk.data)
            if chunk.data:
                end, tail = offset, bytes(chunk.data[-_TAIL:])
        link.run(ctx, doing, lambda _: stream.finish(), seconds=_FINISH_SECONDS)
    except BaseException:
        with contextlib.suppress(KilnError):
            link.run(ctx.unhurried(_ABORT_SECONDS), "abort the upload", lambda _: _abort(stream))
        raise
    if tail and download(ctx, link, ref, end - len(tail), len(tail)) != tail:
        raise KilnError(
            f"could not {doing}",
            cause="the node kept less than was sent, most likely because there was no space left",
            action="free space in the storage pool, or use another pool, and run again",
        ).at(node=link.uri)


def download(ctx: Context, link: Link, ref: VolumeRef, offset: int, length: int) -> bytes:
    """``length`` bytes of the volume's file from ``offset``, fewer at its end."""

    def work(opened: Opened) -> bytes:
        stream = opened.handle.newStream(0)
        volume = known(opened, ref.pool).handle.storageVolLookupByName(ref.name)
        volume.download(stream, offset, length, 0)
        try:
            data = bytearray()
            while piece := stream.recv(_PIECE):
                data += piece
            stream.finish()
        except BaseException:
            _abort(stream)
            raise
        return bytes(data)

    return link.run(ctx, f"download from volume '{ref}'", work)


def _pieces(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    """The same content with holes at the front made zeros."""
    offset = 0
    for chunk in chunks:
        if chunk.data is not None:
            offset += len(chunk.data)
            yield chunk
            continue
        dense = min(chunk.hole, max(0, _DENSE_HEAD - offset))
        offset += chunk.hole
        if dense:
            yield Chunk(bytes(dense))
        if chunk.hole > dense:
            yield Chunk(None, chunk.hole - dense)


def _send(stream: Any, chunk: Chunk, offset: int, _opened: Opened) -> None:
    if chunk.data is None:
        stream.sendHole(chunk.hole, 0)
        return
    data = memoryview(chunk.data)
    while data:
        sent = stream.send(bytes(data[:_PIECE]))
        if sent <= 0:
            raise KilnError(f"the node took no more data at byte {offset}", action="run again")
        data, offset = data[sent:], offset + sent


def _abort(stream: Any) -> None:
    with contextlib.suppress(Exception):
        stream.abort()
