"""What a file was found to be."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

from kiln.ports.volumes import Format

SECTOR = 512


@dataclass(frozen=True)
class Content:
    """The content of an inspected file. All sizes are bytes.

    ``virtual_size`` is what a guest sees, ``size`` the length of the file, ``allocated`` what its data takes on the
    file system it was inspected on. ``version`` tells whether the file is still the one that was inspected (see
    ``file_version``), empty when nobody looked.
    """

    format: Format
    virtual_size: int
    size: int
    allocated: int
    version: str = ""

    @property
    def kind(self) -> Literal["disk", "iso"]:
        """Whether a guest sees a disk or a CD."""
        return "iso" if self.format == "iso" else "disk"


class Flaw(Exception):
    """Why content cannot be used: ``what`` completes a sentence that begins with the file's name.

    ``path`` is the property that is wrong where it is not the one that names the file.
    """

    def __init__(self, what: str, action: str, path: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.action = action
        self.path = path


def file_version(status: os.stat_result) -> str:
    """What changes when a file's content does: device, inode, size, mtime and ctime."""
    return f"{status.st_dev} {status.st_ino} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"


def human(count: int) -> str:
    """A number of bytes as people read it: ``512 B``, ``1.5 GiB``."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} PiB"
