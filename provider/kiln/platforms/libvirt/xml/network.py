"""``<network>``, read only. Source: https://libvirt.org/formatnetwork.html"""

from __future__ import annotations

from kiln.platforms.libvirt.xml.text import parse
from kiln.ports.nodes import Network


def told_network(document: str, *, active: bool) -> Network:
    """The network that a document of libvirt's describes."""
    root = parse(document)
    bridge = root.find("bridge")
    return Network(
        name=root.findtext("name") or "",
        active=active,
        bridge=None if bridge is None else bridge.get("name"),
        dhcp=root.find("ip/dhcp") is not None,
    )


def is_bridge(document: str) -> bool:
    """Whether a host interface's definition says that it is a bridge."""
    return parse(document).get("type") == "bridge"
