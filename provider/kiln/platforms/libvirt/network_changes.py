"""Changes of an active network that its guests do not notice. Runs on worker threads.

libvirt has dnsmasq read its files again for reservations and DNS records, and starts it anew for ranges; the bridge and
what is plugged into it stay. Source: https://libvirt.org/html/libvirt-libvirt-network.html#virNetworkUpdate
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

from kiln.platforms.libvirt.codes import Affect, NetworkSection, NetworkUpdate, NetworkXml
from kiln.platforms.libvirt.xml.network import (
    entries,
    range_element,
    record_element,
    reservation_element,
    served_index,
    told_settings,
)
from kiln.platforms.libvirt.xml.text import Element, dump, parse
from kiln.ports.networks import HostRecord, NetworkSettings

T = TypeVar("T")
_Write: TypeAlias = Callable[[T], Element]


def make(network: Any, wanted: NetworkSettings) -> None:
    """Give an active ``virNetwork`` the ranges, reservations and records that it has otherwise, in the words of its
    definition, where others may have said more than Kiln has a word for."""
    document, defined = parse(network.XMLDesc(0)), entries(parse(network.XMLDesc(NetworkXml.INACTIVE)))
    now, served = told_settings(document), served_index(document)

    def change(section: NetworkSection, old: Sequence[T], new: Sequence[T], write: _Write[T], name: _Write[T]) -> None:
        """Rid the section of what is ``old`` alone, told by what ``name`` gives, and then write what is ``new``: that
        may have the address or the name of an old entry."""
        parent = -1 if section is NetworkSection.DNS_HOST else served
        for entry in old:
            if entry not in new:
                network.update(NetworkUpdate.DELETE, section, parent, dump(name(entry)), Affect.LIVE)
        for entry in new:
            if entry not in old:
                made = defined[entry] if entry in defined else write(entry)
                network.update(NetworkUpdate.ADD_LAST, section, parent, dump(made), Affect.LIVE)

    change(NetworkSection.DHCP_RANGE, now.ranges, wanted.ranges, range_element, range_element)
    change(NetworkSection.DHCP_HOST, now.reservations, wanted.reservations, reservation_element, reservation_element)
    change(NetworkSection.DNS_HOST, now.records, wanted.records, record_element, _address_alone)


def _address_alone(record: HostRecord) -> Element:
    """A record by its address: libvirt takes every record with one of the names for the one that is meant."""
    return record_element(HostRecord(record.address, ()))
