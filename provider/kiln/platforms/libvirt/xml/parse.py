"""A domain's definition, read back into ``ports.Domain``."""

from __future__ import annotations

from typing import Literal

from kiln.platforms.libvirt.xml import metadata
from kiln.platforms.libvirt.xml.cpu import told as told_cpu
from kiln.platforms.libvirt.xml.devices import AGENT_CHANNEL
from kiln.platforms.libvirt.xml.os import told_boot, told_firmware
from kiln.platforms.libvirt.xml.settings import told_settings
from kiln.platforms.libvirt.xml.sizes import free_memory_slots, told_installed, told_max_memory, told_memory, told_vcpus
from kiln.platforms.libvirt.xml.text import Element, find, findall, parse
from kiln.ports.domains import Domain, DomainDisk, DomainNic, Live, PowerState


def told_domain(document: str, *, state: PowerState, autostart: bool) -> Domain:
    """The guest that a persistent definition describes."""
    root = parse(document)
    kept = metadata.told(metadata.find(root))
    accelerator: Literal["kvm", "tcg"] = "kvm" if root.get("type") == "kvm" else "tcg"
    os = root.find("os")
    current_vcpus, vcpus = told_vcpus(root)
    return Domain(
        name=root.findtext("name") or "",
        uuid=root.findtext("uuid") or "",
        state=state,
        memory=told_memory(root, "memory"),
        vcpus=vcpus,
        cpu_mode=told_cpu(root.find("cpu"), kept.cpu_mode, accelerator),
        firmware="bios" if os is None else told_firmware(os),
        accelerator=accelerator,
        disks=tuple(map(_disk, findall(root, "devices/disk"))),
        nics=tuple(map(_nic, findall(root, "devices/interface"))),
        autostart=autostart,
        boot=None if os is None else told_boot(os),
        description=root.findtext("description") or None,
        graphics=_graphics(root),
        mark=kept.mark,
        metadata=kept.metadata,
        platform_config=told_settings(root, kept.settings),
        current_memory=told_memory(root, "currentMemory") or None,
        current_vcpus=None if root.find("vcpu") is None else current_vcpus,
        console_log=_attribute(root, "devices/serial/log", "file"),
        max_memory=told_max_memory(root),
        asked=kept.asked,
        sizes=kept.sizes,
    )


def told_live(document: str) -> tuple[Live, int | None]:
    """What a running guest has by its live definition, and the TCP port of its VNC console if it has one."""
    root = parse(document)
    kept = metadata.told(metadata.find(root))
    vcpus, max_vcpus = told_vcpus(root)
    live = Live(
        memory=told_memory(root, "currentMemory"),
        vcpus=vcpus,
        disks=tuple(map(_disk, findall(root, "devices/disk"))),
        nics=tuple(map(_nic, findall(root, "devices/interface"))),
        free_slots=_free_slots(root),
        installed=told_installed(root),
        max_memory=told_max_memory(root),
        memory_slots=free_memory_slots(root),
        max_vcpus=max_vcpus,
        asked=kept.asked,
        sizes=kept.sizes,
    )
    vnc = [console for console in findall(root, "devices/graphics") if console.get("type") == "vnc"]
    port = int(vnc[0].get("port") or -1) if vnc else -1
    return live, port if port > 0 else None


def told_agent_connected(document: str) -> bool:
    """Whether the guest has opened the agent's channel, by a live definition."""
    for target in parse(document).findall("devices/channel/target"):
        if target.get("name") == AGENT_CHANNEL:
            return target.get("state") == "connected"
    return False


def told_log(document: str) -> str | None:
    """The file that the serial console is logged to."""
    return _attribute(parse(document), "devices/serial/log", "file")


def disk_target(document: str, path: str) -> str | None:
    """The guest device name of the disk stored at ``path``."""
    for found in map(_disk, parse(document).findall("devices/disk")):
        if found.path == path:
            return found.target
    return None


def disk_document(document: str, target: str) -> Element | None:
    """The ``<disk>`` with the guest device name ``target``."""
    for found in parse(document).findall("devices/disk"):
        if _attribute(found, "target", "dev") == target:
            return found
    return None


def disk_path(found: Element) -> str | None:
    """Where the disk of a ``<disk>``, or the copy of a ``<mirror>``, is stored; None for an empty CD drive."""
    return _attribute(found, "source", "file") or _attribute(found, "source", "dev")


def nic_document(document: str, mac: str) -> Element | None:
    """The ``<interface>`` with a MAC address."""
    for found in parse(document).findall("devices/interface"):
        if _nic(found).mac == mac:
            return found
    return None


def _free_slots(root: Element) -> int | None:
    """The PCIe root ports without a device; other buses are not counted."""
    ports = {port.get("index") for port in root.findall("devices/controller[@model='pcie-root-port']")}
    used = {str(int(place.get("bus") or "0", 16)) for place in root.findall("devices/*/address[@type='pci']")}
    return len(ports - used) if ports else None


def _disk(found: Element) -> DomainDisk:
    order = _attribute(found, "boot", "order")
    return DomainDisk(
        target=_attribute(found, "target", "dev") or "",
        device=found.get("device") or "disk",
        bus=_attribute(found, "target", "bus") or "",
        path=disk_path(found),
        format=_attribute(found, "driver", "type"),
        serial=found.findtext("serial") or None,
        boot_order=None if order is None else int(order),
        backing=tuple(path for below in found.iter("backingStore") if (path := disk_path(below)) is not None),
    )


def _nic(found: Element) -> DomainNic:
    order, network = _attribute(found, "boot", "order"), _attribute(found, "source", "network")
    # While a guest runs on a network that is a bridge of the host's, libvirt gives the type of what it is plugged into
    # and names the network beside the bridge (https://libvirt.org/formatnetwork.html#using-an-existing-host-bridge).
    kind = (found.get("type") or "") if network is None else "network"
    return DomainNic(
        mac=(_attribute(found, "mac", "address") or "").lower(),
        kind=kind,
        source=_attribute(found, "source", kind),
        model=_attribute(found, "model", "type"),
        link="down" if _attribute(found, "link", "state") == "down" else "up",
        boot_order=None if order is None else int(order),
    )


def _graphics(root: Element) -> str:
    return _attribute(root, "devices/graphics", "type") or "none"


def _attribute(parent: Element, path: str, name: str) -> str | None:
    found = find(parent, path)
    return None if found is None else found.get(name)
