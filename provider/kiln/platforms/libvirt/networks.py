"""The networks of one libvirt node. Fits ``ports.Networks``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kiln.framework.context import Context
from kiln.platforms.libvirt.codes import ErrorCode
from kiln.platforms.libvirt.connection import Link, Opened
from kiln.platforms.libvirt.faults import tolerating
from kiln.platforms.libvirt.uris import is_local
from kiln.platforms.libvirt.xml.network import is_bridge, told_network
from kiln.ports.nodes import Network


class LibvirtNetworks:
    """Networks by name."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def get(self, ctx: Context, name: str) -> Network:
        """One network."""
        return self._link.run(
            ctx, f"read network '{name}'", lambda opened: _told(opened.handle.networkLookupByName(name))
        )

    def list(self, ctx: Context) -> Sequence[Network]:
        """All networks; none where the daemon has no network driver."""

        def work(opened: Opened) -> Sequence[Network]:
            with tolerating(ErrorCode.NO_SUPPORT):
                return [_told(network) for network in opened.handle.listAllNetworks(0)]
            return ()

        return self._link.run(ctx, "list networks", work)

    def has_bridge(self, ctx: Context, name: str) -> bool | None:
        """Whether a host bridge of that name exists; None when neither libvirt nor this machine can tell."""
        if is_local(self._link.uri):
            return (Path("/sys/class/net") / name / "bridge").is_dir()

        def work(opened: Opened) -> bool | None:
            with tolerating(ErrorCode.NO_INTERFACE):
                with tolerating(ErrorCode.NO_SUPPORT):
                    return is_bridge(opened.handle.interfaceLookupByName(name).XMLDesc(0))
                return None
            return False

        return self._link.run(ctx, f"look for bridge '{name}'", work)


def _told(network: Any) -> Network:
    return told_network(network.XMLDesc(0), active=bool(network.isActive()))
