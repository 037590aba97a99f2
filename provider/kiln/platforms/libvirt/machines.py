"""The machine types of a node and how many virtual CPUs each takes. Runs on worker threads.

Sources: https://libvirt.org/formatdomaincaps.html, https://libvirt.org/formatcaps.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kiln.framework.errors import InputError
from kiln.platforms.libvirt.codes import ErrorCode
from kiln.platforms.libvirt.connection import Opened
from kiln.platforms.libvirt.facts import Capabilities, domain_capabilities
from kiln.platforms.libvirt.faults import code_of, message_of
from kiln.platforms.libvirt.xml.os import X86
from kiln.platforms.libvirt.xml.text import parse

PATH = "platformConfig.machine"
# More need an IOMMU with extended interrupt mode, which Kiln's guests do not have.
_MOST_ON_X86 = 255


def max_vcpus(opened: Opened, host: Capabilities, uri: str, settings: Mapping[str, str]) -> int | None:
    """The most virtual CPUs of a guest with these settings. Raises InputError for a machine type the node has not."""
    wanted = settings.get("machine")
    try:
        told = domain_capabilities(opened, host.arch, kvm=host.kvm, wanted=wanted)
    except Exception as error:
        if wanted is None or code_of(error) != ErrorCode.INVALID_ARG:
            raise
        raise _unknown(opened, host.arch, uri, wanted, message_of(error)) from error
    limit = None if told is None else told.find("vcpu")
    if limit is None:
        return None
    most = int(limit.get("max"))
    return min(most, _MOST_ON_X86) if host.arch in X86 else most


def without_pci(machine: str, cause: str) -> InputError | None:
    """The error for a machine type without the bus that Kiln's devices sit on, when that is what libvirt says."""
    if "No PCI buses" not in cause:
        return None
    return InputError(
        PATH, f"machine type '{machine}' has no PCI bus for the guest's devices", cause=cause, action="use one that has"
    )


def _unknown(opened: Opened, arch: str, uri: str, wanted: str, cause: str) -> InputError:
    """The error that names the emulator and the machine types whose names stay from version to version."""
    found: Any = parse(opened.handle.getCapabilities()).find(f"guest/arch[@name='{arch}']")
    emulator = None if found is None else found.findtext("emulator")
    usual = {one.text: one.get("canonical") for one in found.findall("machine[@canonical]")} if emulator else {}
    names = ", ".join(f"{name} ({canonical})" for name, canonical in sorted(usual.items()))
    return InputError(
        PATH,
        f"'{wanted}' is not a machine type of {emulator or 'the emulator'} on {uri}",
        cause=cause,
        action=f"use one of those it has, such as {names}" if names else "see those it has: virsh capabilities",
    )
