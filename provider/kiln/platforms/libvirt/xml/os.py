"""``<os>``: machine type, firmware and direct kernel boot.

Source: https://libvirt.org/formatdomain.html#operating-system-booting
"""

from __future__ import annotations

from kiln.platforms.libvirt.xml.text import Element, add, element
from kiln.ports.domains import BootSpec, DomainSpec

X86 = frozenset({"x86_64", "i686"})


def machine(arch: str, wanted: str | None = None) -> str | None:
    """The machine type: q35 on x86, virt where that is the usual one, else the emulator's default."""
    if wanted:
        return wanted
    if arch in X86:
        return "q35"
    return "virt" if arch in {"aarch64", "armv7l", "riscv64", "loongarch64"} else None


def os(spec: DomainSpec) -> Element:
    """The element. Devices carry their own boot order; without any and without a kernel the first hard disk boots."""
    made = element("os", firmware="efi" if spec.firmware == "efi" else None)
    add(made, "type", "hvm", arch=spec.arch, machine=machine(spec.arch, spec.platform_config.get("machine")))
    if spec.firmware == "efi" and spec.arch in X86:
        # An image's boot loader need not be signed by anyone whose keys the firmware holds.
        features = add(made, "firmware")
        add(features, "feature", enabled="no", name="secure-boot")
    if spec.boot is not None:
        _direct(made, spec.boot)
    elif not any(disk.boot_order for disk in spec.disks) and not any(nic.boot_order for nic in spec.nics):
        add(made, "boot", dev="hd")
    return made


def _direct(made: Element, boot: BootSpec) -> None:
    add(made, "kernel", boot.kernel)
    if boot.initrd is not None:
        add(made, "initrd", boot.initrd)
    if boot.cmdline is not None:
        add(made, "cmdline", boot.cmdline)


def told_boot(found: Element) -> BootSpec | None:
    """The direct kernel boot that a definition's ``<os>`` says, if any."""
    kernel = found.findtext("kernel")
    if not kernel:
        return None
    return BootSpec(kernel=kernel, initrd=found.findtext("initrd") or None, cmdline=found.findtext("cmdline") or None)


def told_firmware(found: Element) -> str:
    """``efi`` or ``bios``."""
    loader = found.find("loader")
    efi = found.get("firmware") == "efi" or (loader is not None and loader.get("type") == "pflash")
    return "efi" if efi else "bios"
