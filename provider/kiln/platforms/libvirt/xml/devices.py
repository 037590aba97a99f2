"""The devices every guest has: room for hot-plugging, SCSI for CDs, entropy, the agent's channel, a serial console.

Source: https://libvirt.org/formatdomain.html#devices
"""

from __future__ import annotations

from kiln.platforms.libvirt.xml.os import X86, machine
from kiln.platforms.libvirt.xml.text import Element, add
from kiln.ports.domains import DomainSpec

FREE_ROOT_PORTS = 16
AGENT_CHANNEL = "org.qemu.guest_agent.0"

# virtio-scsi, virtio-serial, RNG and balloon each take a root port.
_OWN_PORTS = 4


def controllers(devices: Element, spec: DomainSpec) -> None:
    """Add PCIe root ports (16 more than the guest's devices take: ports cannot be hot-plugged), SCSI and USB."""
    if machine(spec.arch, spec.platform_config.get("machine")) in {"q35", "virt"}:
        add(devices, "controller", type="pci", index="0", model="pcie-root")
        virtio_disks = sum(disk.bus == "virtio" for disk in spec.disks)
        used = _OWN_PORTS + virtio_disks + len(spec.nics) + (spec.graphics != "none")
        for index in range(1, used + FREE_ROOT_PORTS + 1):
            add(devices, "controller", type="pci", index=str(index), model="pcie-root-port")
    add(devices, "controller", type="scsi", index="0", model="virtio-scsi")
    add(devices, "controller", type="virtio-serial", index="0")
    if spec.graphics == "none":
        add(devices, "controller", type="usb", model="none")
    else:
        add(devices, "controller", type="usb", model="qemu-xhci", ports="15")


def console(devices: Element, arch: str, log: str | None) -> None:
    """Add the serial console: a pseudo-terminal whose output libvirt's log daemon also appends to the file ``log``."""
    serial = add(devices, "serial", type="pty")
    if log is not None:
        add(serial, "log", file=log, append="on")
    # Other machines have a UART of their own kind, which libvirt knows best.
    add(serial, "target", type="isa-serial" if arch in X86 else None, port="0")
    add(add(devices, "console", type="pty"), "target", type="serial", port="0")


def helpers(devices: Element) -> None:
    """Add the agent's channel and entropy from the node."""
    add(add(devices, "channel", type="unix"), "target", type="virtio", name=AGENT_CHANNEL)
    add(add(devices, "rng", model="virtio"), "backend", "/dev/urandom", model="random")
