"""What of a guest's definition waits for its next start. Pure.

Memory, CPUs and devices are seen in the running guest. Of everything else whose change takes a restart the definition
keeps a digest of what was asked for, in its metadata; a running guest keeps those that it was started with.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from kiln.framework.model import alias_of, places
from kiln.framework.values import UNKNOWN
from kiln.ports.domains import Domain, DomainDisk, Live
from kiln.resources.server import devices, drift, storage
from kiln.resources.server.asked import SEEN, digests, kept
from kiln.resources.server.growth import runs_with
from kiln.resources.server.model import ServerInputs
from kiln.resources.server.sizing import resizable_as_defined


def has_already(domain: Domain | None, inputs: ServerInputs, field: str) -> bool:
    """Whether the guest runs with what ``inputs`` say of a field, and its definition alone says otherwise."""
    live = domain.live if domain is not None else None
    wanted: Any = getattr(inputs, field, None)
    if domain is None or live is None or wanted is UNKNOWN or field not in ServerInputs.model_fields:
        return False
    if field in SEEN:
        return runs_with(domain, field, wanted)
    if field == "image":
        return _has_root(live.disks, inputs)
    return field in kept(domain, inputs)


def pending(domain: Domain, inputs: ServerInputs, before: Collection[str] = ()) -> list[str]:
    """The properties that a running guest has otherwise when it starts again, and not before, in the model's order.

    ``before`` are those known to wait. They do so where nothing tells better, since the guest was started with a
    definition without digests: one that Kiln did not write.
    """
    live = domain.live
    if live is None:
        return []
    found = _asked(live, domain, before) | (_sized(domain) - resizable_as_defined(domain))
    if not devices.fits(domain, inputs):
        found |= set(devices.unplugged(domain, inputs))
    if _has_root(domain.disks, inputs) and not _has_root(live.disks, inputs):
        found.add("image")
    if seed_waits(domain, inputs):
        found.add("firstBoot")
    if domain.name != inputs.name:
        found.add("name")
    return in_order(found)


def still_waiting(domain: Domain, inputs: ServerInputs, before: Collection[str]) -> list[str]:
    """Those ``before`` that still wait for a restart, which is allowed by now and was not made: a failed update did not
    get to it, and no refresh sees them in the guest."""
    hidden = {*digests(inputs), "firstBoot"}.intersection(before)
    return [name for name in pending(domain, inputs, before) if name in hidden]


def unfinished(domain: Domain, inputs: ServerInputs) -> list[str]:
    """The properties that a running guest has otherwise than its definition and that the next update puts right: it
    restarts no guest for them."""
    if inputs.restart_policy == "allowed" or domain.live is None:
        return in_order({*drift.waiting(domain), *(alias_of(ServerInputs, field) for field in kept(domain, inputs))})
    plugged = devices.unplugged(domain, inputs) if devices.fits(domain, inputs) else []
    return in_order({*plugged, *(_sized(domain) & resizable_as_defined(domain))})


def seed_waits(domain: Domain, inputs: ServerInputs) -> bool:
    """Whether a running guest has a seed that only its definition has: it is told what is on it when it starts."""
    name = storage.seed_ref(inputs).name
    return domain.live is not None and _has(domain.disks, name) and not _has(domain.live.disks, name)


def in_order(names: Collection[str]) -> list[str]:
    """Properties in the model's order."""
    return [place.key for place in places(ServerInputs).values() if place.key in names]


def _sized(domain: Domain) -> set[str]:
    """The properties that say how much memory and CPUs a guest has, of which it runs with others than defined."""
    return {alias_of(ServerInputs, field) for field in SEEN}.intersection(drift.waiting(domain))


def _asked(live: Live, domain: Domain, before: Collection[str]) -> set[str]:
    return {
        key
        for key, digest in domain.asked.items()
        if (live.asked[key] != digest if key in live.asked else key in before)
    }


def _has_root(disks: Sequence[DomainDisk], inputs: ServerInputs) -> bool:
    return _has(disks, storage.root_name(inputs.name))


def _has(disks: Sequence[DomainDisk], name: str) -> bool:
    return any((disk.path or "").rpartition("/")[2] == name for disk in disks)
