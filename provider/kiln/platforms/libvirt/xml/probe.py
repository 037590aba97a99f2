"""The definition of the guest that proves an accelerator; see ``payload`` for what it runs."""

from __future__ import annotations

from typing import Literal

from kiln.platforms.libvirt.xml.cpu import AUTO, cpu
from kiln.platforms.libvirt.xml.devices import console
from kiln.platforms.libvirt.xml.disk import disk
from kiln.platforms.libvirt.xml.os import machine
from kiln.platforms.libvirt.xml.text import add, dump, element
from kiln.ports.domains import DiskSpec
from kiln.ports.volumes import Volume

MEMORY_MIB = 64


def probe(name: str, arch: str, accelerator: Literal["kvm", "tcg"], volume: Volume) -> str:
    """A small guest that boots ``volume``, with the CPU mode and machine type that servers get."""
    root = element("domain", type="kvm" if accelerator == "kvm" else "qemu")
    add(root, "name", name)
    add(root, "memory", str(MEMORY_MIB), unit="MiB")
    add(root, "vcpu", "1")
    add(add(root, "os"), "type", "hvm", arch=arch, machine=machine(arch))
    features = add(root, "features")
    add(features, "acpi")
    add(features, "apic")
    root.append(cpu(AUTO, accelerator))
    devices = add(root, "devices")
    devices.append(disk(DiskSpec((volume,), "vda", boot_order=1)))
    add(devices, "controller", type="usb", model="none")
    console(devices, arch, None)
    add(devices, "memballoon", model="none")
    add(add(devices, "video"), "model", type="none")
    return dump(root)
