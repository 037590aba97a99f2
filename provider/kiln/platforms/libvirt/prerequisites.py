"""What a node needs to run guests, each thing checked now, with the command that mends it. See ``kiln doctor``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Literal

from kiln.framework.context import Context
from kiln.framework.errors import Cancelled, KilnError, Unreachable
from kiln.platforms.libvirt import network_checks, pool_checks
from kiln.platforms.libvirt.borrowed import borrowed_pool
from kiln.platforms.libvirt.connection import Link, Opened
from kiln.platforms.libvirt.facts import capabilities, domain_capabilities
from kiln.platforms.libvirt.uris import names_session
from kiln.ports.nodes import Accelerator, Node, Prerequisite

# virStorageVolUpload with holes, domain capabilities with firmware, keepalive in all drivers.
OLDEST_LIBVIRT = (6, 0)


def check(
    ctx: Context,
    link: Link,
    node: Node,
    accelerator: Callable[[], Accelerator],
    *,
    pool: str,
    network: str | None,
) -> Sequence[Prerequisite]:
    """Everything, in the order in which it should be mended. Raises Unreachable and Cancelled only."""
    return tuple(_all(ctx, link, node, accelerator, pool=pool, network=network))


def _all(
    ctx: Context, link: Link, node: Node, accelerator: Callable[[], Accelerator], *, pool: str, network: str | None
) -> Iterator[Prerequisite]:
    yield _libvirt(ctx, node)
    emulator = _emulator(ctx, link)
    yield emulator
    yield from pool_checks.check(ctx, node, pool)
    yield _accelerator(node, accelerator) if emulator.status != "fail" else _NOT_TRIED
    yield network_checks.check(ctx, link, node, network)
    yield pool_checks.qemu_img(ctx, node, pool, lambda: borrowed_pool(ctx, link))
    yield _firmware(ctx, node)
    yield _confinement(ctx, node)


def _libvirt(ctx: Context, node: Node) -> Prerequisite:
    facts = node.facts(ctx)
    version = tuple(int(part) for part in facts.libvirt_version.split("."))
    detail = f"libvirt {facts.libvirt_version} answers at {node.uri}"
    if names_session(node.uri) and not node.session:
        detail += ", which for root is the system's daemon (qemu:///system)"
    if version < OLDEST_LIBVIRT:
        oldest = ".".join(map(str, OLDEST_LIBVIRT))
        return Prerequisite("libvirt", "fail", detail, f"upgrade libvirt on the node to {oldest} or later")
    return Prerequisite("libvirt", "ok", detail)


def _emulator(ctx: Context, link: Link) -> Prerequisite:
    def work(opened: Opened) -> str | None:
        host = capabilities(opened)
        found = domain_capabilities(opened, host.arch, kvm=host.kvm)
        return None if found is None else found.findtext("path")

    try:
        path = link.run(ctx, "look for the emulator", work)
    except (Unreachable, Cancelled):
        raise
    except KilnError as error:
        return Prerequisite("emulator", "fail", error.cause or error.what, _INSTALL_QEMU)
    if not path:
        return Prerequisite("emulator", "fail", "libvirt knows no QEMU for this machine's architecture", _INSTALL_QEMU)
    return Prerequisite("emulator", "ok", path)


def _accelerator(node: Node, accelerator: Callable[[], Accelerator]) -> Prerequisite:
    try:
        found = accelerator()
    except (Unreachable, Cancelled):
        raise
    except KilnError as error:
        return Prerequisite("accelerator", "fail", f"{error.what}: {error.cause}", error.action or "")
    known = ""
    if found.since is not None:
        at = datetime.fromtimestamp(found.since, UTC)
        known = (
            f" (remembered from the probe of {at:%Y-%m-%d %H:%M} UTC; `kiln doctor {node.uri} --probe` tries it again)"
        )
    if found.name == "kvm":
        if found.proven:
            return Prerequisite("accelerator", "ok", f"kvm: {found.reason}{known}")
        return Prerequisite(
            "accelerator", "warn", f"kvm, not tried: {found.reason}", "start a guest to see that it runs"
        )
    mend = "turn on virtualisation in the firmware (or nested virtualisation around this machine), then `modprobe kvm`"
    if found.since is not None:
        mend += f", then `kiln doctor {node.uri} --probe`"
    return Prerequisite("accelerator", "warn", f"tcg, many times slower than kvm: {found.reason}{known}", mend)


def _firmware(ctx: Context, node: Node) -> Prerequisite:
    firmwares = node.facts(ctx).firmwares
    detail = ", ".join(firmwares) or "none"
    status: Literal["ok", "warn"] = "ok" if "efi" in firmwares else "warn"
    return Prerequisite("firmware", status, detail, "" if status == "ok" else "for EFI guests: apt-get install ovmf")


def _confinement(ctx: Context, node: Node) -> Prerequisite:
    found = node.facts(ctx).confinement
    detail = ", ".join(found) or "none"
    if {"apparmor", "selinux"} & set(found):
        return Prerequisite("confinement", "ok", detail)
    mend = "turn on AppArmor or SELinux in the node's kernel, so that a guest that breaks out of QEMU stays confined"
    return Prerequisite("confinement", "warn", f"{detail}: no AppArmor or SELinux around guests", mend)


_NOT_TRIED = Prerequisite("accelerator", "fail", "cannot be tried without an emulator", "mend the emulator first")
_INSTALL_QEMU = "install QEMU on the node: apt-get install qemu-system-x86 (or of its architecture)"
