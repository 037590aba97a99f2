"""Ownership marks of volumes and pools as JSON files beside them.

::

    web.qcow2            the volume
    .web.qcow2.kiln      its mark, 0600
    .kiln                the pool's own mark, when Kiln made the pool
    .kiln-XXXX           being written, renamed when done; never ends in .kiln
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from kiln.ports.marks import Holder, Mark
from kiln.ports.volumes import TEMPORARY_PREFIX

POOL_MARK = ".kiln"
_SUFFIX = ".kiln"
_BLOCK = 4096


def sidecar(volume: str) -> str:
    """The name of the file that holds the mark of ``volume``."""
    return f".{volume}{_SUFFIX}"


def marked_volume(sidecar: str) -> str | None:
    """The volume that a file of this name holds the mark of, None for any other file."""
    if not (sidecar.startswith(".") and sidecar.endswith(_SUFFIX)):
        return None
    return sidecar[1 : -len(_SUFFIX)] or None


def temporary(name: str) -> bool:
    """Whether a file of this name is Kiln's for a moment. The mark of a volume ``kiln-web`` begins so too."""
    return name.startswith(TEMPORARY_PREFIX) and marked_volume(name) is None


def hidden(name: str) -> bool:
    """Whether a file of this name is Kiln's own bookkeeping and no volume."""
    return name == POOL_MARK or temporary(name) or marked_volume(name) is not None


def encode(mark: Mark) -> bytes:
    """The mark as JSON, padded with spaces to whole blocks: over a stream a volume is rewritten but never cut short."""
    data = json.dumps({"version": 1, **asdict(mark)}, ensure_ascii=True, separators=(",", ":")).encode()
    return data.ljust(-(-(len(data) + 1) // _BLOCK) * _BLOCK - 1) + b"\n"


def decode(data: bytes) -> Mark | None:
    """The mark, None when the data is none: a newer version, cut short, or somebody else's."""
    try:
        found = json.loads(data.rstrip(b"\0 \n"))
        return _mark(found) if found["version"] == 1 and found["phase"] in {"creating", "done"} else None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _mark(found: dict[str, Any]) -> Mark:
    holder, made = found.get("holder"), found.get("made")
    return Mark(
        operation=str(found["operation"]),
        phase=found["phase"],
        urn=str(found.get("urn", "")),
        role=str(found.get("role", "")),
        digest=str(found.get("digest", "")),
        holder=None if holder is None else Holder(**holder),
        info={str(key): str(value) for key, value in found.get("info", {}).items()},
        made=None if made is None else int(made),
    )
