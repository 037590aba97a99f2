"""What a file is, from its bytes alone, and whether it is safe to hand to a node.

Nothing else opens a file before this said it may: the first bytes are read here, the header of a qcow2 image is parsed
here, and oslo.utils' format inspector, the one that OpenStack's image services trust, is asked as a second judge.
"""

from __future__ import annotations

import io
import logging
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from kiln.framework.errors import InputError
from kiln.ports.volumes import Format
from kiln.transfer import foreign, iso, qcow2
from kiln.transfer.compression import compression_of
from kiln.transfer.content import SECTOR, Content, Flaw, file_version

if TYPE_CHECKING:
    from oslo_utils.imageutils.format_inspector import FileInspector

_JUDGED = 2 << 20
"""Bytes shown to the second judge: every format it knows is recognised, and its tables read, within these."""


def inspect(file: Path, *, path: str = "source", stated: Format | None = None, name: str = "") -> Content:
    """Say what ``file`` is: qcow2, ISO (9660 or UDF) or raw.

    Args:
        file: a regular file on this machine.
        path: the property path that errors carry.
        stated: the format the user stated at ``format``; it must agree.
        name: what the user calls the file, for messages (default: its path).

    Raises:
        InputError: it cannot be read, is of a format that is not usable, is unsafe (names other files, is encrypted),
            damaged or truncated, or is not what was stated.
    """
    name = name or str(file)
    try:
        fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        action = "check the path and its permissions; a relative path starts at the program's directory"
        raise InputError(path, f"'{name}' cannot be read", cause=error.strerror, action=action) from error
    try:
        return _inspect(fd, stated)
    except Flaw as flaw:
        raise InputError(flaw.path or path, f"'{name}' {flaw.what}", action=flaw.action) from flaw
    except OSError as error:
        raise InputError(path, f"'{name}' cannot be read", cause=error.strerror, action="check the disk") from error
    finally:
        os.close(fd)


def _inspect(fd: int, stated: Format | None) -> Content:
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise Flaw("is not a regular file", "name a disk image file")
    if status.st_size == 0:
        raise Flaw("is empty", "name a file with content, or no source for a blank disk")
    found = _recognise(fd, status.st_size, stated)
    if stated is not None and stated != found:
        raise Flaw(f"is stated to be {stated} but is {found}", f"remove 'format' or state '{found}'", "format")
    virtual_size = status.st_size
    if found == "qcow2":
        virtual_size = _check_qcow2(fd, status.st_size)
    elif found == "iso":
        iso.check_length(fd, status.st_size)
    _second_judge(fd, found)
    if found != "qcow2" and status.st_size % SECTOR:
        padded = -(-status.st_size // SECTOR) * SECTOR
        what = f"has {status.st_size} bytes, which is not whole sectors of {SECTOR}: it was cut, or is not a disk"
        raise Flaw(what, f"fetch it again, or pad it when it is complete: truncate -s {padded} FILE")
    return Content(found, virtual_size, status.st_size, status.st_blocks * 512, file_version(status))


def _recognise(fd: int, size: int, stated: Format | None) -> Format:
    head = os.pread(fd, foreign.HEAD, 0)
    tail = os.pread(fd, foreign.TAIL, max(0, size - foreign.TAIL))
    is_iso = iso.is_iso(fd)
    if head.startswith(qcow2.MAGIC) and head[4:8] != b"\0\0\0\x01":
        if is_iso:
            raise Flaw("is both a qcow2 image and an ISO", "use an image that is one of them; this one hides the other")
        return "qcow2"
    foreign.refuse_foreign(head, tail, stated_raw=stated == "raw")
    if is_iso:
        return "iso"
    packed = compression_of(head)
    if packed is not None and stated != "raw":
        raise Flaw(f"is compressed with {packed.name}, more than once", "unpack it until a disk image is left")
    return "raw"


def _check_qcow2(fd: int, size: int) -> int:
    header = qcow2.read_header(os.pread(fd, SECTOR, 0))
    qcow2.check_header(header, size)
    qcow2.check_tables(fd, header, size)
    return header.virtual_size


def _second_judge(fd: int, found: Format) -> None:
    """Ask oslo.utils' format inspector, and refuse when it sees another format or a danger in this one."""
    from oslo_utils.imageutils import format_inspector

    # Its warnings repeat what the error below says, and would reach the user's terminal when nobody set up logging.
    logging.getLogger("oslo_utils.imageutils").addHandler(_NOBODY)
    wrapper = format_inspector.InspectWrapper(io.BytesIO(os.pread(fd, _JUDGED, 0)))
    while wrapper.read(64 << 10):
        pass
    wrapper.close()
    seen: dict[str, FileInspector] = {str(inspector): inspector for inspector in wrapper.formats or ()}
    # A partition table is content of a raw disk, and part of an ISO that also boots from a USB stick.
    strange = set(seen) - {found, "raw", "gpt"}
    if strange:
        raise Flaw(
            f"looks like {found} and like {', '.join(sorted(strange))} at once", "use an image that is one format"
        )
    if found == "qcow2":
        try:
            seen["qcow2"].safety_check()
        except (KeyError, format_inspector.ImageFormatError, format_inspector.SafetyCheckFailed) as error:
            raise Flaw(
                f"is not a safe qcow2 image ({error})", "make a self-contained copy with qemu-img convert"
            ) from error


_NOBODY = logging.NullHandler()
