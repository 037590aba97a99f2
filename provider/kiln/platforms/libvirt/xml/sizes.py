"""Memory and virtual CPUs of a guest, and what it can grow to while it runs.

Source: https://libvirt.org/formatdomain.html#memory-allocation, #cpu-allocation and #memory-devices
"""

from __future__ import annotations

from kiln.platforms.libvirt.xml.text import Element, add, element, findall
from kiln.ports.domains import Sizes

MEMORY_SLOTS = 16
"""Memory modules that a guest which can grow takes until it starts again."""
STATS_SECONDS = 5

_KIB = {"b": 1 / 1024, "bytes": 1 / 1024, "KiB": 1, "k": 1, "MiB": 1024, "M": 1024, "GiB": 1024**2, "G": 1024**2}


def sizes(root: Element, wanted: Sizes) -> None:
    """Add memory and virtual CPUs. A guest whose memory is at its most has no room that QEMU would take."""
    if _grows(wanted):
        add(root, "maxMemory", str(wanted.max_memory), slots=str(MEMORY_SLOTS), unit="KiB")
    add(root, "memory", str(wanted.memory), unit="KiB")
    add(root, "currentMemory", str(wanted.memory), unit="KiB")
    current = None if wanted.max_vcpus is None else str(wanted.vcpus)
    add(root, "vcpu", str(wanted.max_vcpus or wanted.vcpus), placement="static", current=current)


def numa(cpu: Element, wanted: Sizes) -> None:
    """Add the NUMA cell, with all there is, that libvirt asks for of a guest whose memory can grow."""
    if _grows(wanted):
        last = (wanted.max_vcpus or wanted.vcpus) - 1
        add(add(cpu, "numa"), "cell", id="0", cpus=f"0-{last}", memory=str(wanted.memory), unit="KiB")


def balloon(devices: Element, wanted: Sizes) -> None:
    """Add the memory balloon, which tells what the guest can spare where it may be asked for it."""
    made = add(devices, "memballoon", model="virtio")
    if wanted.max_memory is not None:
        add(made, "stats", period=str(STATS_SECONDS))


def module(size: int) -> Element:
    """A memory module of ``size`` KiB."""
    made = element("memory", model="dimm")
    target = add(made, "target")
    add(target, "size", str(size), unit="KiB")
    add(target, "node", "0")
    return made


def told_memory(root: Element, path: str) -> int:
    """KiB of memory in a definition's element."""
    found = root.find(path)
    return 0 if found is None else _kib(found, found.text)


def told_cells(root: Element) -> int:
    """KiB of memory in the NUMA cells of a definition, which libvirt takes for all the memory where there are any."""
    return sum(_kib(cell, cell.get("memory")) for cell in findall(root, "cpu/numa/cell"))


def told_installed(root: Element) -> int:
    """The memory that is plugged into a running guest, whatever its balloon has given back; what it owns where it has a
    virtio-mem device, which holds more than it was given."""
    devices = {device.get("model") for device in findall(root, "devices/memory")}
    return told_memory(root, "currentMemory" if "virtio-mem" in devices else "memory")


def told_max_memory(root: Element) -> int | None:
    """What the memory of a guest can grow to."""
    return told_memory(root, "maxMemory") or None


def told_vcpus(root: Element) -> tuple[int, int]:
    """The virtual CPUs that a guest has, and those that it can have."""
    found, most = root.find("vcpu"), int(root.findtext("vcpu") or 1)
    return (most if found is None else int(found.get("current", most))), most


def free_memory_slots(root: Element) -> int:
    """How many more memory modules a guest takes."""
    found = root.find("maxMemory")
    return 0 if found is None else int(found.get("slots") or 0) - len(findall(root, "devices/memory"))


def _kib(found: Element, size: str | None) -> int:
    return int(int(size or 0) * _KIB[found.get("unit") or "KiB"])


def _grows(wanted: Sizes) -> bool:
    return wanted.max_memory is not None and wanted.max_memory > wanted.memory
