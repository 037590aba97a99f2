"""What a node is, by libvirt's capabilities. Reading runs on worker threads."""

from __future__ import annotations

import contextlib
import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kiln.platforms.libvirt.codes import ErrorCode
from kiln.platforms.libvirt.connection import Opened
from kiln.platforms.libvirt.faults import tolerating
from kiln.platforms.libvirt.uris import is_local, is_session
from kiln.platforms.libvirt.xml.os import X86, machine
from kiln.platforms.libvirt.xml.text import parse
from kiln.ports.nodes import NodeFacts

_SMBIOS_UUID = Path("/sys/class/dmi/id/product_uuid")
_MACHINE_ID = Path("/etc/machine-id")


@dataclass(frozen=True)
class Capabilities:
    """What libvirt says of the host: its UUID, architecture, confinement, and whether it advertises KVM for it."""

    uuid: str
    arch: str
    confinement: tuple[str, ...]
    kvm: bool


def capabilities(opened: Opened) -> Capabilities:
    """Read the host's capabilities."""
    root = parse(opened.handle.getCapabilities())
    arch = root.findtext("host/cpu/arch") or "x86_64"
    kinds = {
        domain.get("type")
        for guest in root.findall("guest/arch")
        if guest.get("name") == arch
        for domain in guest.findall("domain")
    }
    models = (model.text or "" for model in root.findall("host/secmodel/model"))
    confinement = tuple(model for model in models if model not in {"", "none"})
    return Capabilities(root.findtext("host/uuid") or "", arch, confinement, "kvm" in kinds)


def identity(uri: str, driver: str, host: str) -> str:
    """``<driver>:<host uuid>``, with ``/session`` behind it for a session daemon, whose guests are not the system's.

    A daemon that can read no SMBIOS UUID makes one up each time it starts. On this machine that is noticed, and the
    machine id is taken, which is what libvirt itself uses with ``host_uuid_source = "machine-id"``.
    """
    if is_local(uri) and not _has_smbios_uuid(session=is_session(uri)):
        with contextlib.suppress(OSError, ValueError):  # without any id, libvirt's is all there is
            host = str(uuid.UUID(_MACHINE_ID.read_text().strip()))
    return _named(uri, driver, host)


def _named(uri: str, driver: str, host: str) -> str:
    return f"{driver}:{host}" + ("/session" if is_session(uri) else "")


def _has_smbios_uuid(*, session: bool) -> bool:
    # A system daemon is root and may read it whoever asks; a session daemon is this user.
    return os.access(_SMBIOS_UUID, os.R_OK) if session else _SMBIOS_UUID.exists()


def node_facts(uri: str, opened: Opened) -> NodeFacts:
    """Read everything about the node."""
    host = capabilities(opened)
    handle = opened.handle
    driver = str(handle.getType()).lower()
    model, memory_mib, cpus = handle.getInfo()[:3]
    emulator = domain_capabilities(opened, host.arch, kvm=host.kvm)
    return NodeFacts(
        identity=identity(uri, driver, host.uuid),
        daemon=_named(uri, driver, host.uuid),
        platform=driver,
        hostname=handle.getHostname(),
        arch=host.arch,
        cpus=cpus,
        memory=memory_mib * 1024,
        libvirt_version=dotted(handle.getLibVersion()),
        emulator_version=dotted(handle.getVersion()),
        firmwares=_firmwares(host.arch, emulator),
        confinement=host.confinement,
        info={
            "cpuModel": str(model),
            **({"emulator": emulator.findtext("path") or ""} if emulator is not None else {}),
        },
    )


def domain_capabilities(opened: Opened, arch: str, *, kvm: bool, wanted: str | None = None) -> Any:
    """The ``<domainCapabilities>`` of the machine type servers get, None where the driver has none.

    Raises:
        libvirtError: the machine type ``wanted`` is not there.
    """
    absent = (ErrorCode.INVALID_ARG, ErrorCode.CONFIG_UNSUPPORTED) if wanted is None else ()
    with tolerating(ErrorCode.NO_SUPPORT, *absent):
        kind = "kvm" if kvm else "qemu"
        return parse(opened.handle.getDomainCapabilities(None, arch, machine(arch, wanted), kind, 0))
    return None


def dotted(version: int) -> str:
    """A version of libvirt's (major times a million, minor times a thousand, release) in its usual form."""
    return f"{version // 1_000_000}.{version // 1_000 % 1_000}.{version % 1_000}"


def _firmwares(arch: str, emulator: Any) -> tuple[str, ...]:
    found = ["bios"] if arch in X86 else []
    if emulator is not None:
        found += [value.text for value in emulator.findall("os/enum[@name='firmware']/value") if value.text != "bios"]
    return tuple(found)
