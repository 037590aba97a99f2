"""A source that has become a file on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Local:
    """A file to inspect and upload.

    ``name`` is what the user calls it, without credentials; ``path`` may be a temporary file (``is_temporary``) that
    is gone when the context manager that gave it ends.
    """

    path: Path
    name: str
    is_temporary: bool = False
