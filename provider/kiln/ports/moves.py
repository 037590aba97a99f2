"""Moving what a guest's disk is stored in, while it runs or not, so that the guest never has but one whole disk.

::

    runs:  mirror ──▶ both volumes get every write ──pivot──▶ the new one is the guest's
                          └──unmirror──▶ the old one is
    off:   (the volume is copied) ──repoint──▶ the new one is the guest's
"""

from __future__ import annotations

from typing import Protocol

from kiln.framework.context import Context
from kiln.ports.volumes import Volume


class Moves(Protocol):
    """What is done to the guests of one node when a disk of theirs moves. Guests are named by UUID, disks by device."""

    def obstacle(self, ctx: Context, uuid: str) -> str | None:
        """Why no disk of this guest can be moved now ("it has snapshots"), None when nothing is in the way."""

    def mirror(self, ctx: Context, uuid: str, target: str, to: Volume) -> None:
        """Copy a running guest's disk to an empty volume that is as large, with all it is an overlay of, and from then
        on every write to both. It returns once both are the same; what fails or is cancelled leaves no mirror.

        Raises KilnError: the volume cannot take it, or something else is done to the disk."""

    def pivot(self, ctx: Context, uuid: str, target: str, to: Volume) -> None:
        """Let the running guest have the volume that it is mirrored to, in its definition too. One that has it is a
        success; after an error it has what it had."""

    def unmirror(self, ctx: Context, uuid: str, target: str, to: Volume) -> None:
        """End mirroring to a volume; the guest goes on with what it has. One that does not mirror to it is a
        success."""

    def repoint(self, ctx: Context, uuid: str, target: str, to: Volume) -> None:
        """Let the definition have the volume, which is no overlay, as that disk; what runs goes on as it is."""
