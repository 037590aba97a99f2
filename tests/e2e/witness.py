"""Sees what goes by while a test runs: the arguments of all processes, and the files in some directories."""

from __future__ import annotations

import base64
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

INTERVAL = 0.01
LARGEST = 8 << 20
"""Files beyond this are content of guests and images, not of Kiln's making."""


def has(data: bytes, text: str) -> bool:
    """Whether the bytes hold ``text``, in UTF-8, UTF-16 or base64 at any alignment."""
    plain = text.encode()
    needles = [plain, text.encode("utf-16-le")]
    needles += [base64.b64encode(b"x" * shift + plain)[4:-4] for shift in range(3)]
    return any(needle in data for needle in needles)


class Witness:
    """While the block runs, remembers every list of arguments, and every version of every file, with its mode."""

    def __init__(self, directories: Iterable[Path]) -> None:
        self._directories = list(directories)
        self._arguments: set[bytes] = set()
        self._versions: dict[tuple[Path, int, int], tuple[int, bytes]] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._end.set()
        self._thread.join()

    def processes(self, word: str) -> list[str]:
        """The commands with ``word`` in them."""
        told = (line.replace(b"\0", b" ").decode(errors="replace") for line in self._arguments)
        return [line for line in told if word in line]

    def files(self, word: str) -> list[tuple[str, int]]:
        """The names and modes of files that had ``word`` in them at some time."""
        seen = self._versions.items()
        return sorted({(path.name, mode) for (path, _, _), (mode, data) in seen if has(data, word)})

    def _watch(self) -> None:
        while True:
            self._look()
            if self._end.wait(INTERVAL):
                return

    def _look(self) -> None:
        for process in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                self._arguments.add(process.read_bytes())
        for file in _files(self._directories):
            with suppress(OSError):
                told = file.stat()
                key = (file, told.st_mtime_ns, told.st_size)
                if key not in self._versions and told.st_size <= LARGEST:
                    self._versions[key] = (told.st_mode & 0o777, file.read_bytes())


def _files(directories: Iterable[Path]) -> Iterator[Path]:
    for directory in directories:
        for place, _, names in os.walk(directory):
            yield from (file for name in names if (file := Path(place, name)).is_file() and not file.is_symlink())
