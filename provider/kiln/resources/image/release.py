"""The volumes beside an image, and how an image goes with them."""

from __future__ import annotations

from kiln.framework.context import Context
from kiln.ports.marks import Mark
from kiln.ports.volumes import VolumeRef, Volumes
from kiln.resources.ownership import release_volume


def companion(ref: VolumeRef, kind: str) -> VolumeRef:
    """The volume beside an image that holds its kernel or initial RAM disk."""
    return VolumeRef(ref.pool, f"{ref.name}.{kind}")


def release_image(ctx: Context, volumes: Volumes, ref: VolumeRef) -> None:
    """Delete an image with the kernel and initial RAM disk that the same operation stored beside it."""
    mark = volumes.read_mark(ctx, ref)
    if mark is not None:
        _release_companions(ctx, volumes, ref, mark)
    release_volume(ctx, volumes, ref)


def _release_companions(ctx: Context, volumes: Volumes, ref: VolumeRef, mark: Mark) -> None:
    for kind in ("initrd", "kernel"):
        release_volume(ctx, volumes, companion(ref, kind), mark)


def release_orphans(ctx: Context, volumes: Volumes, ref: VolumeRef) -> None:
    """Delete the kernel and initial RAM disk of an image that was deleted behind Kiln's back: they are of no use."""
    mark = volumes.read_mark(ctx, ref)
    if mark is not None and mark.phase == "done" and not volumes.exists(ctx, ref):
        _release_companions(ctx, volumes, ref, mark)
