"""The digest that content must turn out to have."""

from __future__ import annotations

from pathlib import Path

from kiln.transfer.digest import Kind, digest_open_file


def digest_file(file: Path, kind: Kind) -> str:
    """The digest of ``kind`` of a whole file."""
    with file.open("rb") as stream:
        return digest_open_file(stream.fileno(), file.stat().st_size, kind)
