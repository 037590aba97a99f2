"""What a node is told of a network: inputs with their defaults in effect. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Interface, IPv6Interface, ip_interface, ip_network
from typing import Any

from kiln.ports.networks import HostRecord, NetworkSettings, Reservation
from kiln.resources.network.model import NetworkInputs

LARGEST_RANGE = 65535
"""libvirt takes no range with more addresses (``virSocketAddrGetRange``)."""

RANGE_PREFIX = 16
"""Nor one whose first and last address differ in the first two numbers."""

STATED_IN = {
    "addresses": "addresses",
    "dhcp": "ranges",
    "reservations": "reservations",
    "dns_hosts": "records",
    "domain": "domain",
    "mtu": "mtu",
}
"""The inputs whose values can be said in several ways, and the settings that tell whether they say the same."""

FIXED = ("mode", "bridge", "addresses", "domain", "mtu")
"""What an active network takes only when it is stopped and started."""


def settings_of(inputs: NetworkInputs) -> NetworkSettings:
    """What the node is told for ``inputs``, in which nothing is UNKNOWN."""
    own = [own_address(address) for address in inputs.addresses or []]
    return NetworkSettings(
        mode=inputs.mode,
        bridge=inputs.bridge,
        addresses=tuple(map(str, own)),
        ranges=_ranges(inputs, served_by_dhcp(own)),
        reservations=tuple(Reservation(one.mac, one.address, one.hostname) for one in inputs.reservations or []),
        records=tuple(HostRecord(one.address, tuple(one.hostnames)) for one in inputs.dns_hosts or []),
        domain=inputs.domain,
        mtu=inputs.mtu,
    )


def own_address(address: str) -> IPv4Interface | IPv6Interface:
    """The node's address; for that of a whole network the first one in it."""
    interface = ip_interface(address)
    network = interface.network
    if interface.ip != network.network_address or network.num_addresses == 1:
        return interface
    return ip_interface(f"{network.network_address + 1}/{network.prefixlen}")


def served_by_dhcp(addresses: Iterable[IPv4Interface | IPv6Interface]) -> IPv4Interface | None:
    """The address whose network DHCP serves."""
    return next((each for each in addresses if isinstance(each, IPv4Interface)), None)


def default_range(own: IPv4Interface) -> tuple[str, str]:
    """The longer part of the network beside the node's address; of a network that is larger than a range can be, only
    what has the first two numbers of that address."""
    network, block = own.network, ip_network((own.ip, RANGE_PREFIX), strict=False)
    first = max(int(network.network_address) + 1, int(block.network_address))
    last = min(int(network.broadcast_address) - 1, int(block.broadcast_address))
    here = int(own.ip)
    start, end = (here + 1, last) if last - here >= here - first else (first, here - 1)
    return str(IPv4Address(start)), str(IPv4Address(end))


def same(setting: str, one: NetworkSettings, other: NetworkSettings) -> bool:
    """Whether a setting is the same in both, whatever the order where that does not count."""
    return bool(_comparable(setting, one) == _comparable(setting, other))


def needs_restart(live: NetworkSettings, wanted: NetworkSettings) -> bool:
    """Whether an active network gets what is wanted only by being stopped and started."""
    fixed = [name for name in FIXED if name != "bridge" or wanted.bridge is not None]
    return not all(same(name, live, wanted) for name in fixed)


def _ranges(inputs: NetworkInputs, own: IPv4Interface | None) -> tuple[tuple[str, str], ...]:
    dhcp = inputs.dhcp
    if own is None or (dhcp is not None and not dhcp.enabled):
        return ()
    if dhcp is not None and dhcp.start is not None and dhcp.end is not None:
        return ((dhcp.start, dhcp.end),)
    return (default_range(own),)


def _comparable(setting: str, settings: NetworkSettings) -> Any:
    value = getattr(settings, setting)
    if setting == "records":
        return {(each.address, frozenset(each.hostnames)) for each in value}
    return set(value) if setting in ("ranges", "reservations") else value
