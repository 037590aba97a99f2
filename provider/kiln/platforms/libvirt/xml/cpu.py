"""``<cpu>``. Source: https://libvirt.org/formatdomain.html#cpu-model-and-topology"""

from __future__ import annotations

from typing import Literal

from kiln.platforms.libvirt.xml.text import Element, add, element

AUTO = "auto"
_MODES = frozenset({"host-passthrough", "host-model", "maximum"})


def fitted(mode: str | None, accelerator: Literal["kvm", "tcg"]) -> str:
    """The mode or model that ``mode`` stands for: ``auto``, or None, is the best that the accelerator has.

    Under TCG that is ``maximum``: with QEMU 7.2 a Debian kernel boots as fast on it as on qemu64, Nehalem or EPYC (all
    within 10 %), and guests built for x86-64-v2 or v3, which qemu64 cannot run, boot too. Under KVM it is what
    virt-install takes, host-passthrough, and what the accelerator probe proves.
    """
    if mode is not None and mode != AUTO:
        return mode
    return "host-passthrough" if accelerator == "kvm" else "maximum"


def cpu(mode: str | None, accelerator: Literal["kvm", "tcg"]) -> Element:
    """The element for a mode (``auto``, ``host-passthrough``, ``host-model``, ``maximum``) or a model's name."""
    mode = fitted(mode, accelerator)
    if mode in _MODES:
        return element("cpu", mode=mode)
    made = element("cpu", mode="custom", match="exact")
    add(made, "model", mode, fallback="forbid")
    return made


def told(found: Element | None, wanted: str | None, accelerator: Literal["kvm", "tcg"]) -> str | None:
    """What a definition says, in the words it was ``wanted`` in, None if in none, as long as these still fit it."""
    if found is None:
        return None
    mode = found.get("mode") or "custom"
    actual = (found.findtext("model") or mode) if mode == "custom" else mode
    return wanted if fitted(wanted, accelerator) == actual else actual
