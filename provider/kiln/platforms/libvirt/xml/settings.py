"""What a definition says of the settings that ``platformConfig`` knows.

Each is told in the words it was asked for in, as long as the definition still fits them; of a guest that nobody asked
anything for, only what is not the usual.
"""

from __future__ import annotations

from collections.abc import Mapping

from kiln.platforms.libvirt.settings import SETTINGS
from kiln.platforms.libvirt.xml.os import machine
from kiln.platforms.libvirt.xml.text import Element, find, findall

_VERSIONED = {"q35": "pc-q35-", "pc": "pc-i440fx-", "virt": "virt-"}
"""How the names begin that libvirt puts in the place of a machine type without a version."""


def told_settings(root: Element, asked: Mapping[str, str]) -> dict[str, str]:
    """The settings of the guest with the definition ``root``; ``asked`` are those it was made with."""
    found = {
        "machine": _machine(root, asked.get("machine")),
        "clock": _clock(root, asked.get("clock")),
        "video": _video(root, asked.get("video")),
        "diskCache": _disk_cache(root, asked.get("diskCache")),
    }
    return {name: value for name, value in found.items() if value is not None}


def _machine(root: Element, asked: str | None) -> str | None:
    """A versioned type that nobody asked for is what libvirt made of the usual one, or may be."""
    found = find(root, "os/type")
    actual = None if found is None else found.get("machine")
    if found is None or actual is None or (asked is not None and _is(asked, actual)):
        return asked
    usual = machine(found.get("arch", ""))
    if usual is None or _is(usual, actual):
        return None
    return next((name for name in _VERSIONED if _is(name, actual)), actual)


def _is(name: str, actual: str) -> bool:
    return actual == name or (name in _VERSIONED and actual.startswith(_VERSIONED[name]))


def _clock(root: Element, asked: str | None) -> str | None:
    found = root.find("clock")
    return _known("clock", "utc" if found is None else found.get("offset"), asked, usual="utc")


def _video(root: Element, asked: str | None) -> str | None:
    """Without graphics nothing shows what was asked for."""
    found = find(root, "devices/video/model")
    if found is None or all(console.get("type") != "vnc" for console in findall(root, "devices/graphics")):
        return asked
    return _known("video", found.get("type"), asked, usual="vga")


def _disk_cache(root: Element, asked: str | None) -> str | None:
    modes = {driver.get("cache") for driver in findall(root, "devices/disk/driver")}
    if not modes:
        return asked
    return _known("diskCache", modes.pop() if len(modes) == 1 else None, asked, usual=None)


def _known(name: str, actual: str | None, asked: str | None, *, usual: str | None) -> str | None:
    if actual == asked:
        return asked
    return actual if actual != usual and actual in SETTINGS[name].values else None
