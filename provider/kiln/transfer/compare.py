"""Comparing the content of two disks, as a guest reads it."""

from __future__ import annotations

from pathlib import Path

from kiln.framework.context import Context
from kiln.transfer.convert import DiskFormat, limited, watched

_DIFFERENT = 1


def compare(ctx: Context, files: tuple[Path, Path], formats: tuple[DiskFormat, DiskFormat], doing: str) -> bool:
    """Whether two files hold the same disk; what one has beyond the other's end counts as zeros (qemu-img(1)).

    Raises:
        KilnError: qemu-img is missing or fails. Cancelled, DeadlineExceeded: it was time to stop.
    """
    names = [f"file:{file.absolute()}" for file in files]
    options = ["compare", "-p", "-f", formats[0], "-F", formats[1], *names]
    bytes_read = sum(file.stat().st_size for file in files)
    return watched(ctx, limited(options, bytes_read), doing, ends=(0, _DIFFERENT)) != _DIFFERENT
