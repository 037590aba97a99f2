"""Disks and interfaces that a running guest has otherwise than its definition. Pure.

The root disk and the seed are the server's own: a guest gets them when it starts, and the others while it runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kiln.ports.domains import Domain, DomainDisk, Live
from kiln.resources.server import storage
from kiln.resources.server.hotplug import HotChange, Plug, Unplug
from kiln.resources.server.model import ServerInputs


def unplugged(domain: Domain, inputs: ServerInputs | None = None) -> list[str]:
    """``disks`` and ``networks``, where the running guest has others than its definition. The disks that are the own of
    the server with these ``inputs`` are not counted."""
    if (live := domain.live) is None:
        return []
    sides = [side.disks if inputs is None else others(side.disks, inputs) for side in (domain, live)]
    disks = [{(disk.target, disk.path) for disk in side} for side in sides]
    nics = [{(nic.mac, nic.source, nic.model, nic.link) for nic in side.nics} for side in (domain, live)]
    return [name for name, (defined, has) in (("disks", disks), ("networks", nics)) if defined != has]


def missing(domain: Domain, inputs: ServerInputs) -> int:
    """How many disks and interfaces the definition has and the running guest has not."""
    if (live := domain.live) is None:
        return 0
    disks = {disk.path for disk in others(domain.disks, inputs)} - {disk.path for disk in live.disks}
    return len(disks) + max(0, len(domain.nics) - len(live.nics))


def fits(domain: Domain, inputs: ServerInputs) -> bool:
    """Whether the bus of a running guest takes all that the definition has and the guest has not."""
    free = domain.live.free_slots if domain.live is not None else None
    return free is None or missing(domain, inputs) <= free


def free_slots(domain: Domain, inputs: ServerInputs) -> int | None:
    """How many disks and interfaces a running guest takes, none while some wait for its next start since they had no
    room; None where that is not known."""
    if domain.live is None:
        return None
    return domain.live.free_slots if fits(domain, inputs) else 0


def that_fit(changes: Sequence[HotChange], live: Live) -> list[HotChange]:
    """The changes without the devices that come, where there is no room for them in what is free and what goes."""
    going = [change.device for change in changes if isinstance(change, Unplug)]
    coming = [change for change in changes if isinstance(change, Plug)]
    room = sum(not isinstance(one, DomainDisk) or one.device == "disk" for one in going)
    if live.free_slots is None or len(coming) <= live.free_slots + room:
        return list(changes)
    return [change for change in changes if change not in coming]


def others(disks: Iterable[DomainDisk], inputs: ServerInputs) -> list[DomainDisk]:
    """The disks without those that are the server's own."""
    return [disk for disk in disks if not is_own(disk.path, inputs)]


def is_own(path: str | None, inputs: ServerInputs) -> bool:
    """Whether a path is that of the server's root disk or of its seed."""
    return (path or "").rpartition("/")[2] in (storage.root_name(inputs.name), storage.seed_ref(inputs).name)
