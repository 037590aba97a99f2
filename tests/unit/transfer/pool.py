"""A pool for uploads: a directory on this machine, or volumes behind a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from kiln.framework.context import Context
from kiln.framework.errors import Conflict, NotFound
from kiln.ports.volumes import Chunk, Format, Pool, Volume, VolumeRef, Volumes


def nothing(ctx: Context) -> None:
    """Happens by default."""


@dataclass
class FakeVolumes:
    """As much of a node's storage as an upload uses. ``during`` runs inside adopt and upload."""

    directory: Path | None = None
    available: int = 1 << 50
    content: dict[str, bytearray] = field(default_factory=dict)
    made: dict[str, Volume] = field(default_factory=dict)
    during: Callable[[Context], None] = nothing
    chunks: list[tuple[int, int]] = field(default_factory=list)

    @property
    def port(self) -> Volumes:
        """The same, for callers that want the whole port."""
        return cast(Volumes, self)

    def pool(self, ctx: Context, name: str) -> Pool:
        return Pool(name, "dir", "/pool", True, 1 << 50, self.available)

    def local_directory(self, ctx: Context, pool: str) -> Path | None:
        return self.directory

    def adopt(self, ctx: Context, ref: VolumeRef, *, format: Format, virtual_size: int, temporary: Path) -> Volume:
        self.during(ctx)
        if ref.name in self.made:
            raise Conflict(f"volume '{ref}' is there")
        assert self.directory is not None
        final = self.directory / ref.name
        temporary.rename(final)
        return self._add(ref, format, virtual_size, str(final))

    def create(self, ctx: Context, ref: VolumeRef, *, format: Format, virtual_size: int, mode: int = 0o600) -> Volume:
        if ref.name in self.made:
            raise Conflict(f"volume '{ref}' is there")
        self.content[ref.name] = bytearray()
        return self._add(ref, format, virtual_size, f"/pool/{ref.name}")

    def upload(self, ctx: Context, ref: VolumeRef, chunks: Iterator[Chunk]) -> None:
        for chunk in chunks:
            data = bytes(chunk.hole) if chunk.data is None else bytes(chunk.data)
            self.chunks.append((len(data) if chunk.data is not None else 0, chunk.hole))
            self.content[ref.name] += data
            self.during(ctx)

    def get(self, ctx: Context, ref: VolumeRef) -> Volume:
        if ref.name not in self.made:
            raise NotFound(f"volume '{ref}' is not there")
        return self.made[ref.name]

    def delete(self, ctx: Context, ref: VolumeRef) -> None:
        ctx.check("deleting")
        self.made.pop(ref.name, None)
        self.content.pop(ref.name, None)

    def download(self, ctx: Context, ref: VolumeRef, offset: int, length: int) -> bytes:
        return bytes(self.content[ref.name][offset : offset + length])

    def _add(self, ref: VolumeRef, format: Format, virtual_size: int, path: str) -> Volume:
        self.made[ref.name] = Volume(ref, path, format, virtual_size, 0)
        return self.made[ref.name]
