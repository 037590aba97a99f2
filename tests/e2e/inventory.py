"""What is on the node, read with libvirt-python and qemu-img alone, so that it does not share Kiln's mistakes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import libvirt

URI = "qemu:///system"
TEST_PREFIX = "kt-"
"""Every test module's objects begin with this and something of its own."""


class Inventory:
    """The node's objects as libvirt itself tells them, on a connection that Kiln knows nothing of."""

    def __init__(self, uri: str = URI) -> None:
        libvirt.registerErrorHandler(lambda *_: None, None)
        self.uri = uri
        self.connection = libvirt.open(uri)

    def reopen(self) -> None:
        """Connect to a daemon that was started anew."""
        self.close()
        self.connection = libvirt.open(self.uri)

    def close(self) -> None:
        """Let go of the connection."""
        self.connection.close()

    def domains(self) -> set[str]:
        """The names of all guests."""
        return {domain.name() for domain in self.connection.listAllDomains()}

    def pools(self) -> set[str]:
        """The names of all storage pools."""
        return {pool.name() for pool in self.connection.listAllStoragePools()}

    def networks(self) -> set[str]:
        """The names of all networks."""
        return {network.name() for network in self.connection.listAllNetworks()}

    def named(self, prefix: str) -> dict[str, set[str]]:
        """All objects with ``prefix`` in their names."""
        found = {"domains": self.domains(), "pools": self.pools(), "networks": self.networks()}
        return {kind: {name for name in names if prefix in name} for kind, names in found.items()}

    def domain(self, name: str) -> Any:
        """One guest (``virDomain``)."""
        return self.connection.lookupByName(name)

    def uuid(self, name: str) -> str:
        """A guest's UUID."""
        return str(self.domain(name).UUIDString())

    def running(self, name: str) -> bool:
        """Whether a guest runs."""
        return bool(self.domain(name).isActive())

    def process(self, name: str) -> int:
        """The libvirt id of a running guest, a new one for each start; -1 for one that is off."""
        return int(self.domain(name).ID())

    def xml(self, name: str, *, live: bool = False) -> Any:
        """A guest's definition (an ``Element``): the persistent one, or that of the running guest."""
        return ElementTree.fromstring(self.text(name, live=live))

    def text(self, name: str, *, live: bool = False) -> str:
        """A guest's definition as text, secrets included."""
        flags = libvirt.VIR_DOMAIN_XML_SECURE | (0 if live else libvirt.VIR_DOMAIN_XML_INACTIVE)
        return str(self.domain(name).XMLDesc(flags))

    def disks(self, name: str, *, live: bool = False) -> dict[str, dict[str, Any]]:
        """A guest's disks by target: device, bus, file, boot order."""
        return {
            disk.find("target").get("dev"): {
                "device": disk.get("device"),
                "bus": disk.find("target").get("bus"),
                "file": _attribute(disk, "source", "file"),
                "order": _attribute(disk, "boot", "order"),
            }
            for disk in self.xml(name, live=live).findall("devices/disk")
        }

    def macs(self, name: str) -> list[str]:
        """The MAC addresses of a guest's interfaces."""
        return [mac.get("address") for mac in self.xml(name).findall("devices/interface/mac")]


def image_info(file: Path) -> dict[str, Any]:
    """What ``qemu-img info`` says of a file, also while a guest uses it."""
    command = ["qemu-img", "info", "-U", "--output=json", str(file)]
    info: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return info


def _attribute(parent: Any, child: str, name: str) -> str | None:
    found = parent.find(child)
    return None if found is None else found.get(name)
