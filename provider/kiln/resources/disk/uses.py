"""Which guests have a disk, and why that keeps it from being moved. Reads only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kiln.framework.context import Context
from kiln.framework.errors import InputError, NotFound
from kiln.ports.domains import DomainDisk
from kiln.ports.nodes import Node
from kiln.ports.volumes import Volume, VolumeRef
from kiln.resources.ownership import refuse_overlaid
from kiln.resources.places import Place, find


@dataclass(frozen=True)
class Use:
    """A guest that has a disk: its device names in what ``runs``, and in what is ``defined``."""

    uuid: str
    name: str
    runs: str | None
    defined: str | None


def uses(ctx: Context, node: Node, path: str) -> list[Use]:
    """The guests that have the disk stored at ``path``."""
    found = []
    for domain in node.domains.list(ctx):
        runs = _target(domain.live.disks, path) if domain.live is not None else None
        defined = None if domain.transient else _target(domain.disks, path)
        if runs is not None or defined is not None:
            found.append(Use(domain.uuid, domain.name, runs, defined))
    return found


def where(ctx: Context, node: Node, id: VolumeRef) -> VolumeRef:
    """The volume that the disk known as ``id`` is in; while it is moved, what its guest has."""
    return volume_at(ctx, node, find(ctx, node.volumes, id))


def volume_at(ctx: Context, node: Node, place: Place) -> VolumeRef:
    """The volume that the disk which is there is in; while it is moved, what its guest has."""
    return place.next if place.next is not None and has_gone(ctx, node, place.ref, place.next) else place.ref


def has_gone(ctx: Context, node: Node, old: VolumeRef, new: VolumeRef) -> bool:
    """Whether the guest that had ``old`` has ``new``. What it runs with counts more than its definition."""
    return bool(_uses_of(ctx, node, new)) and all(use.runs is None for use in _uses_of(ctx, node, old))


def _uses_of(ctx: Context, node: Node, ref: VolumeRef) -> list[Use]:
    """None where the volume is not there."""
    try:
        return uses(ctx, node, node.volumes.get(ctx, ref).path)
    except NotFound:
        return []


def refuse_moving(ctx: Context, node: Node, volume: Volume, path: str, *, cd: bool) -> list[Use]:
    """The guests that have the volume.

    Raises:
        InputError: it cannot be moved as it is, at ``path``, the property that changed.
        Refused: other volumes are overlays of it.
    """
    refuse_overlaid(ctx, node.volumes, volume.ref, "disk")
    found = uses(ctx, node, volume.path)
    for use in found:
        obstacle = node.moves.obstacle(ctx, use.uuid)
        if obstacle is not None:
            raise InputError(
                path,
                f"disk '{volume.ref}' cannot be moved under guest '{use.name}'",
                cause=obstacle,
                action="remove that, or take the disk out of that server's 'disks' first",
            )
        if cd and use.runs is not None:
            raise InputError(
                path,
                f"the CD '{volume.ref}' cannot be moved while it is in a drive of the running guest '{use.name}'",
                action="take it out of that server's 'disks' in an `up` of its own, or stop the guest",
            )
    return found


def how(volume: Volume, users: Sequence[Use]) -> str:
    """What a move does, for a preview."""
    running = [use.name for use in users if use.runs is not None]
    whole = ", whole and no overlay any more" if volume.backing is not None else ""
    done = f"copied{whole}, then switched"
    return f"{done}, while '{running[0]}' runs on" if running else f"{done}; what is on it stays"


def _target(disks: Sequence[DomainDisk], path: str) -> str | None:
    return next((disk.target for disk in disks if disk.path == path), None)
