"""Files of disks that nobody is let read: libvirt makes QEMU's user the owner of a guest's disks when it starts, and
leaves their modes as they are."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable

from kiln.framework.context import Context
from kiln.ports.volumes import Volumes
from kiln.resources.server.layout import Attached

_OWNER = stat.S_IRUSR | stat.S_IWUSR


def opened_to_owner(ctx: Context, volumes: Volumes, disks: Iterable[Attached | None]) -> list[str]:
    """Let the owners of volumes that Kiln made read and write them, where somebody forbade it. Returns the paths of
    those; files that are out of reach of this process are left out."""
    found = []
    for ref in [disk.chain[0].ref for disk in disks if disk is not None]:
        directory = volumes.local_directory(ctx, ref.pool)
        if directory is None or volumes.read_mark(ctx, ref) is None:
            continue
        with contextlib.suppress(OSError):  # whoever needs the file is told what is in the way
            if _open(str(directory / ref.name)):
                found.append(str(directory / ref.name))
    return found


def _open(path: str) -> bool:
    """Whether the mode of a file was changed; never of what is behind a symbolic link, which others may have put there.
    Raises OSError."""
    file = os.open(path, os.O_PATH | os.O_NOFOLLOW)  # which needs no permission to read it
    try:
        mode = os.fstat(file).st_mode
        if not stat.S_ISREG(mode) or mode & _OWNER == _OWNER:
            return False
        os.chmod(f"/proc/self/fd/{file}", stat.S_IMODE(mode) | _OWNER)
        return True
    finally:
        os.close(file)
