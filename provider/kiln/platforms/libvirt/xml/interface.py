"""``<interface>``. Source: https://libvirt.org/formatdomain.html#network-interfaces"""

from __future__ import annotations

from kiln.platforms.libvirt.xml.text import Element, add, element
from kiln.ports.domains import NicSpec


def interface(spec: NicSpec) -> Element:
    """A network interface on a libvirt network, on a host bridge, or with user-mode networking."""
    kind = "network" if spec.network is not None else "bridge" if spec.bridge is not None else "user"
    made = element("interface", type=kind)
    add(made, "mac", address=spec.mac)
    if kind != "user":
        add(made, "source", **{kind: spec.network if spec.network is not None else spec.bridge})
    add(made, "model", type=spec.model)
    if spec.link == "down":
        add(made, "link", state=spec.link)
    if spec.boot_order is not None:
        add(made, "boot", order=str(spec.boot_order))
    return made
