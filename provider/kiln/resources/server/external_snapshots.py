"""Snapshots that somebody took of a guest as files of their own (`virsh snapshot-create-as --disk-only`).

What the guest writes goes into an overlay then, and the volume that Kiln knows lies under it. A definition with that
volume at the top would go back in time, and destroy the overlay by writing under it.
"""

from __future__ import annotations

from collections.abc import Collection

from kiln.framework.context import Context
from kiln.framework.errors import Refused
from kiln.ports.domains import Domain, DomainDisk
from kiln.ports.nodes import Node
from kiln.ports.volumes import VolumeRef, Volumes


def refuse_to_redefine(node: Node, domain: Domain, wanted: Collection[str]) -> None:
    """Refuse to define a guest with the disks at the paths ``wanted`` while it has overlays of them. Raises Refused."""
    for disk in overlays_of(domain, wanted):
        raise Refused(
            f"guest '{domain.name}' is not changed",
            cause=f"its disk {disk.target} is {disk.path}, a snapshot's overlay that Kiln did not make: a new "
            "definition would go back to what was there before the snapshot",
            action=f"merge it while the guest runs (virsh -c '{node.uri}' blockcommit {domain.name} {disk.target} "
            "--active --pivot, then snapshot-delete --metadata), and run again",
        ).at(node=node.uri)


def overlays_of(domain: Domain, paths: Collection[str]) -> list[DomainDisk]:
    """The disks of a guest that are overlays of a volume at one of the ``paths`` and are none of them."""
    disks = (*(domain.live.disks if domain.live is not None else ()), *domain.disks)
    found = [disk for disk in disks if disk.path not in paths and not set(paths).isdisjoint(disk.backing)]
    return list({disk.path: disk for disk in found}.values())


def overlays_left(ctx: Context, volumes: Volumes, domain: Domain | None, own: Collection[VolumeRef]) -> list[str]:
    """The paths of a guest's overlays of its ``own`` volumes, which stay on the node when these are deleted."""
    if domain is None:
        return []
    paths = {volumes.get(ctx, ref).path for ref in own if volumes.exists(ctx, ref)}
    return [disk.path for disk in overlays_of(domain, paths) if disk.path is not None]
