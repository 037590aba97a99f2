"""From an image to a writable disk: which kind of clone, why, and making it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

from kiln.framework.context import Context
from kiln.framework.errors import InputError, Refused
from kiln.framework.plan import Change
from kiln.framework.units import Size
from kiln.framework.values import UNKNOWN
from kiln.ports.volumes import Volume, VolumeRef, Volumes
from kiln.resources.ownership import held

Mode = Literal["auto", "linked", "full"]
Method = Literal["linked", "full"]


# A qcow2 image with clusters of 64 KiB: 32 MiB of L1 entries, each for 512 MiB (QCOW_MAX_L1_SIZE in QEMU's
# block/qcow2.h). Any other: BDRV_MAX_LENGTH.
_MOST = {"qcow2": 2 << 50, "raw": (1 << 63) - (1 << 30)}


def check_size(size: Size | None, format: Literal["qcow2", "raw"], path: str) -> None:
    """Refuse a disk that its format cannot hold, whatever the pool. Raises InputError at ``path``."""
    if size is None or size is UNKNOWN or size.bytes <= _MOST[format]:
        return
    raise InputError(
        path,
        f"{size} is more than a {format} disk can hold",
        cause=f"the most is {Size.of(_MOST[format])}",
        action="ask for less",
    )


@contextmanager
def sizing(size: Size | None, path: str) -> Iterator[None]:
    """Around what gives a disk its size: that the node cannot do it is told at ``path``, if that states one."""
    try:
        yield
    except Refused as error:
        error.at(path=path if size is not None else None)
        raise


@dataclass(frozen=True)
class Clone:
    """How a disk is made from an image, and why that way."""

    method: Method
    format: Literal["qcow2", "raw"]
    virtual_size: int
    reason: str


def decide(image: Volume, mode: Mode, format: Literal["qcow2", "raw"] | None, size: Size | None, path: str) -> Clone:
    """The clone that fits. ``path`` is the property that asked for ``size``.

    Raises:
        InputError: the size is below the image's, or a linked clone cannot have the wanted format.
    """
    if size is not None and size.bytes < image.virtual_size:
        raise InputError(
            path,
            f"{size} is smaller than the image '{image.ref}' ({Size.of(image.virtual_size)})",
            action=f"use at least {Size.of(image.virtual_size)}, or leave the size out",
        )
    virtual_size = size.bytes if size is not None else image.virtual_size
    check_mode(mode, format)
    if mode == "full":
        return Clone("full", format or "qcow2", virtual_size, "full was asked for")
    if format == "raw":
        return Clone("full", "raw", virtual_size, "a raw disk cannot share an image's blocks")
    reason = "linked was asked for" if mode == "linked" else "an overlay costs nothing until it is written to"
    return Clone("linked", "qcow2", virtual_size, reason)


def refuse_shrinking(path: str, what: str, now: Size | None, asked: Size | None) -> None:
    """Refuse a size for ``what`` ("a disk") below the one it has. Raises InputError at ``path``."""
    if isinstance(now, Size) and isinstance(asked, Size) and asked.bytes < now.bytes:
        raise InputError(
            path,
            f"{what} cannot shrink from {now} to {asked}",
            cause="it is larger than stated, grown here or on the node, and what lies beyond the new end would be lost",
            action=f"state at least {now}, or make a new disk and copy",
        )


def told_of_shrinking(change: Change, now: Size | None, asked: Size | None) -> Change:
    """A change of a size, which a refresh asks about of a disk that grew, with what the next run says to it."""
    if isinstance(now, Size) and isinstance(asked, Size) and asked.bytes < now.bytes:
        return replace(change, reason=f"refused, since it has {now} and does not shrink")
    return change


def check_mode(mode: Mode, format: Literal["qcow2", "raw"] | None) -> None:
    """Refuse a linked clone in a format that has no backing file. Raises InputError."""
    if mode == "linked" and format == "raw":
        raise InputError("clone", "a linked clone cannot be raw", action="use format qcow2, or clone full")


def image_chain(ctx: Context, volumes: Volumes, ref: VolumeRef, path: str) -> Sequence[Volume]:
    """The chain of a complete image. Raises InputError when the image is still being made or was left unfinished."""
    mark = volumes.read_mark(ctx, ref)
    if mark is not None and mark.phase == "creating":
        state = "is still being made" if held(mark) else "was left unfinished by an operation that died"
        raise InputError(path, f"image '{ref}' {state}", action="run the program that makes the image again")
    return volumes.chain(ctx, ref)


def make(ctx: Context, volumes: Volumes, ref: VolumeRef, image: Volume, clone: Clone) -> Volume:
    """Make the clone under its final name; the caller has claimed the name."""
    if clone.method == "linked":
        return volumes.create(ctx, ref, format="qcow2", virtual_size=clone.virtual_size, backing=image)
    ctx.log.status(f"copying '{image.ref}'")
    return volumes.copy(ctx, image, ref, format=clone.format, virtual_size=clone.virtual_size)


def holds_iso(ctx: Context, volumes: Volumes, volume: Volume) -> bool:
    """Whether a volume's content is an ISO 9660 or UDF file system, and so attached as a CD (FX-54, FX-55).

    What Kiln made says so in its mark. The bytes of a raw volume are looked at only when it has no mark: a guest can
    write what it likes to its own disk, and must not turn it into a CD by doing so.
    """
    mark = volumes.read_mark(ctx, volume.ref)
    if mark is not None and "kind" in mark.info:
        return mark.info["kind"] == "iso"
    if volume.format == "iso":
        return True
    if volume.format != "raw" or volume.virtual_size < 34 * 1024:
        return False
    descriptor = volumes.download(ctx, volume.ref, 32 * 1024 + 1, 5)
    return descriptor in (b"CD001", b"BEA01", b"NSR02", b"NSR03")


def refuse_iso(image: Volume, iso: bool, path: str) -> None:
    """Refuse a root disk made from an ISO. Raises InputError."""
    if iso:
        raise InputError(
            path,
            f"'{image.ref}' holds an ISO, which cannot be a root disk",
            action="make a Disk from it and name that in `disks`, next to a blank disk to install on",
        )


def check_cd(size: Size | None, format: Literal["qcow2", "raw"] | None) -> None:
    """Refuse a size or format for a disk whose content is an ISO. Raises InputError at the property."""
    for path, stated in (("size", size), ("format", format)):
        if stated is not None and stated is not UNKNOWN:
            raise InputError(
                path,
                f"a CD has the {path} of its content",
                cause="the content is an ISO, which is stored as it is and never written to",
                action=f"drop '{path}'",
            )


def grow(ctx: Context, volumes: Volumes, ref: VolumeRef, virtual_size: int) -> None:
    """Grow a volume that no running guest uses; it is never shrunk."""
    current = volumes.get(ctx, ref).virtual_size
    if current > virtual_size:
        raise Refused(
            f"disk '{ref}' is larger ({Size.of(current)}) than {Size.of(virtual_size)}",
            cause="shrinking a disk would cut off data",
            action="state at least its present size",
        )
    if current < virtual_size:
        volumes.grow(ctx, ref, virtual_size)
