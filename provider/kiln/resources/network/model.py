"""What a Network can be asked for and what it tells. Pure."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, ip_address, ip_interface
from typing import Annotated, Literal

from pydantic import AfterValidator

from kiln.framework.model import Impact, Model, out, prop
from kiln.resources.names import Mac, Name

_BRIDGE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}")


def _cidr(text: str) -> str:
    try:
        if "/" in text and "%" not in text:  # what comes after that names an interface (RFC 4007 section 11)
            return str(ip_interface(text))
    except ValueError:
        pass
    raise ValueError(f"{text!r} is not an address with a prefix length; write it like 10.17.3.1/24 or fd00:17::1/64")


def _address(text: str) -> str:
    try:
        if "%" not in text:
            return str(ip_address(text))
    except ValueError:
        pass
    raise ValueError(f"{text!r} is not an IP address; write it like 10.17.3.20 or fd00:17::20")


def _ipv4(text: str) -> str:
    try:
        return str(IPv4Address(text))
    except ValueError:
        raise ValueError(f"{text!r} is not an IPv4 address; write it like 10.17.3.20") from None


def _bridge(name: str) -> str:
    if not _BRIDGE.fullmatch(name):
        raise ValueError(f"{name!r} cannot be a bridge: use 1 to 15 letters, digits, '_', '.' and '-'")
    return name


def _mtu(size: int) -> int:
    if not 68 <= size <= 65535:
        raise ValueError(f"{size} cannot be an MTU; use 68 to 65535")
    return size


class Dhcp(Model):
    """Which addresses the network's DHCP server hands out."""

    enabled: bool = prop("Whether guests without a reservation are given an address.", default=True, impact=Impact.LIVE)
    start: Annotated[str, AfterValidator(_ipv4)] | None = prop(
        "First address of the range. Set `end` too.",
        impact=Impact.LIVE,
        default_doc="the range is all of the network after the node's address, or before it where that is more; of a"
        " network larger than /16 only addresses with the same first two numbers",
    )
    end: Annotated[str, AfterValidator(_ipv4)] | None = prop(
        "Last address of the range. Set `start` too.", impact=Impact.LIVE, default_doc="as for `start`"
    )


class Reservation(Model):
    """An address that is kept for one interface."""

    mac: Mac = prop("MAC address of the interface.", required=True, impact=Impact.LIVE)
    address: Annotated[str, AfterValidator(_ipv4)] = prop(
        "The IPv4 address it gets, in the network and inside or outside the range.", required=True, impact=Impact.LIVE
    )
    hostname: str | None = prop("Name that the guest is told and that DNS knows the address by.", impact=Impact.LIVE)


class DnsHost(Model):
    """An address that the network's DNS server has names for."""

    address: Annotated[str, AfterValidator(_address)] = prop("The address.", required=True, impact=Impact.LIVE)
    hostnames: list[str] = prop("Its names.", required=True, impact=Impact.LIVE)


class NetworkInputs(Model):
    """Inputs of Network."""

    name: Name = prop("Name of the network, which servers name in `networks`.", sticky=True)
    node: str = prop(
        "The node's libvirt URI, such as a Node's `uri` output.",
        default_doc="the provider's `uri`",
        unless="`live` where the URI leads to the same machine",
    )
    mode: Literal["nat", "routed", "isolated", "bridge"] = prop(
        "How guests reach further than each other and the node: `nat` behind the node's own address, `routed` with"
        " addresses that the world outside must know the way to, `isolated` not at all, `bridge` as machines of their"
        " own on the host bridge `bridge`, which is there already.",
        default="nat",
    )
    bridge: Annotated[str, AfterValidator(_bridge)] | None = prop(
        "The host bridge. In mode `bridge` it is one that exists, otherwise libvirt makes it.",
        default_doc="a free `virbr` and a number; required in mode `bridge`",
    )
    addresses: list[Annotated[str, AfterValidator(_cidr)]] | None = prop(
        "The node's own addresses on the network, one for each IPv4 or IPv6 network, with their prefix lengths. For the"
        " address of the network itself, as in `10.17.3.0/24`, the node takes the first one in it.",
        impact=Impact.RESTART,
        unless="`live` where no running guest is on it",
        default_doc="none; required in the modes `nat` and `routed`",
    )
    dhcp: Dhcp | None = prop(
        "Which addresses DHCP hands out on the first IPv4 network. IPv6 guests find theirs by themselves (SLAAC) where"
        " the prefix length is 64.",
        impact=Impact.LIVE,
        default_doc="on, where there is an IPv4 network",
    )
    reservations: list[Reservation] | None = prop(
        "Addresses that DHCP keeps for interfaces. A guest that has another one now changes when it asks again.",
        impact=Impact.LIVE,
    )
    dns_hosts: list[DnsHost] | None = prop("Names that the network's DNS server knows.", impact=Impact.LIVE)
    domain: str | None = prop(
        "DNS domain of the network, which DHCP tells the guests.",
        impact=Impact.RESTART,
        unless="`live` where no running guest is on it",
    )
    mtu: Annotated[int, AfterValidator(_mtu)] | None = prop(
        "Largest packet in bytes, on the bridge and as the guests are told.",
        impact=Impact.RESTART,
        unless="`live` where no running guest is on it",
        default_doc="the node's, usually 1500",
    )
    autostart: bool = prop("Whether the network starts with its node.", default=True, impact=Impact.LIVE)


class NetworkState(NetworkInputs):
    """State of Network."""

    node_identity: str = out("Identity of the node, the same for all its URIs.")
    uuid: str = out("The network's UUID, which is also its id.")
    bridge_name: str | None = out("The host bridge that guests are plugged into.")
    active: bool = out("Whether the network ran when Kiln last looked.", changes_with=("stopped",))
    stopped: bool | None = out(
        "True for a network that was stopped by somebody else; the next `up` starts it.",
        unfinished="the network was stopped, and is started again",
    )
    pending_restart: list[str] | None = out(
        "Properties that the network will have otherwise when it starts again, because its definition was changed and"
        " not the active network, or the other way round. The next `up` puts that right.",
        unfinished="the definition is put right",
    )
    transient: bool | None = out(
        "True for a network that was undefined while it ran, and would be gone when it stops; the next `up` defines it"
        " again.",
        unfinished="the network was undefined while it ran, and is defined again",
    )
