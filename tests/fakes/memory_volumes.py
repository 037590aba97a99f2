"""Storage in memory. Fits ``ports.Volumes``. Tests reach into ``named``, the pools, and ``changed``, when temporary
volumes were last written to."""

from __future__ import annotations

import threading
from collections.abc import Iterator, MutableSequence, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from kiln.framework.context import Context
from kiln.framework.errors import Conflict, KilnError, NotFound, Refused
from kiln.ports.marks import Mark
from kiln.ports.volumes import TEMPORARY_PREFIX, Chunk, Format, Pool, Temporary, Volume, VolumeRef


@dataclass
class Content:
    """A sparse file: pieces of data by offset, later ones over earlier ones, zeros between."""

    pieces: list[tuple[int, bytes]] = field(default_factory=list)
    length: int = 0

    def read(self, offset: int, length: int) -> bytes:
        found = bytearray(max(0, min(length, self.length - offset)))
        for start, data in self.pieces:
            first, last = max(start, offset), min(start + len(data), offset + len(found))
            if first < last:
                found[first - offset : last - offset] = data[first - start : last - start]
        return bytes(found)

    def copy(self) -> Content:
        """What is in it now."""
        return Content(list(self.pieces), self.length)

    @property
    def allocation(self) -> int:
        return sum(len(data) for _, data in self.pieces)


@dataclass
class MemoryPool:
    path: str
    ours: bool = False
    active: bool = True
    volumes: dict[str, Volume] = field(default_factory=dict)
    contents: dict[str, Content] = field(default_factory=dict)
    marks: dict[str, Mark] = field(default_factory=dict)
    snapshots: dict[str, list[str]] = field(default_factory=dict)


class MemoryVolumes:
    """Pools by name. With a ``directory`` they are local: a volume can be adopted from a file in it."""

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory
        self._lock = threading.RLock()
        self.named: dict[str, MemoryPool] = {}
        self.changed: dict[str, float] = {}

    def pool(self, ctx: Context, name: str) -> Pool:
        found = self._pool(ctx, name)
        return Pool(name, "dir", found.path, active=found.active, capacity=1 << 40, available=1 << 39)

    def pools(self, ctx: Context) -> Sequence[Pool]:
        return [self.pool(ctx, name) for name in dict(self.named)]

    def ensure_pool(self, ctx: Context, name: str, path: str | None) -> bool:
        ctx.check("make the pool")
        with self._lock:
            if name in self.named:
                self.named[name].active = True
                return False
            local = None if self._directory is None else self._directory / name
            if local is not None:
                local.mkdir(mode=0o711, parents=True, exist_ok=True)
            self.named[name] = MemoryPool(path or str(local or f"/memory/{name}"), ours=True)
            return True

    def pool_mark(self, ctx: Context, name: str) -> Mark | None:
        return Mark("shared", "done", role="pool") if self.named[name].ours else None

    def remove_pool(self, ctx: Context, name: str) -> bool:
        ctx.check("remove the pool")
        with self._lock:
            found = self.named.get(name)
            if found is None or not found.ours or found.volumes or found.marks:
                return False
            del self.named[name]
            return True

    def discard_pool(self, ctx: Context, name: str) -> None:
        ctx.check("remove the pool")
        self.named.pop(name, None)

    def list(self, ctx: Context, pool: str) -> Sequence[Volume]:
        return [volume for volume in self._running(ctx, pool).volumes.values() if not _temporary(volume.ref.name)]

    def get(self, ctx: Context, ref: VolumeRef, *, recent: bool = False) -> Volume:
        found = self._running(ctx, ref.pool).volumes.get(ref.name)
        if found is None:
            raise NotFound(f"could not read volume '{ref}'")
        return found

    def by_path(self, ctx: Context, path: str, *, recent: bool = False) -> Volume:
        for volume in self._all(ctx):
            if volume.path == path:
                return volume
        raise NotFound(f"could not find the volume at {path}")

    def chain(self, ctx: Context, ref: VolumeRef) -> Sequence[Volume]:
        found = [self.get(ctx, ref)]
        while (below := found[-1].backing) is not None:
            try:
                found.append(self.by_path(ctx, below))
            except NotFound as error:
                raise Refused(f"volume '{found[-1].ref}' is an overlay of {below}, which is in no pool") from error
        return tuple(found)

    def overlays(self, ctx: Context, ref: VolumeRef) -> Sequence[VolumeRef]:
        path = self.get(ctx, ref).path
        paths, found = {path}, dict[VolumeRef, None]()
        while True:
            above = [volume for volume in self._all(ctx) if volume.backing in paths and volume.ref not in found]
            if not above:
                return tuple(found)
            for volume in above:
                found[volume.ref] = None
                paths.add(volume.path)

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
        with self._lock:
            pool = self._running(ctx, ref.pool)
            if ref.name in pool.volumes:
                raise Conflict(f"could not make volume '{ref}'", cause="it exists already")
            made = Volume(
                ref=ref,
                path=f"{pool.path}/{ref.name}",
                format="qcow2" if format == "qcow2" else "raw",
                virtual_size=virtual_size,
                allocation=0,
                backing=None if backing is None else backing.path,
            )
            pool.volumes[ref.name] = made
            pool.contents[ref.name] = Content(length=virtual_size if made.format == "raw" else 0)
            return made

    def delete(self, ctx: Context, ref: VolumeRef) -> None:
        ctx.check("delete the volume")
        with self._lock:
            pool = self.named.get(ref.pool)
            if pool is not None:
                pool.volumes.pop(ref.name, None)
                pool.contents.pop(ref.name, None)
                pool.snapshots.pop(ref.name, None)
                if self._directory is not None:
                    (Path(pool.path) / ref.name).unlink(missing_ok=True)

    def grow(self, ctx: Context, ref: VolumeRef, virtual_size: int) -> None:
        with self._lock:
            found = self.get(ctx, ref)
            if virtual_size < found.virtual_size:
                raise Refused(f"volume '{ref}' would shrink")
            self._put(replace(found, virtual_size=virtual_size))
            if found.format == "raw":
                self.named[ref.pool].contents[ref.name].length = virtual_size

    def copy(self, ctx: Context, source: Volume, ref: VolumeRef, *, format: Format, virtual_size: int) -> Volume:
        with self._lock:
            original = self.get(ctx, source.ref)
            size = max(virtual_size, original.virtual_size)
            made = self.create(ctx, ref, format=format, virtual_size=size)
            self.fill(source.ref, ref)
            return made

    def fill(self, source: VolumeRef, ref: VolumeRef) -> None:
        """Give a volume the content of another, with what that is an overlay of."""
        chain = [self.named[one.ref.pool].contents[one.ref.name] for one in self.chain(Context(), source)]
        kept = self.named[ref.pool].contents[ref.name]
        kept.pieces = [piece for content in reversed(chain) for piece in content.pieces]
        kept.length = max(kept.length, *(content.length for content in chain))

    def local_directory(self, ctx: Context, pool: str) -> Path | None:
        found = self._pool(ctx, pool)
        return None if self._directory is None else Path(found.path)

    def adopt(self, ctx: Context, ref: VolumeRef, *, format: Format, virtual_size: int, temporary: Path) -> Volume:
        with self._lock:
            self.create(ctx, ref, format=format, virtual_size=virtual_size)
            data = temporary.read_bytes()
            temporary.unlink()
            self.named[ref.pool].contents[ref.name] = Content([(0, data)], len(data))
            return self._allocated(ref)

    def upload(self, ctx: Context, ref: VolumeRef, chunks: Iterator[Chunk]) -> None:
        self.get(ctx, ref)
        content, offset = self.named[ref.pool].contents[ref.name], 0
        for chunk in chunks:
            ctx.check("upload")
            if chunk.data is not None:
                content.pieces.append((offset, bytes(chunk.data)))
            offset += chunk.hole if chunk.data is None else len(chunk.data)
            content.length = max(content.length, offset)
        self._allocated(ref)

    def download(self, ctx: Context, ref: VolumeRef, offset: int, length: int) -> bytes:
        self.get(ctx, ref)
        return self.named[ref.pool].contents[ref.name].read(offset, length)

    def write_mark(self, ctx: Context, ref: VolumeRef, mark: Mark, *, new: bool = False) -> None:
        with self._lock:
            pool = self._pool(ctx, ref.pool)
            if new and ref.name in pool.marks:
                raise Conflict(f"volume '{ref}' already has an ownership mark")
            pool.marks[ref.name] = mark

    def exists(self, ctx: Context, ref: VolumeRef) -> bool:
        """Whether the volume is there."""
        return ref.name in self._pool(ctx, ref.pool).volumes

    def read_mark(self, ctx: Context, ref: VolumeRef) -> Mark | None:
        return self._pool(ctx, ref.pool).marks.get(ref.name)

    def delete_mark(self, ctx: Context, ref: VolumeRef) -> None:
        ctx.check("delete the mark")
        with self._lock:
            pool = self.named.get(ref.pool)
            if pool is not None:
                pool.marks.pop(ref.name, None)

    def marks(self, ctx: Context, pool: str) -> Sequence[tuple[VolumeRef, Mark]]:
        return [(VolumeRef(pool, name), mark) for name, mark in self._pool(ctx, pool).marks.items()]

    def temporaries(self, ctx: Context, pool: str) -> Sequence[Temporary]:
        names = {name for name in self._pool(ctx, pool).volumes if _temporary(name)}
        directory = self.local_directory(ctx, pool)
        if directory is not None:
            names |= {file.name for file in directory.glob(f"{TEMPORARY_PREFIX}*")}
        path = self._pool(ctx, pool).path
        return [Temporary(VolumeRef(pool, name), f"{path}/{name}", self._changed(pool, name)) for name in sorted(names)]

    def _changed(self, pool: str, name: str) -> float:
        file = Path(self.named[pool].path) / name
        return file.stat().st_mtime if file.exists() else self.changed.get(name, 0.0)

    def resize(self, path: str, virtual_size: int) -> None:
        """What a guest that grows its disk does to the volume."""
        found = self.by_path(Context(), path)
        self.grow(Context(), found.ref, virtual_size)

    def snapshots(self, ctx: Context, ref: VolumeRef) -> Sequence[str]:
        self.get(ctx, ref)
        return tuple(self.held(ref))

    def held(self, ref: VolumeRef) -> MutableSequence[str]:
        """The names of the snapshots inside a volume, to change."""
        return self.named[ref.pool].snapshots.setdefault(ref.name, [])

    def content(self, ref: VolumeRef) -> Content:
        """What is in a volume."""
        return self.named[ref.pool].contents[ref.name]

    def put_back(self, volume: Volume, content: Content) -> None:
        """Make a volume what it was once."""
        with self._lock:
            self._put(volume)
            self.named[volume.ref.pool].contents[volume.ref.name] = content.copy()

    def _pool(self, ctx: Context, name: str) -> MemoryPool:
        ctx.check("read the pool")
        if name not in self.named:
            raise NotFound(f"could not read storage pool '{name}'")
        return self.named[name]

    def _running(self, ctx: Context, name: str) -> MemoryPool:
        found = self._pool(ctx, name)
        if not found.active:
            raise KilnError(f"could not read storage pool '{name}'", cause=f"storage pool '{name}' is not active")
        return found

    def _all(self, ctx: Context) -> tuple[Volume, ...]:
        ctx.check("list the volumes")
        everything = [volume for pool in self.named.values() if pool.active for volume in pool.volumes.values()]
        return tuple(volume for volume in everything if not _temporary(volume.ref.name))

    def _put(self, volume: Volume) -> Volume:
        self.named[volume.ref.pool].volumes[volume.ref.name] = volume
        return volume

    def _allocated(self, ref: VolumeRef) -> Volume:
        pool = self.named[ref.pool]
        found = pool.volumes.get(ref.name)
        if found is None:
            raise KilnError(f"volume '{ref}' went away while it was written")
        return self._put(replace(found, allocation=pool.contents[ref.name].allocation))


def _temporary(name: str) -> bool:
    return name.startswith(TEMPORARY_PREFIX) and not name.endswith(".kiln")
