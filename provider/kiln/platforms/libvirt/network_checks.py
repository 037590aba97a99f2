"""Checks of what guests are connected to, for ``kiln doctor``: a network, a bridge, or user-mode networking."""

from __future__ import annotations

import subprocess

from kiln.framework.context import Context
from kiln.framework.errors import Cancelled, KilnError, NotFound, Unreachable
from kiln.platforms.libvirt.connection import Link, Opened
from kiln.platforms.libvirt.facts import capabilities, domain_capabilities
from kiln.platforms.libvirt.uris import is_local
from kiln.platforms.libvirt.xml.text import Element
from kiln.ports.nodes import Node, Prerequisite

_NAME = "network"
_SLIRP_SECONDS = 10.0
_USER_MODE = "user-mode networking: guests reach out as this user's programs do, and nothing reaches in"


def check(ctx: Context, link: Link, node: Node, wanted: str | None) -> Prerequisite:
    """What a server that states no network gets: ``wanted``, else the platform's default for the node."""
    if wanted is None and node.session:
        return _user_mode(ctx, link, node)
    name = wanted or "default"
    try:
        network = node.networks.get(ctx, name)
    except NotFound:
        return _bridge(ctx, node, name)
    if not network.active:
        mend = f"virsh -c '{node.uri}' net-start {name} && virsh -c '{node.uri}' net-autostart {name}"
        return Prerequisite(_NAME, "fail", f"network '{name}' is stopped", mend)
    if not network.dhcp:
        mend = "nothing, if another DHCP server or the guests' own configuration gives addresses"
        return Prerequisite(_NAME, "warn", f"network '{name}' runs and hands out no addresses", mend)
    return Prerequisite(_NAME, "ok", f"network '{name}' runs on {network.bridge} and hands out addresses")


def _bridge(ctx: Context, node: Node, name: str) -> Prerequisite:
    match node.networks.has_bridge(ctx, name):
        case True:
            return Prerequisite(_NAME, "ok", f"host bridge '{name}'; who hands out addresses on it is not known")
        case None:
            detail = (
                f"there is no network '{name}', and whether there is a bridge of that name cannot be told from here"
            )
            return Prerequisite(_NAME, "warn", detail, f"look on the node: ip link show {name} type bridge")
    mend = f"define it (virsh -c '{node.uri}' net-define FILE), or install libvirt-daemon-config-network"
    return Prerequisite(_NAME, "fail", f"there is no network '{name}'", mend)


def _user_mode(ctx: Context, link: Link, node: Node) -> Prerequisite:
    try:
        emulator = link.run(ctx, "ask for the emulator's networking", _emulator)
        has_slirp = None if emulator is None else _has_slirp(emulator, local=is_local(node.uri))
    except (Unreachable, Cancelled):
        raise
    except KilnError as error:
        return Prerequisite(_NAME, "warn", f"{_USER_MODE}; {error.cause or error.what}", error.action or _LOOK)
    if has_slirp is None:
        return Prerequisite(_NAME, "warn", f"{_USER_MODE}; whether QEMU has it cannot be told from here", _LOOK)
    if not has_slirp:
        mend = "install a QEMU that has it, or state a network or a bridge on each server"
        return Prerequisite(_NAME, "fail", f"{_USER_MODE}, and this QEMU is built without it (slirp)", mend)
    return Prerequisite(_NAME, "ok", f"{_USER_MODE}; QEMU has it built in (slirp, passt is not needed)")


def _emulator(opened: Opened) -> Element | None:
    host = capabilities(opened)
    found: Element | None = domain_capabilities(opened, host.arch, kvm=host.kvm)
    return found


def _has_slirp(emulator: Element, *, local: bool) -> bool | None:
    """Whether QEMU has the back end that a user-mode interface gets by default; None when that cannot be told.

    libvirt tells since 9.2 (https://libvirt.org/formatdomaincaps.html, enum ``backendType``); before, QEMU itself does.
    """
    told = emulator.find("devices/interface/enum[@name='backendType']")
    if told is not None:
        return "default" in {value.text for value in told.findall("value")}
    path = emulator.findtext("path")
    if not local or not path:
        return None
    try:
        answer = subprocess.run(
            [path, "-machine", "none", "-netdev", "help"],
            capture_output=True,
            text=True,
            check=True,
            timeout=_SLIRP_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return "user" in answer.stdout.split()


_LOOK = "look on the node: `qemu-system-x86_64 -netdev help` lists `user`"
