"""Snapshots of guests: what the node says there is, and taking, reverting to and deleting them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from kiln.framework.context import Context
from kiln.ports.domains import Domain
from kiln.ports.marks import Mark

GuestState = Literal["running", "paused", "stopped"]


@dataclass(frozen=True)
class Snapshot:
    """A snapshot as the node sees it, which belongs to the guest with the UUID ``guest``.

    ``created`` is when it was taken, in seconds since the epoch by the node's clock. ``state`` is what the guest was
    then: of one that was not ``stopped`` it holds the memory. ``disks`` are the paths of the disks whose content it
    holds by their targets, ``media`` those of the other drives that the guest had, None for an empty one. ``internal``:
    all of it is inside these disks; Kiln knows what to do with no other kind. ``mark`` is None for one that Kiln did
    not make.
    """

    guest: str
    name: str
    created: int
    state: GuestState
    disks: Mapping[str, str] = field(default_factory=dict)
    media: Mapping[str, str | None] = field(default_factory=dict)
    description: str | None = None
    internal: bool = True
    mark: Mark | None = None

    def changed(self, domain: Domain) -> list[str]:
        """The targets of the disks and drives that the running guest has not, or not with what was in them then."""
        now = {disk.target: disk.path for disk in domain.live.disks} if domain.live is not None else {}
        then = {**self.disks, **self.media}
        return [target for target, path in then.items() if target not in now or now[target] != path]


class Snapshots(Protocol):
    """The snapshots of one node's guests, by the guest's UUID and their name."""

    def get(self, ctx: Context, guest: str, name: str) -> Snapshot:
        """One snapshot, read afresh. Raises NotFound, also where the guest is not there."""

    def list(self, ctx: Context, guest: str) -> Sequence[Snapshot]:
        """All snapshots of a guest. Raises NotFound when it is not there."""

    def create(
        self, ctx: Context, guest: str, name: str, *, memory: bool, description: str | None, mark: Mark
    ) -> Snapshot:
        """Take a snapshot of all disks of the guest, which are qcow2; with ``memory`` of a guest that runs, which waits
        meanwhile, without of one that is off.

        It bears the mark from its first moment on. Raises Conflict when the name is taken, KilnError when the guest
        does not run as ``memory`` says."""

    def describe(self, ctx: Context, guest: str, name: str, *, description: str | None, mark: Mark) -> Snapshot:
        """Replace the description and the mark. Raises NotFound."""

    def revert(self, ctx: Context, guest: str, name: str, *, ejected: Collection[str] = ()) -> None:
        """Take a guest that is off back to the snapshot: its disks, its definition, and where the snapshot has memory
        the guest runs on from there. The CDs at the paths ``ejected`` are not in their drives then, nor when it is
        reverted to again. Raises NotFound."""

    def delete(self, ctx: Context, guest: str, name: str) -> None:
        """Delete a snapshot with what it holds in the disks; those made after it stay. One that is gone, or whose guest
        is, is a success. Raises Refused while the guest runs with other disks or drives than then (``changed``)."""
