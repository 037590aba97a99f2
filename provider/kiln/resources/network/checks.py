"""What can be seen to be wrong with a Network before anything happens, as far as its inputs are known. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv6Interface, ip_network
from typing import Any

from kiln.firstboot.hostname import check_hostname
from kiln.framework.errors import InputError
from kiln.framework.values import UNKNOWN
from kiln.resources.network.model import Dhcp, DnsHost, NetworkInputs, Reservation
from kiln.resources.network.settings import LARGEST_RANGE, RANGE_PREFIX, own_address, served_by_dhcp

_LONGEST_PREFIX = {4: 30, 6: 126}
_LEAST_IPV6_MTU = 1280  # RFC 8200 section 5


def refuse_contradictions(inputs: NetworkInputs) -> None:
    """Refuse combinations that cannot work. Raises InputError."""
    if inputs.mode == "bridge":
        _check_bridged(inputs)
    elif inputs.mode in ("nat", "routed") and inputs.addresses in (None, []):
        raise InputError(
            "addresses",
            f"a network with mode '{inputs.mode}' needs an address of the node's",
            action="state one with its prefix length, such as 10.17.3.1/24",
        )
    own = _check_addresses(inputs.addresses)
    _check_names(inputs)
    if own is None:
        return
    _require_addresses(inputs, own)
    served = served_by_dhcp(own)
    if served is not None:
        _check_range(inputs.dhcp, served)
        _check_reservations(inputs.reservations, served)
    mtu = inputs.mtu if _known(inputs.mtu) else None
    if mtu is not None and mtu < _LEAST_IPV6_MTU and any(isinstance(each, IPv6Interface) for each in own):
        raise InputError("mtu", f"IPv6 needs an MTU of at least {_LEAST_IPV6_MTU}", action="use a larger one")


def _check_bridged(inputs: NetworkInputs) -> None:
    """On a bridge of the host libvirt does nothing but plug guests in."""
    if inputs.bridge is None:
        raise InputError("bridge", "mode 'bridge' needs the name of a host bridge", action="set 'bridge'")
    for path, value in inputs.wire().items():
        if path in ("addresses", "dhcp", "reservations", "dnsHosts", "domain", "mtu") and value != []:
            raise InputError(
                path,
                f"a network with mode 'bridge' has no '{path}'",
                cause="its guests are on the host's bridge, which others configure",
                action="drop it, or use another mode",
            )


def _check_addresses(addresses: list[str] | None) -> list[IPv4Interface | IPv6Interface] | None:
    """The node's addresses, None while they are not known."""
    if addresses is UNKNOWN:
        return None
    found: list[IPv4Interface | IPv6Interface] = []
    for index, address in enumerate(addresses or []):
        if address is UNKNOWN:
            return None
        path, own = f"addresses[{index}]", own_address(address)
        _check_address(path, address, own)
        for other in found:
            if own.version == other.version and own.network.overlaps(other.network):
                raise InputError(
                    path, f"{own.network} overlaps with {other.network}", action="use networks that share no address"
                )
        found.append(own)
    return found


def _check_address(path: str, address: str, own: IPv4Interface | IPv6Interface) -> None:
    longest = _LONGEST_PREFIX[own.version]
    if own.network.prefixlen > longest:
        raise InputError(
            path, f"there is no room for guests in {address}", action=f"use a prefix length of at most {longest}"
        )
    if own.ip.is_multicast or own.ip.is_loopback or own.ip.is_unspecified:
        raise InputError(path, f"{own.ip} cannot be the address of a machine", action="use a private network's")
    if isinstance(own, IPv4Interface) and own.ip == own.network.broadcast_address:
        raise InputError(path, f"{own.ip} is the broadcast address of {own.network}", action="use another address")


def _require_addresses(inputs: NetworkInputs, own: list[IPv4Interface | IPv6Interface]) -> None:
    """DHCP and DNS are served on an address of the node's."""
    wants_dhcp = isinstance(inputs.dhcp, Dhcp) and inputs.dhcp.enabled is not False
    asked = {"dhcp": wants_dhcp, "reservations": bool(_items(inputs.reservations))}
    for path, wanted in asked.items():
        if wanted and served_by_dhcp(own) is None:
            raise InputError(path, f"'{path}' needs an IPv4 network", action="state one in 'addresses', or drop it")
    for path, value in {"dnsHosts": _items(inputs.dns_hosts), "domain": inputs.domain}.items():
        if value and not own:
            raise InputError(path, f"'{path}' needs an address of the node's", action="set 'addresses', or drop it")


def _check_range(dhcp: Dhcp | None, own: IPv4Interface) -> None:
    if not isinstance(dhcp, Dhcp):
        return
    if (dhcp.start is None) != (dhcp.end is None):
        missing = "end" if dhcp.end is None else "start"
        raise InputError(f"dhcp.{missing}", "a range has a first and a last address", action=f"set '{missing}' too")
    if dhcp.start is None or not _known(dhcp.start) or not _known(dhcp.end):
        return
    if dhcp.enabled is False:
        raise InputError("dhcp.start", "DHCP without a range has no first address", action="drop it, or 'enabled'")
    first, last = IPv4Address(dhcp.start), IPv4Address(dhcp.end or dhcp.start)
    for name, address in (("start", first), ("end", last)):
        _check_inside(f"dhcp.{name}", address, own)
    if last < first:
        raise InputError("dhcp.end", f"{last} is before {first}", action="let the range end where it starts or after")
    if last not in ip_network((first, RANGE_PREFIX), strict=False):
        raise InputError(
            "dhcp.end",
            f"{last} is too far from {first}",
            cause="the addresses of a range have their first two numbers in common",
            action=f"let it end at {ip_network((first, RANGE_PREFIX), strict=False).broadcast_address} or before",
        )
    if int(last) - int(first) >= LARGEST_RANGE:
        raise InputError("dhcp.end", "the range is too large", action=f"use at most {LARGEST_RANGE} addresses")


def _check_reservations(reservations: list[Reservation] | None, own: IPv4Interface) -> None:
    for index, one in enumerate(_items(reservations)):
        path = f"reservations[{index}].address"
        if isinstance(one, Reservation) and _known(one.address):
            _check_inside(path, IPv4Address(one.address), own)
            if one.address == str(own.ip):
                raise InputError(path, f"{one.address} is the node's own", action="reserve another address")


def _check_inside(path: str, address: IPv4Address, own: IPv4Interface) -> None:
    network = own.network
    if address not in network:
        raise InputError(path, f"{address} is not in {network}", action="use an address of the network")
    if address in (network.network_address, network.broadcast_address):
        raise InputError(path, f"{address} is no address of a machine in {network}", action="use another address")


def _check_names(inputs: NetworkInputs) -> None:
    """Names are such, and nobody is named twice."""
    if inputs.domain is not None and _known(inputs.domain):
        check_hostname(inputs.domain, "domain")
    for name in ("mac", "address", "hostname"):
        _refuse_twice("reservations", name, inputs.reservations)
    _refuse_twice("dnsHosts", "address", inputs.dns_hosts)
    for path, hostname in _hostnames(inputs):
        if hostname is not None and _known(hostname):
            check_hostname(hostname, path)
    for index, host in enumerate(_items(inputs.dns_hosts)):
        if isinstance(host, DnsHost) and host.hostnames == []:
            raise InputError(f"dnsHosts[{index}].hostnames", "an address here has at least one name", action="state it")


def _hostnames(inputs: NetworkInputs) -> Iterator[tuple[str, str | None]]:
    for index, one in enumerate(_items(inputs.reservations)):
        if isinstance(one, Reservation):
            yield f"reservations[{index}].hostname", one.hostname
    for index, host in enumerate(_items(inputs.dns_hosts)):
        for place, name in enumerate(_items(host.hostnames) if isinstance(host, DnsHost) else []):
            yield f"dnsHosts[{index}].hostnames[{place}]", name


def _refuse_twice(path: str, name: str, items: list[Any] | None) -> None:
    seen: set[str] = set()
    for index, item in enumerate(_items(items)):
        value = getattr(item, name, None)
        if value is None or not _known(value):
            continue
        if value in seen:
            raise InputError(f"{path}[{index}].{name}", f"'{value}' is here twice", action="state it once")
        seen.add(value)


def _known(value: Any) -> bool:
    return value is not None and value is not UNKNOWN


def _items(items: Any) -> list[Any]:
    """A list's items, none when it is left out or not known."""
    return items if isinstance(items, list) else []
