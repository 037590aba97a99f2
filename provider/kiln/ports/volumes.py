"""Storage: pools and the volumes in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from kiln.framework.context import Context
from kiln.ports.marks import Mark

Format = Literal["qcow2", "raw", "iso"]

TEMPORARY_PREFIX = ".kiln-"
"""How the names of Kiln's temporary volumes and files in a pool begin. They are in no listing but ``temporaries``."""
PROBE_PREFIX = "kiln-probe-"
"""How the names of guests and pools begin that Kiln makes for the moment of a probe."""


@dataclass(frozen=True)
class Pool:
    """A storage pool. ``path`` is the directory on the node, empty for pools without one; sizes are bytes.

    ``lost`` says that the directory is seen to be gone, which the node itself notices late.
    """

    name: str
    type: str
    path: str
    active: bool
    capacity: int = 0
    available: int = 0
    lost: bool = False


@dataclass(frozen=True)
class VolumeRef:
    """A volume by its pool and name; its text form ``pool/name`` is the id of images and disks."""

    pool: str
    name: str

    def __str__(self) -> str:
        return f"{self.pool}/{self.name}"


@dataclass(frozen=True)
class Temporary:
    """A temporary volume or file in a pool, by the start of its name (see ``TEMPORARY_PREFIX``). ``path`` is where it
    lies on the node; ``changed`` is when it was last written to, in seconds since the epoch by the node's clock."""

    ref: VolumeRef
    path: str
    changed: float


@dataclass(frozen=True)
class Volume:
    """A volume as the node sees it. Sizes are bytes. ``format`` is what QEMU opens it as: the image of a CD is ``raw``.

    ``backing`` is the path of the file this one is an overlay of, or None.
    """

    ref: VolumeRef
    path: str
    format: str
    virtual_size: int
    allocation: int
    backing: str | None = None


@dataclass(frozen=True)
class Chunk:
    """A piece of a volume's content: ``data``, or a hole of ``hole`` bytes when ``data`` is None."""

    data: bytes | memoryview | None
    hole: int = 0


class Volumes(Protocol):
    """What can be done with the storage of one node.

    Sidecars (``.<volume>.kiln``) and files under a temporary name never appear in any listing.
    """

    def pool(self, ctx: Context, name: str) -> Pool:
        """The pool named ``name``. Raises NotFound."""

    def pools(self, ctx: Context) -> Sequence[Pool]:
        """All pools that volumes can be made in, stopped ones too."""

    def ensure_pool(self, ctx: Context, name: str, path: str | None) -> bool:
        """Make sure the pool exists and runs; True when it was made now (then it is marked as Kiln's, shared).

        ``path`` is the directory for a new pool (default: chosen by the platform). An existing pool is started when it
        is stopped, never changed and never owned. Safe to call from many threads and processes at once.
        """

    def pool_mark(self, ctx: Context, name: str) -> Mark | None:
        """The mark of a pool that Kiln made, None for any other."""

    def remove_pool(self, ctx: Context, name: str) -> bool:
        """Remove a pool that Kiln made and that holds no volume; True when removed, False when it is left alone."""

    def discard_pool(self, ctx: Context, name: str) -> None:
        """Remove a pool that was made for a moment (see ``PROBE_PREFIX``), and its directory unless somebody
        keeps something in it; one that is not there is a success."""

    def list(self, ctx: Context, pool: str) -> Sequence[Volume]:
        """All volumes of the pool."""

    def get(self, ctx: Context, ref: VolumeRef, *, recent: bool = False) -> Volume:
        """One volume, read afresh. Raises NotFound (of pool or volume).

        With ``recent`` it may be told as it was a few seconds ago, though never as it was before a change made through
        this node: a refresh of many guests then reads a pool once. Never decide on a change by it."""

    def by_path(self, ctx: Context, path: str, *, recent: bool = False) -> Volume:
        """The volume stored at ``path`` on the node. ``recent`` as for ``get``. Raises NotFound."""

    def chain(self, ctx: Context, ref: VolumeRef) -> Sequence[Volume]:
        """The volume and everything it is an overlay of, top first. Raises NotFound, or Refused for a chain that
        leaves the node's pools."""

    def overlays(self, ctx: Context, ref: VolumeRef) -> Sequence[VolumeRef]:
        """The volumes, in any pool of the node, that have this one in their backing chain.

        What a volume is built on may be told as it was a few seconds ago; one that is new is seen."""

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
        """Make an empty volume, or an overlay of ``backing`` (qcow2, compat 1.1). Raises Conflict when the name is
        taken, NotFound when the pool is not there."""

    def delete(self, ctx: Context, ref: VolumeRef) -> None:
        """Delete a volume; one that is not there is a success."""

    def grow(self, ctx: Context, ref: VolumeRef, virtual_size: int) -> None:
        """Make the volume's virtual size ``virtual_size`` bytes. Raises Refused when that would shrink it."""

    def copy(self, ctx: Context, source: Volume, ref: VolumeRef, *, format: Format, virtual_size: int) -> Volume:
        """A full, independent copy made by the node itself (``virStorageVolCreateXMLFrom``)."""

    def local_directory(self, ctx: Context, pool: str) -> Path | None:
        """The pool's directory when it lies on this machine and this process may write in it, else None."""

    def adopt(self, ctx: Context, ref: VolumeRef, *, format: Format, virtual_size: int, temporary: Path) -> Volume:
        """Give the finished file ``temporary`` (in the pool's local directory, synced) the volume's final name.

        The name appears at once and whole, and the node knows the volume afterwards. Raises Conflict when taken.
        """

    def upload(self, ctx: Context, ref: VolumeRef, chunks: Iterator[Chunk]) -> None:
        """Write ``chunks`` from offset 0 into an existing volume over a sparse libvirt stream."""

    def download(self, ctx: Context, ref: VolumeRef, offset: int, length: int) -> bytes:
        """``length`` bytes of the volume's file from ``offset`` (not of the guest's view of a qcow2)."""

    def snapshots(self, ctx: Context, ref: VolumeRef) -> Sequence[str]:
        """The names of all snapshots whose content is inside the volume, whether a guest knows of them or not."""

    def write_mark(self, ctx: Context, ref: VolumeRef, mark: Mark, *, new: bool = False) -> None:
        """Write or replace the volume's ownership mark (0600 sidecar). With ``new`` an existing mark is left as it is
        and Conflict raised, atomically: of two processes that claim one name, one wins."""

    def exists(self, ctx: Context, ref: VolumeRef) -> bool:
        """Whether the volume is there, as cheaply as the node can tell."""

    def read_mark(self, ctx: Context, ref: VolumeRef) -> Mark | None:
        """The volume's ownership mark, None when there is none or it cannot be understood."""

    def delete_mark(self, ctx: Context, ref: VolumeRef) -> None:
        """Delete the volume's ownership mark; one that is not there is a success."""

    def marks(self, ctx: Context, pool: str) -> Sequence[tuple[VolumeRef, Mark]]:
        """All marks in the pool, also those whose volume is not there."""

    def temporaries(self, ctx: Context, pool: str) -> Sequence[Temporary]:
        """All temporary volumes and files in the pool. ``delete`` deletes each."""
