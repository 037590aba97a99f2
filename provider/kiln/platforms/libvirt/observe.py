"""What a guest is and where it can be reached, read in as few calls as libvirt allows. Runs on worker threads."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

from kiln.platforms.libvirt.codes import (
    AddressSource,
    DomainState,
    DomainStats,
    DomainXml,
    ErrorCode,
    ListDomains,
    ShutoffReason,
)
from kiln.platforms.libvirt.connection import Opened
from kiln.platforms.libvirt.faults import tolerating
from kiln.platforms.libvirt.xml.parse import told_domain, told_live
from kiln.ports.domains import Address, Domain, PowerState

_RUNNING = frozenset({DomainState.NOSTATE, DomainState.RUNNING, DomainState.BLOCKED, DomainState.SHUTDOWN})
_PAUSED = frozenset({DomainState.PAUSED, DomainState.PMSUSPENDED})
_SOURCES = ((AddressSource.LEASE, "lease"), (AddressSource.ARP, "arp"), (AddressSource.AGENT, "agent"))


@dataclass(frozen=True)
class Reading:
    """What libvirt said of one guest, not yet understood: whoever wants to know parses the definition, not the thread
    that reads a whole node while all others wait for it. ``live`` is the live definition of a guest that runs, and
    ``run`` its number, another one for each start (-1 for one that is off)."""

    definition: str
    live: str | None
    state: PowerState
    autostart: bool
    transient: bool
    run: int

    def told(self) -> Domain:
        """The guest."""
        return self._told

    @cached_property
    def _told(self) -> Domain:
        told = told_domain(self.definition, state=self.state, autostart=self.autostart)
        if self.live is None:
            return told
        live, vnc_port = told_live(self.live)
        return replace(told, live=live, vnc_port=vnc_port, transient=self.transient)


def describe(domain: Any) -> Domain:
    """One guest: definition, state and autostart, and the VNC port when there is one."""
    return read(domain).told()


def read(domain: Any) -> Reading:
    """What libvirt says of one guest."""
    state, reason = domain.state()
    power = power_state(state, reason, lambda: bool(domain.hasManagedSaveImage()))
    transient = not domain.isPersistent()
    return _read(domain, power, autostart=not transient and bool(domain.autostart()), transient=transient)


def seen(opened: Opened, known: Callable[[str], Reading | None]) -> dict[str, Reading | None]:
    """The UUIDs of all guests, each with what is ``known`` of it unless it was started or stopped since."""
    found = {domain.UUIDString(): domain.ID() for domain in opened.handle.listAllDomains(0)}
    readings = {uuid: known(uuid) for uuid in found}
    return {uuid: reading if reading and reading.run == found[uuid] else None for uuid, reading in readings.items()}


def read_one(opened: Opened, uuid: str) -> Reading | None:
    """What libvirt says of the guest, None when it has gone."""
    with tolerating(ErrorCode.NO_DOMAIN):
        return read(opened.handle.lookupByUUIDString(uuid))
    return None


def read_all(opened: Opened) -> dict[str, Reading]:
    """All guests of the node by UUID; but for the definitions, one call each tells a thing about all of them."""
    started_with_node = _ids(opened, ListDomains.AUTOSTART)
    saved = _ids(opened, ListDomains.MANAGEDSAVE)
    transient = _ids(opened, ListDomains.TRANSIENT)
    found = {}
    for domain, stats in opened.handle.getAllDomainStats(DomainStats.STATE, 0):
        uuid = domain.UUIDString()
        state, reason = stats.get("state.state", DomainState.NOSTATE), stats.get("state.reason", 0)
        power = power_state(state, reason, partial(saved.__contains__, uuid))
        with tolerating(ErrorCode.NO_DOMAIN):  # gone since it was listed
            found[uuid] = _read(domain, power, autostart=uuid in started_with_node, transient=uuid in transient)
    return found


def power_state(state: int, reason: int, saved: Callable[[], bool]) -> PowerState:
    """Kiln's word for a state and reason of libvirt's; ``saved`` says whether there is a managed save image."""
    if state in _RUNNING:
        return "running"
    if state in _PAUSED:
        return "paused"
    if state == DomainState.CRASHED or reason == ShutoffReason.CRASHED:
        return "crashed"
    # The reason is forgotten when libvirtd restarts; the saved memory is not.
    return "saved" if reason == ShutoffReason.SAVED or saved() else "stopped"


def addresses(domain: Any) -> Sequence[Address]:
    """The guest's addresses from the first source that has any: DHCP leases, the node's ARP table, the guest agent.

    What an agent says is a hint: a guest may lie. Loopback and link-local addresses are left out.
    """
    for source, name in _SOURCES:
        found: dict[str, Any] = {}
        with tolerating(
            ErrorCode.OPERATION_INVALID,
            ErrorCode.AGENT_UNRESPONSIVE,
            ErrorCode.ARGUMENT_UNSUPPORTED,
            ErrorCode.OPERATION_UNSUPPORTED,
            ErrorCode.CONFIG_UNSUPPORTED,
            ErrorCode.NO_SUPPORT,
            ErrorCode.OPERATION_TIMEOUT,
            ErrorCode.INTERNAL_ERROR,
            ErrorCode.NO_NETWORK,
        ):
            found = domain.interfaceAddresses(source, 0) or {}
        told = [
            Address((interface.get("hwaddr") or "").lower(), item["addr"], item.get("prefix"), name)
            for interface in found.values()
            for item in interface.get("addrs") or ()
            if _routable(item["addr"])
        ]
        if told:
            return tuple(dict.fromkeys(told))
    return ()


def _ids(opened: Opened, which: ListDomains) -> set[str]:
    return {domain.UUIDString() for domain in opened.handle.listAllDomains(which)}


def _read(domain: Any, power: PowerState, *, autostart: bool, transient: bool) -> Reading:
    live = domain.XMLDesc(0) if power in {"running", "paused"} else None
    return Reading(domain.XMLDesc(DomainXml.INACTIVE), live, power, autostart, transient, domain.ID())


def _routable(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return not (parsed.is_loopback or parsed.is_link_local or parsed.is_unspecified)
