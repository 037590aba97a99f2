"""``<domain>``: a guest as Kiln defines it. What is not asked for is as virt-install would have it.

Source: https://libvirt.org/formatdomain.html
"""

from __future__ import annotations

from kiln.platforms.libvirt import settings
from kiln.platforms.libvirt.xml import overlay
from kiln.platforms.libvirt.xml.cpu import cpu
from kiln.platforms.libvirt.xml.devices import console, controllers, helpers
from kiln.platforms.libvirt.xml.disk import disk
from kiln.platforms.libvirt.xml.graphics import graphics
from kiln.platforms.libvirt.xml.interface import interface
from kiln.platforms.libvirt.xml.metadata import Kept, metadata
from kiln.platforms.libvirt.xml.os import X86, os
from kiln.platforms.libvirt.xml.sizes import balloon, numa, sizes
from kiln.platforms.libvirt.xml.text import Element, add, dump, element
from kiln.ports.domains import DomainSpec


def domain(spec: DomainSpec, *, console_log: str | None) -> str:
    """The definition of ``spec``. The file ``console_log`` on the node receives what the guest writes to its console.

    Raises:
        InputError: ``platform_config`` holds what this platform does not know, or the overlay cannot be applied.
        KilnError: a string holds a character that XML cannot carry.
    """
    settings.check(spec.platform_config)
    root = element("domain", type="kvm" if spec.accelerator == "kvm" else "qemu")
    add(root, "name", spec.name)
    add(root, "uuid", spec.uuid)
    if spec.description is not None:
        add(root, "description", spec.description)
    kept = Kept(spec.mark, spec.cpu_mode, spec.metadata, spec.platform_config, spec.asked, spec.sizes)
    add(root, "metadata").append(metadata(kept))
    sizes(root, spec.sizes)
    root.append(os(spec))
    root.append(_features(spec))
    root.append(_cpu(spec))
    root.append(_clock(spec))
    add(root, "on_poweroff", "destroy")
    add(root, "on_reboot", "restart")
    add(root, "on_crash", "destroy")
    root.append(_devices(spec, console_log))
    return overlay.applied(dump(root), spec.overlay) if spec.overlay else dump(root)


def _cpu(spec: DomainSpec) -> Element:
    made = cpu(spec.cpu_mode, spec.accelerator)
    numa(made, spec.sizes)
    return made


def _features(spec: DomainSpec) -> Element:
    made = element("features")
    if spec.arch in X86:
        add(made, "acpi")
        add(made, "apic")
        add(made, "vmport", state="off")
    elif spec.firmware == "efi":  # elsewhere ACPI comes with UEFI; the GIC version is libvirt's choice
        add(made, "acpi")
    return made


def _clock(spec: DomainSpec) -> Element:
    made = element("clock", offset=spec.platform_config.get("clock", "utc"))
    if spec.arch in X86:
        add(made, "timer", name="rtc", tickpolicy="catchup")
        add(made, "timer", name="pit", tickpolicy="delay")
        add(made, "timer", name="hpet", present="no")
    return made


def _devices(spec: DomainSpec, console_log: str | None) -> Element:
    made = element("devices")
    controllers(made, spec)
    for each in spec.disks:
        made.append(disk(each, cache=spec.platform_config.get("diskCache")))
    for nic in spec.nics:
        made.append(interface(nic))
    console(made, spec.arch, console_log)
    helpers(made)
    balloon(made, spec.sizes)
    graphics(made, spec)
    return made
