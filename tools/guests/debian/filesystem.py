"""The disk, the kernel and the initial RAM disk, from the archive of the root directory."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from tools.say import Progress, run

DISK = "root.qcow2"
"""qcow2, not compressed: copies keep it as small as its data, which a raw file's holes do not survive everywhere, and
guests need not unpack what they read. To make it from the raw file system takes a second."""
SIZE = "2G"
LABEL = "kiln-root"


def build(archive: Path, directory: Path, progress: Progress) -> None:
    """Write ``vmlinuz``, ``initrd.img`` and the disk into *directory*, and remove *archive*."""
    raw = directory / "root.raw"
    script = SCRIPT.format(
        root=shlex.quote(str(directory / "root")),
        archive=shlex.quote(str(archive)),
        raw=shlex.quote(str(raw)),
        directory=shlex.quote(str(directory)),
        size=SIZE,
        label=LABEL,
    )
    run([*_keeping_owners(), "sh", "-euc", script], "mkfs.ext4", progress=progress)
    archive.unlink()
    convert: list[str | Path] = [
        "qemu-img",
        "convert",
        "-f",
        "raw",
        "-O",
        "qcow2",
        "-o",
        "compat=1.1",
        raw,
        directory / DISK,
    ]
    run(convert, "qemu-img convert", progress=progress)
    raw.unlink()


SCRIPT = """
mkdir {root}
tar -C {root} --numeric-owner --xattrs --xattrs-include='*' --exclude='./dev/*' -xpf {archive}
cp {root}/boot/vmlinuz-* {directory}/vmlinuz
cp {root}/boot/initrd.img-* {directory}/initrd.img
truncate -s {size} {raw}
mkfs.ext4 -q -F -L {label} -d {root} {raw}
rm -rf {root}
"""


def _keeping_owners() -> list[str]:
    """Return what lets a user who is not root unpack files of any owner: the user namespace of mmdebstrap."""
    return [] if os.geteuid() == 0 else ["mmdebstrap", "--unshare-helper"]
