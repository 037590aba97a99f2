"""``platformConfig`` on libvirt: settings that only this platform has, by name, and what they may be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kiln.framework.errors import InputError
from kiln.framework.values import UNKNOWN


@dataclass(frozen=True)
class Setting:
    """One setting: what it is for, and its values where they are few."""

    doc: str
    values: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.doc} ({', '.join(self.values)})" if self.values else self.doc


SETTINGS = {
    "machine": Setting("QEMU machine type: q35, pc, virt, or a versioned one"),
    "clock": Setting("what the guest's clock shows at start", ("utc", "localtime")),
    "video": Setting("video model when graphics are on", ("vga", "virtio", "qxl", "bochs", "cirrus")),
    "diskCache": Setting(
        "QEMU's cache mode of all disks", ("none", "writeback", "writethrough", "directsync", "unsafe")
    ),
}


def check(asked: Mapping[str, str]) -> None:
    """Refuse a setting that is not known, or cannot have its value. Raises InputError with the property's path."""
    for name, value in asked.items():
        setting = SETTINGS.get(name)
        if setting is None:
            known = "; ".join(f"{name}: {setting}" for name, setting in SETTINGS.items())
            raise InputError(f"platformConfig.{name}", f"'{name}' is no setting of libvirt", action=f"use {known}")
        if setting.values and value is not UNKNOWN and value not in setting.values:
            raise InputError(
                f"platformConfig.{name}", f"'{name}' cannot be '{value}'", action=f"use {', '.join(setting.values)}"
            )
