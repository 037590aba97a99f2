"""Where the marks of volumes are kept: in files if the pool is within reach, else in volumes written over streams."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import TypeVar

from kiln.framework.context import Context
from kiln.framework.errors import Conflict, KilnError, NotFound
from kiln.platforms.libvirt import files, marks, streams
from kiln.platforms.libvirt.codes import ErrorCode
from kiln.platforms.libvirt.connection import Link, Opened
from kiln.platforms.libvirt.faults import tolerating
from kiln.platforms.libvirt.pools import Pools, known
from kiln.platforms.libvirt.xml.volume import volume as volume_document
from kiln.ports.marks import Mark
from kiln.ports.volumes import Chunk, VolumeRef

T = TypeVar("T")

_LARGEST = 1 << 16
_UNDO_SECONDS = 30.0


class Sidecars:
    """Marks by the name of the file that holds them."""

    def __init__(self, link: Link, pools: Pools) -> None:
        self._link = link
        self._pools = pools

    def write(self, ctx: Context, pool: str, name: str, mark: Mark, *, new: bool) -> None:
        """Write or replace a mark. Raises Conflict when it is to be ``new`` and is not."""
        data = marks.encode(mark)
        directory = self._pools.local_directory(ctx, pool)
        if directory is None:
            self._write_remote(ctx, VolumeRef(pool, name), data, new=new)
            return
        try:
            _local("write", pool, name, lambda: files.write(directory, name, data, new=new))
        except FileExistsError:
            raise _taken(pool, name) from None

    def read(self, ctx: Context, pool: str, name: str) -> Mark | None:
        """The mark, None when there is none or it cannot be understood. Raises NotFound when the pool is not there."""
        directory = self._pools.local_directory(ctx, pool)
        if directory is None:
            return self._read_remote(ctx, VolumeRef(pool, name))
        with contextlib.suppress(FileNotFoundError):
            return marks.decode(_local("read", pool, name, lambda: files.read(directory, name, length=_LARGEST)))
        return None

    def delete(self, ctx: Context, pool: str, name: str) -> None:
        """Delete a mark; one that is not there, in a pool that is not there, is a success."""
        try:
            directory = self._pools.local_directory(ctx, pool)
        except NotFound:
            return
        if directory is None:
            self._delete_remote(ctx, VolumeRef(pool, name))
        else:
            # libvirt forgets the file, should it have seen it, when it next looks into the pool.
            _local("delete", pool, name, lambda: files.remove(directory, name))

    def all(self, ctx: Context, pool: str) -> Sequence[tuple[str, Mark]]:
        """Every volume name that has a mark in the pool, with it."""
        found = []
        for name in self._names(ctx, pool):
            volume = marks.marked_volume(name)
            mark = None if volume is None else self.read(ctx, pool, name)
            if volume is not None and mark is not None:
                found.append((volume, mark))
        return found

    def _names(self, ctx: Context, pool: str) -> list[str]:
        directory = self._pools.local_directory(ctx, pool)
        if directory is not None:
            return _local("list", pool, "", lambda: files.names(directory))
        self._pools.refresh(ctx, pool)
        return self._link.run(
            ctx,
            f"list the marks of pool '{pool}'",
            lambda opened: [volume.name() for volume in known(opened, pool).handle.listAllVolumes(0)],
        )

    def _write_remote(self, ctx: Context, ref: VolumeRef, data: bytes, *, new: bool) -> None:
        document = volume_document(ref.name, format="raw", virtual_size=len(data))

        def prepare(opened: Opened) -> int:
            """Make room for the mark; returns how large its volume is."""
            pool = known(opened, ref.pool).handle
            if new:
                pool.createXML(document, 0)
                return len(data)
            with tolerating(ErrorCode.STORAGE_VOL_EXIST):
                pool.createXML(document, 0)
                return len(data)
            volume = pool.storageVolLookupByName(ref.name)
            size = int(volume.info()[1])
            if size < len(data):
                volume.resize(len(data), 0)
            return max(size, len(data))

        try:
            size = self._link.run(ctx, f"mark volume '{ref}'", prepare)
        except Conflict:
            raise _taken(ref.pool, ref.name) from None
        try:
            streams.upload(ctx, self._link, ref, iter([Chunk(data.ljust(size))]))
        except BaseException:
            if new:  # nobody must find the name claimed by nobody
                with contextlib.suppress(KilnError):
                    self._delete_remote(ctx.unhurried(_UNDO_SECONDS), ref)
            raise

    def _read_remote(self, ctx: Context, ref: VolumeRef) -> Mark | None:
        try:
            return marks.decode(streams.download(ctx, self._link, ref, 0, _LARGEST))
        except NotFound:
            # It may have been written by a Kiln on the node itself, which libvirt sees when it looks again.
            self._pools.refresh(ctx, ref.pool)
        with contextlib.suppress(NotFound):
            return marks.decode(streams.download(ctx, self._link, ref, 0, _LARGEST))
        return None

    def _delete_remote(self, ctx: Context, ref: VolumeRef) -> None:
        def work(opened: Opened) -> None:
            with tolerating(ErrorCode.NO_STORAGE_VOL, ErrorCode.NO_STORAGE_POOL):
                known(opened, ref.pool).handle.storageVolLookupByName(ref.name).delete(0)

        self._link.run(ctx, f"delete the mark '{ref}'", work)


def _taken(pool: str, name: str) -> Conflict:
    volume = marks.marked_volume(name) or name
    return Conflict(
        f"volume '{pool}/{volume}' already has an ownership mark",
        cause="another operation claimed the name first",
        action="choose another name, or wait for the other operation to end and run again",
    )


def _local(verb: str, pool: str, name: str, work: Callable[[], T]) -> T:
    try:
        return work()
    except (FileExistsError, FileNotFoundError):
        raise
    except OSError as error:
        raise KilnError(
            f"could not {verb} '{name}' in pool '{pool}'",
            cause=error.strerror or str(error),
            action="free space in the pool, or let this user write in its directory, and run again",
        ) from error
