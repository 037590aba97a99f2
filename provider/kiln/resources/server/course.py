"""What an update does to a guest that is on: it restarts it, leaves something to its next start, or neither. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from kiln.framework.model import alias_of
from kiln.ports.domains import Domain, DomainSpec
from kiln.resources.server import devices
from kiln.resources.server.hotplug import HotChange, plugs
from kiln.resources.server.impact import crowded
from kiln.resources.server.model import ServerInputs, ServerState
from kiln.resources.server.pending import has_already, pending


@dataclass(frozen=True)
class Course:
    """``waits`` are the properties that a guest which runs on has at its next start; ``full``: its bus takes none of
    the devices that are to come; ``name`` is what it is called afterwards."""

    restarts: bool
    waits: frozenset[str]
    full: bool
    name: str


def course(
    domain: Domain, state: ServerState, new: ServerInputs, cold: Collection[str], hot: Collection[str]
) -> Course:
    """The course of an update of these fields: ``cold`` ones take a restart of a guest that has not got them already,
    ``hot`` ones do where they do not fit."""
    stays_on = domain.live is not None and new.power_state == "running"
    full = crowded(state, new, devices.free_slots(domain, new))
    needed = {field for field in cold if not has_already(domain, new, field)} | (set(hot) if full else set())
    names = {alias_of(ServerInputs, field) for field in needed}
    known = state.pending_restart or ()
    if new.restart_policy == "allowed":
        changed = {alias_of(ServerInputs, field) for field in (*cold, *hot)}
        waited = set(pending(domain, new, known)).intersection(known) - changed
        return Course(bool(names or waited), frozenset(), full, new.name)
    if not stays_on:
        return Course(False, frozenset(), full, new.name)
    return Course(False, frozenset(names | {*pending(domain, new, known)}), full, domain.name)


def plugged(domain: Domain, wanted: DomainSpec, inputs: ServerInputs) -> Sequence[HotChange]:
    """What a running guest is given and rid of. One that is not to be restarted gets its own volumes when it starts, as
    it does what has no room before."""
    if (live := domain.live) is None:
        return []
    if inputs.restart_policy == "allowed":
        return plugs(live, wanted)
    has = {disk.path for disk in live.disks}
    disks = [
        disk for disk in wanted.disks if disk.chain[0].path in has or not devices.is_own(disk.chain[0].path, inputs)
    ]
    return devices.that_fit(plugs(live, replace(wanted, disks=disks)), live)
