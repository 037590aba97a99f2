"""``<network>``. Source: https://libvirt.org/formatnetwork.html"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import IPv4Interface, ip_interface
from typing import TypeVar

from kiln.platforms.libvirt.xml import metadata
from kiln.platforms.libvirt.xml.text import Element, add, dump, element, parse
from kiln.ports.networks import HostRecord, NetworkSettings, NetworkSpec, Reservation

T = TypeVar("T")

_FORWARD = {"nat": "nat", "routed": "route", "bridge": "bridge"}
_MODES = {forward: mode for mode, forward in _FORWARD.items()} | {"none": "isolated"}


def network(spec: NetworkSpec, given: str | None = None) -> str:
    """The definition of a network, on the ground of the ``given`` one: what Kiln has no word for is kept, as are the
    bridge and the MAC address that libvirt chose."""
    settings = spec.settings
    root = element("network") if given is None else parse(given)
    _one(root, "name").text = spec.name
    _one(root, "uuid").text = spec.uuid
    _set_metadata(root, spec)
    _set_forward(root, settings)
    _set_ipv6_nat(root, settings, new=given is None)
    if settings.bridge is not None:
        _one(root, "bridge").set("name", settings.bridge)
    _set_attribute(root, "mtu", "size", None if settings.mtu is None else str(settings.mtu))
    _set_attribute(root, "domain", "name", settings.domain)
    _set_records(root, settings)
    _set_addresses(root, settings)
    return dump(root)


def told_settings(root: Element) -> NetworkSettings:
    """What a definition sets."""
    forward, served = root.find("forward"), _served(root)
    mode = "none" if forward is None else forward.get("mode") or "nat"
    mtu = _attribute(root, "mtu", "size")
    return NetworkSettings(
        mode=_MODES.get(mode, mode),
        bridge=_attribute(root, "bridge", "name"),
        addresses=tuple(filter(None, map(_told_address, root.findall("ip")))),
        ranges=() if served is None else tuple(_told_range(each) for each in served.findall("dhcp/range")),
        reservations=() if served is None else tuple(filter(None, map(_told_reservation, served.findall("dhcp/host")))),
        records=tuple(map(_told_record, root.findall("dns/host"))),
        domain=_attribute(root, "domain", "name"),
        mtu=None if mtu is None else int(mtu),
    )


def served_index(root: Element) -> int:
    """The place of the first IPv4 address among all addresses, which is how a change of its DHCP server names it."""
    served = _served(root)
    return -1 if served is None else root.findall("ip").index(served)


def entries(root: Element) -> dict[object, Element]:
    """The ranges, reservations and records that ``told_settings`` tells of, each with its element."""
    found: dict[object, Element] = {_told_record(each): each for each in root.findall("dns/host")}
    served = _served(root)
    if served is not None:
        found |= {_told_range(each): each for each in served.findall("dhcp/range")}
        found |= {_told_reservation(each): each for each in served.findall("dhcp/host")}
    return found


def range_element(ends: tuple[str, str]) -> Element:
    """The addresses that DHCP hands out."""
    return element("range", start=ends[0], end=ends[1])


def reservation_element(reservation: Reservation) -> Element:
    """An address that is kept for a MAC address."""
    return element("host", mac=reservation.mac, name=reservation.hostname, ip=reservation.address)


def record_element(record: HostRecord) -> Element:
    """The names of an address."""
    made = element("host", ip=record.address)
    for name in record.hostnames:
        add(made, "hostname", name)
    return made


def is_bridge(document: str) -> bool:
    """Whether a host interface's definition says that it is a bridge."""
    return parse(document).get("type") == "bridge"


def _set_metadata(root: Element, spec: NetworkSpec) -> None:
    kept = _one(root, "metadata")
    old = metadata.find_network(root)
    if old is not None:
        kept.remove(old)
    kept.append(metadata.network_metadata(spec.mark))


def _set_forward(root: Element, settings: NetworkSettings) -> None:
    mode = _FORWARD.get(settings.mode)
    if mode is None:
        return
    _one(root, "forward").set("mode", mode)


def _set_ipv6_nat(root: Element, settings: NetworkSettings, *, new: bool) -> None:
    """Have IPv6 translated as IPv4 is where this makes the network, or brings IPv6 to it. Otherwise libvirt routes it
    (https://libvirt.org/formatnetwork.html#connectivity), which somebody may have chosen."""
    there = set() if new else set(map(_told_address, root.findall("ip")))
    if settings.mode == "nat" and any(":" in address for address in settings.addresses if address not in there):
        _one(_one(root, "forward"), "nat").set("ipv6", "yes")


def _set_records(root: Element, settings: NetworkSettings) -> None:
    dns = root.find("dns")
    if dns is None and not settings.records:
        return
    _set_entries(_one(root, "dns"), "host", settings.records, _told_record, record_element)


def _set_addresses(root: Element, settings: NetworkSettings) -> None:
    """The addresses in their order; one that stays keeps what else is in it."""
    served_before = _served(root)
    _set_entries(root, "ip", settings.addresses, _told_address, _address)
    served = _served(root)
    for each in filter(_is_ipv4, root.findall("ip")):
        if each is served:
            _set_dhcp(each, settings)
        elif each is served_before:
            _drop_dhcp(each)


def _address(address: str) -> Element:
    interface = ip_interface(address)
    family = None if isinstance(interface, IPv4Interface) else "ipv6"
    return element("ip", family=family, address=str(interface.ip), prefix=str(interface.network.prefixlen))


def _set_dhcp(address: Element, settings: NetworkSettings) -> None:
    dhcp = address.find("dhcp")
    if dhcp is None and not settings.ranges and not settings.reservations:
        return
    dhcp = _one(address, "dhcp")
    _set_entries(dhcp, "range", settings.ranges, _told_range, range_element)
    _set_entries(dhcp, "host", settings.reservations, _told_reservation, reservation_element)
    if not len(dhcp):
        address.remove(dhcp)


def _drop_dhcp(address: Element) -> None:
    found = address.find("dhcp")
    if found is not None:
        address.remove(found)


def _set_entries(
    parent: Element, tag: str, wanted: Iterable[T], tell: Callable[[Element], T | None], write: Callable[[T], Element]
) -> None:
    """The children of that name, in the order ``wanted``. One that says what is wanted stays as it is, with all that
    Kiln has no word for, and so does one that tells nothing."""
    there = {told: child for child in parent.findall(tag) if (told := tell(child)) is not None}
    for child in parent.findall(tag):
        if tell(child) is not None:
            parent.remove(child)
    parent.extend([there[one] if one in there else write(one) for one in wanted])


def _set_attribute(root: Element, tag: str, name: str, value: str | None) -> None:
    found = root.find(tag)
    if value is not None:
        _one(root, tag).set(name, value)
    elif found is not None:
        root.remove(found)


def _one(parent: Element, tag: str) -> Element:
    """The child of that name, made when there is none."""
    found = parent.find(tag)
    return add(parent, tag) if found is None else found


def _served(root: Element) -> Element | None:
    return next(filter(_is_ipv4, root.findall("ip")), None)


def _is_ipv4(address: Element) -> bool:
    return address.get("family", "ipv4") == "ipv4"


def _told_address(found: Element) -> str | None:
    """An address with its prefix length, which libvirt also writes as a netmask, or leaves to the address's class."""
    address, length = found.get("address"), found.get("prefix") or found.get("netmask")
    if address is None:
        return None
    return str(ip_interface(f"{address}/{length or _classful(address)}"))


def _classful(address: str) -> int:
    """The prefix length that libvirt takes for an address without one (``virSocketAddrGetIPPrefix``)."""
    if ":" in address:
        return 64
    first = int(address.partition(".")[0])
    return 8 if first < 128 else 16 if first < 192 else 24


def _told_range(found: Element) -> tuple[str, str]:
    return found.get("start") or "", found.get("end") or ""


def _told_reservation(found: Element) -> Reservation | None:
    """A reservation; None for one that is for a guest's name alone, whatever its MAC address."""
    mac = found.get("mac")
    return None if mac is None else Reservation(mac.lower(), found.get("ip") or "", found.get("name"))


def _told_record(found: Element) -> HostRecord:
    return HostRecord(found.get("ip") or "", tuple(name.text or "" for name in found.findall("hostname")))


def _attribute(root: Element, tag: str, name: str) -> str | None:
    found = root.find(tag)
    return None if found is None else found.get(name)
