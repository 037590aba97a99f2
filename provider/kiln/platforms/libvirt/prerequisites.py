"""What a node needs to run guests, each thing checked now, with the command that mends it. See ``kiln doctor``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from kiln.framework.context import Context
from kiln.framework.errors import Cancelled, KilnError, NotFound, Unreachable
from kiln.platforms.libvirt import pool_checks
from kiln.platforms.libvirt.connection import Link, Opened
from kiln.platforms.libvirt.facts import capabilities, domain_capabilities
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
    pools = pool_checks.check(ctx, node, pool)
    yield from pools
    if emulator.status != "fail":
        yield _accelerator(node, accelerator)
    yield _network(ctx, node, network)
    yield pool_checks.qemu_img(ctx, node, pool)
    yield _firmware(ctx, node)
    yield _confinement(ctx, node)


def _libvirt(ctx: Context, node: Node) -> Prerequisite:
    facts = node.facts(ctx)
    version = tuple(int(part) for part in facts.libvirt_version.split("."))
    detail = f"libvirt {facts.libvirt_version} answers at {node.uri}"
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
    if found.name == "kvm":
        return Prerequisite("accelerator", "ok", f"kvm: {found.reason}")
    mend = "turn on virtualisation in the firmware (or nested virtualisation around this machine), then `modprobe kvm`"
    return Prerequisite("accelerator", "warn", f"tcg, many times slower than kvm: {found.reason}", mend)


def _network(ctx: Context, node: Node, wanted: str | None) -> Prerequisite:
    if node.session and wanted is None:
        return Prerequisite("network", "ok", "guests of a session get user-mode networking")
    name = wanted or "default"
    try:
        network = node.networks.get(ctx, name)
    except NotFound:
        if node.networks.has_bridge(ctx, name):
            return Prerequisite("network", "ok", f"host bridge '{name}'; who hands out addresses on it is not known")
        mend = f"define it (virsh -c '{node.uri}' net-define FILE), or install libvirt-daemon-config-network"
        return Prerequisite("network", "fail", f"there is no network '{name}'", mend)
    if not network.active:
        mend = f"virsh -c '{node.uri}' net-start {name} && virsh -c '{node.uri}' net-autostart {name}"
        return Prerequisite("network", "fail", f"network '{name}' is stopped", mend)
    if not network.dhcp:
        mend = "nothing, if another DHCP server or the guests' own configuration gives addresses"
        return Prerequisite("network", "warn", f"network '{name}' runs and hands out no addresses", mend)
    return Prerequisite("network", "ok", f"network '{name}' runs on {network.bridge} and hands out addresses")


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


_INSTALL_QEMU = "install QEMU on the node: apt-get install qemu-system-x86 (or of its architecture)"
