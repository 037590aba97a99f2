"""The storage of one libvirt node. Fits ``ports.Volumes``."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from kiln.framework.context import Context
from kiln.framework.errors import KilnError, NotFound, Refused
from kiln.platforms.libvirt import backing, files, marks, streams
from kiln.platforms.libvirt.codes import ErrorCode
from kiln.platforms.libvirt.connection import Link, Opened
from kiln.platforms.libvirt.contents import Contents
from kiln.platforms.libvirt.faults import tolerating
from kiln.platforms.libvirt.locks import locked
from kiln.platforms.libvirt.pools import Pools, known
from kiln.platforms.libvirt.sidecars import Sidecars
from kiln.platforms.libvirt.tags import tags
from kiln.platforms.libvirt.temporaries import Temporaries
from kiln.platforms.libvirt.uris import is_local
from kiln.platforms.libvirt.xml.volume import told_volume
from kiln.platforms.libvirt.xml.volume import volume as volume_document
from kiln.ports.marks import Mark
from kiln.ports.volumes import Chunk, Format, Pool, Temporary, Volume, VolumeRef

T = TypeVar("T")

# A copy of a large volume takes as long as it takes; the operation's own deadline ends it.
_COPY_SECONDS = 86400.0
# The key of a pool's mark that says whether its directory was made with it.
_DIRECTORY = "directory"


class LibvirtVolumes:
    """Pools and volumes. ``bulk`` is a connection of its own for long transfers, which would fill up ``link``;
    ``contents`` is what was read of the pools moments ago."""

    def __init__(self, link: Link, bulk: Link, contents: Contents) -> None:
        self._link = link
        self._bulk = bulk
        self._contents = contents
        self._pools = Pools(link)
        self._sidecars = Sidecars(link, self._pools)
        self._temporaries = Temporaries(link, self._pools)

    def pool(self, ctx: Context, name: str) -> Pool:
        """The pool named ``name``."""
        return self._pools.get(ctx, name)

    def pools(self, ctx: Context) -> Sequence[Pool]:
        """All pools that volumes can be made in."""
        return self._pools.all(ctx)

    def ensure_pool(self, ctx: Context, name: str, path: str | None) -> bool:
        """Make sure the pool exists and runs; True when it was made now."""
        if self._pools.start(ctx, name):
            return False
        with locked(ctx, self._link.uri, f"pool {name}"):
            if self._pools.start(ctx, name):
                return False
            # A directory that was there, or on another machine may have been, is not Kiln's to remove.
            new = path is None or (is_local(self._link.uri) and not Path(path).exists())
            if not self._pools.make(ctx, name, path):
                return False
            info = {_DIRECTORY: "new" if new else "theirs"}
            mark = Mark(operation="shared", phase="done", urn=ctx.urn, role="pool", info=info)
            self._sidecars.write(ctx, name, marks.POOL_MARK, mark, new=False)
            return True

    def pool_mark(self, ctx: Context, name: str) -> Mark | None:
        """The mark of a pool that Kiln made."""
        return self._sidecars.read(ctx, name, marks.POOL_MARK)

    def remove_pool(self, ctx: Context, name: str) -> bool:
        """Remove a pool that Kiln made and that holds no volume."""
        with locked(ctx, self._link.uri, f"pool {name}"):
            if not self._pools.start(ctx, name):
                return False
            mark = self._sidecars.read(ctx, name, marks.POOL_MARK)
            # A mark without a volume is somebody about to make one, or who died doing so: `kiln gc` tells.
            if mark is None or self.list(ctx, name) or self._sidecars.all(ctx, name):
                return False
            self._sidecars.delete(ctx, name, marks.POOL_MARK)
            self._pools.remove(ctx, name, with_directory=mark.info.get(_DIRECTORY) == "new")
            return True

    def discard_pool(self, ctx: Context, name: str) -> None:
        """Remove a pool that was made for a moment."""
        self._pools.discard(ctx, name)

    def list(self, ctx: Context, pool: str) -> Sequence[Volume]:
        """All volumes of the pool."""
        return self._link.run(
            ctx, f"list pool '{pool}'", lambda opened: backing.volumes_of(known(opened, pool).handle, pool)
        )

    def get(self, ctx: Context, ref: VolumeRef, *, recent: bool = False) -> Volume:
        """One volume, read afresh, or with ``recent`` as it was a few seconds ago."""
        if recent and (found := self._contents.get(ctx, ref)) is not None:
            return found
        return self._with(ctx, "read", ref, lambda volume: told_volume(volume.XMLDesc(0), ref.pool))

    def by_path(self, ctx: Context, path: str, *, recent: bool = False) -> Volume:
        """The volume stored at ``path`` on the node, read afresh, or with ``recent`` as it was a few seconds ago."""
        if recent and (found := self._contents.at(ctx, path)) is not None:
            return found
        return self._link.run(ctx, f"find the volume at {path}", lambda opened: backing.at(opened, path))

    def chain(self, ctx: Context, ref: VolumeRef) -> Sequence[Volume]:
        """The volume and everything it is an overlay of, top first."""
        top = self.get(ctx, ref)
        if top.backing is None:
            return (top,)
        return self._link.run(ctx, f"read what volume '{ref}' is built on", lambda opened: backing.chain(opened, top))

    def overlays(self, ctx: Context, ref: VolumeRef) -> Sequence[VolumeRef]:
        """The volumes, in any pool of the node, that have this one in their backing chain."""
        path = self.get(ctx, ref).path
        return backing.built_on(path, self._contents.now(ctx))

    def create(
        self,
        ctx: Context,
        ref: VolumeRef,
        *,
        format: Format,
        virtual_size: int,
        backing: Volume | None = None,
        mode: int = 0o600,
    ) -> Volume:
        """Make an empty volume, or an overlay of ``backing``."""
        document = volume_document(ref.name, format=format, virtual_size=virtual_size, backing=backing, mode=mode)

        def work(opened: Opened) -> Volume:
            made = known(opened, ref.pool).handle.createXML(document, 0)
            return told_volume(made.XMLDesc(0), ref.pool)

        return self._run(ctx, f"make volume '{ref}'", ref.pool, work)

    def delete(self, ctx: Context, ref: VolumeRef) -> None:
        """Delete a volume; one that is not there is a success."""
        with self._contents.changing(ref), contextlib.suppress(NotFound):
            self._with(ctx, "delete", ref, lambda volume: volume.delete(0))

    def grow(self, ctx: Context, ref: VolumeRef, virtual_size: int) -> None:
        """Make the volume's virtual size ``virtual_size`` bytes."""

        def work(volume: Any) -> None:
            size = int(volume.info()[1])
            if size > virtual_size:
                raise Refused(
                    f"volume '{ref}' is {size} bytes large and would shrink to {virtual_size}",
                    action="ask for a size that is not smaller than the volume's",
                )
            if size < virtual_size:
                volume.resize(virtual_size, 0)

        with self._contents.changing(ref):
            self._with(ctx, "grow", ref, work)

    def copy(self, ctx: Context, source: Volume, ref: VolumeRef, *, format: Format, virtual_size: int) -> Volume:
        """A full, independent copy made by the node itself."""
        document = volume_document(ref.name, format=format, virtual_size=virtual_size)

        def work(opened: Opened) -> Volume:
            original = known(opened, source.ref.pool).handle.storageVolLookupByName(source.ref.name)
            made = known(opened, ref.pool).handle.createXMLFrom(document, original, 0)
            if made.info()[1] < virtual_size:
                made.resize(virtual_size, 0)
            return told_volume(made.XMLDesc(0), ref.pool)

        return self._bulk.run(ctx, f"copy volume '{source.ref}' to '{ref}'", work, seconds=_COPY_SECONDS)

    def local_directory(self, ctx: Context, pool: str) -> Path | None:
        """The pool's directory when it lies on this machine and this process may write in it."""
        return self._pools.local_directory(ctx, pool)

    def adopt(self, ctx: Context, ref: VolumeRef, *, format: Format, virtual_size: int, temporary: Path) -> Volume:
        """Give the finished file ``temporary`` the volume's final name.

        An empty volume claims the name, and tells the node format and size, then the file takes its place: the node
        knows the volume without looking into the pool again, which others' builds would be in the way of.
        """
        directory = self._pools.local_directory(ctx, ref.pool)
        if directory is None:
            raise KilnError(f"pool '{ref.pool}' has no directory that this process can write in")
        self.create(ctx, ref, format=format, virtual_size=virtual_size)
        try:
            with self._contents.changing(ref):
                files.replace(directory, temporary, ref.name)
        except OSError as error:
            self.delete(ctx.unhurried(30), ref)
            raise KilnError(f"could not name volume '{ref}'", cause=error.strerror, action="run again") from error
        return self.get(ctx, ref)

    def upload(self, ctx: Context, ref: VolumeRef, chunks: Iterator[Chunk]) -> None:
        """Write ``chunks`` from offset 0 into an existing volume over a sparse libvirt stream."""
        with self._contents.changing(ref):
            streams.upload(ctx, self._bulk, ref, chunks)

    def download(self, ctx: Context, ref: VolumeRef, offset: int, length: int) -> bytes:
        """``length`` bytes of the volume's file from ``offset``."""
        directory = self._pools.local_directory(ctx, ref.pool)
        if directory is not None:
            with contextlib.suppress(OSError):  # not ours to read, or not there: the node says which
                return files.read(directory, ref.name, offset=offset, length=length)
        return streams.download(ctx, self._bulk, ref, offset, length)

    def snapshots(self, ctx: Context, ref: VolumeRef) -> Sequence[str]:
        """The names of all snapshots whose content is inside the volume."""
        return tags(lambda offset, length: self.download(ctx, ref, offset, length))

    def write_mark(self, ctx: Context, ref: VolumeRef, mark: Mark, *, new: bool = False) -> None:
        """Write or replace the volume's ownership mark."""
        self._sidecars.write(ctx, ref.pool, marks.sidecar(ref.name), mark, new=new)

    def exists(self, ctx: Context, ref: VolumeRef) -> bool:
        """Whether the volume is there: a look at its file where that is within reach."""
        directory = self._pools.local_directory(ctx, ref.pool)
        if directory is not None:
            return os.path.lexists(directory / ref.name)
        try:
            self.get(ctx, ref)
        except NotFound:
            return False
        return True

    def read_mark(self, ctx: Context, ref: VolumeRef) -> Mark | None:
        """The volume's ownership mark."""
        return self._sidecars.read(ctx, ref.pool, marks.sidecar(ref.name))

    def delete_mark(self, ctx: Context, ref: VolumeRef) -> None:
        """Delete the volume's ownership mark."""
        self._sidecars.delete(ctx, ref.pool, marks.sidecar(ref.name))

    def marks(self, ctx: Context, pool: str) -> Sequence[tuple[VolumeRef, Mark]]:
        """All marks in the pool."""
        return [(VolumeRef(pool, name), mark) for name, mark in self._sidecars.all(ctx, pool)]

    def temporaries(self, ctx: Context, pool: str) -> Sequence[Temporary]:
        """All temporary volumes and files in the pool."""
        return self._temporaries.all(ctx, pool)

    def _with(self, ctx: Context, verb: str, ref: VolumeRef, work: Callable[[Any], T]) -> T:
        """Run ``work`` on the volume; a file that the node has not seen yet makes it look again."""

        def call(opened: Opened) -> T:
            return work(known(opened, ref.pool).handle.storageVolLookupByName(ref.name))

        doing = f"{verb} volume '{ref}'"
        try:
            return self._run(ctx, doing, ref.pool, call)
        except NotFound:
            directory = self._pools.local_directory(ctx, ref.pool)
            if directory is None or not (directory / ref.name).is_file():
                raise
        self._pools.refresh(ctx, ref.pool)
        return self._run(ctx, doing, ref.pool, call)

    def _run(self, ctx: Context, doing: str, pool: str, work: Callable[[Opened], T]) -> T:
        """Run ``work`` once more when the pool it was looked up as has been made anew since."""

        def call(opened: Opened) -> T:
            if pool in opened.pools:
                with tolerating(ErrorCode.NO_STORAGE_POOL):
                    return work(opened)
                opened.pools.pop(pool, None)
            return work(opened)

        return self._link.run(ctx, doing, call)
