"""Conversion with qemu-img, held on a short lead.

Formats are always stated and never probed, names are prefixed ``file:`` so that none is read as an option or a
protocol, and the process runs under limits on CPU time and memory (prlimit(1)), since its parsers have been made to
run for ever before. Only content that ``inspect`` accepted comes here.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import IO, Literal

from kiln.framework.context import Context
from kiln.framework.errors import KilnError

DiskFormat = Literal["qcow2", "raw"]
_MEMORY = 2 << 30
_CPU_SECONDS = 120
_BYTES_PER_CPU_SECOND = 16 << 20
_POLL = 0.2
_PROGRESS = re.compile(rb"\((\d+)\.\d+/100%\)[^(]*\Z")


def convert(ctx: Context, source: Path, target: Path, formats: tuple[DiskFormat, DiskFormat], doing: str) -> None:
    """Write the content of ``source`` to the file ``target`` (made or overwritten) and sync it.

    Args:
        formats: what ``source`` is and what ``target`` becomes.
        doing: what to call this in the status line and in errors.

    Raises:
        KilnError: qemu-img is missing or fails. Cancelled, DeadlineExceeded: it was time to stop.
    """
    watched(ctx, command(source, target, formats), doing)
    _sync(target)


def watched(ctx: Context, argv: Sequence[str], doing: str, *, ends: Collection[int] = (0,)) -> int:
    """Run a command of ``limited`` to its end and return its exit status, which is one of ``ends``; its progress is the
    status line.

    Raises:
        KilnError: it is missing or fails. Cancelled, DeadlineExceeded: it was time to stop.
    """
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=said, stderr=errors, env=_environment(), umask=0o077
            )
        except FileNotFoundError as error:
            raise KilnError(f"{doing} needs {error.filename}", action="install qemu-utils and util-linux") from error
        try:
            _wait(ctx, process, said, doing)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        if process.returncode not in ends:
            errors.seek(0)
            cause = errors.read(2000).decode(errors="replace") or f"qemu-img ended with {process.returncode}"
            raise KilnError(f"{doing} failed", cause=cause, action="check the image with: qemu-img check FILE")
    return process.returncode


def command(source: Path, target: Path, formats: tuple[DiskFormat, DiskFormat]) -> list[str]:
    """The command line that converts."""
    options = ["-o", "compat=1.1"] if formats[1] == "qcow2" else []
    names = [f"file:{source.absolute()}", f"file:{target.absolute()}"]
    argv = ["convert", "-p", "-W", "-f", formats[0], "-O", formats[1], *options, *names]
    return limited(argv, source.stat().st_size)


def limited(argv: Sequence[str], size: int) -> list[str]:
    """A command line of qemu-img's that reads ``size`` bytes, under limits."""
    limits = ["prlimit", f"--cpu={_CPU_SECONDS + size // _BYTES_PER_CPU_SECOND}", f"--as={_MEMORY}", "--core=0", "--"]
    return [*limits, "qemu-img", *argv]


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}


def _wait(ctx: Context, process: subprocess.Popen[bytes], said: IO[bytes], doing: str) -> None:
    while process.poll() is None:
        ctx.sleep(_POLL, doing)
        end = os.fstat(said.fileno()).st_size
        match = _PROGRESS.search(os.pread(said.fileno(), 64, max(0, end - 64)))
        if match:
            ctx.log.status(f"{doing}: {int(match[1])} %")


def _sync(file: Path) -> None:
    fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
