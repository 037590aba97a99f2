"""A disk and an ISO that are small, hold data and can be booted by a BIOS."""

from __future__ import annotations

import io
from pathlib import Path

import pycdlib

from tools.guests.bootsector import boot_sector

DISK_SIZE = 1024 * 1024
DISK_DATA = {64 * 1024: b"kiln data at 64 KiB\n" * 100, 768 * 1024: b"kiln data at 768 KiB\n" * 100}
"""Offset to content; all between is a hole."""


def write_disk(path: Path) -> None:
    """Write a raw disk of 1 MiB."""
    with path.open("wb") as disk:
        disk.truncate(DISK_SIZE)
        for offset, content in {0: boot_sector("KILN DISK"), **DISK_DATA}.items():
            disk.seek(offset)
            disk.write(content)


def write_iso(path: Path) -> None:
    """Write an ISO 9660 file system with an El Torito boot entry."""
    boot = boot_sector("KILN ISO").ljust(2048, b"\0")
    readme = b"A CD for tests of Kiln.\n"
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, joliet=3, vol_ident="KILN_TINY")
    iso.add_fp(io.BytesIO(boot), len(boot), "/BOOT.IMG;1", joliet_path="/boot.img")
    iso.add_fp(io.BytesIO(readme), len(readme), "/README.TXT;1", joliet_path="/readme.txt")
    iso.add_eltorito("/BOOT.IMG;1", bootcatfile="/BOOT.CAT;1")
    iso.write(str(path))
    iso.close()
