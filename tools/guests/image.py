"""What a guest image is on disk: a directory with a ``manifest.json`` that names its files.

::

    guests/debian-bookworm-<hash of the recipe>/
        manifest.json   {"kernel", "initrd", "disk", "iso"?: file names, "cmdline", "files": {name: {"size", "sha256"}}}
        vmlinuz  initrd.img  root.qcow2
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class GuestImage:
    """A guest that is booted by its kernel (direct kernel boot); all paths are absolute."""

    kernel: Path
    initrd: Path
    cmdline: str
    disk: Path
    iso: Path | None = None


def write_manifest(directory: Path, *, cmdline: str, disk: str, iso: str | None = None) -> None:
    """Write the manifest of the complete files in *directory*; kernel and initrd have fixed names."""
    names = {"kernel": "vmlinuz", "initrd": "initrd.img", "disk": disk} | ({"iso": iso} if iso else {})
    manifest = {
        **names,
        "cmdline": cmdline,
        "files": {name: _facts(directory / name) for name in sorted(names.values())},
    }
    (directory / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")


def read(directory: Path) -> GuestImage:
    """Return the image in *directory*."""
    manifest = json.loads((directory / MANIFEST).read_text())
    return GuestImage(
        kernel=directory / manifest["kernel"],
        initrd=directory / manifest["initrd"],
        cmdline=manifest["cmdline"],
        disk=directory / manifest["disk"],
        iso=directory / manifest["iso"] if "iso" in manifest else None,
    )


def _facts(file: Path) -> dict[str, int | str]:
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"size": file.stat().st_size, "sha256": digest}
