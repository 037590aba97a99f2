"""Networks: what Kiln asks for (``NetworkSpec``) and what the node says there is (``Network``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from kiln.framework.context import Context
from kiln.ports.definition import Definition
from kiln.ports.marks import Mark


@dataclass(frozen=True)
class Reservation:
    """An IPv4 address that is kept for one MAC address (lower case with colons)."""

    mac: str
    address: str
    hostname: str | None = None


@dataclass(frozen=True)
class HostRecord:
    """The names that the network's DNS server knows an address by."""

    address: str
    hostnames: tuple[str, ...]


@dataclass(frozen=True)
class NetworkSettings:
    """What can be set of a network.

    ``mode`` is ``nat``, ``routed``, ``isolated``, ``bridge``, or another of the node's that Kiln does not make.
    ``bridge`` is the host bridge, None to let the node choose. ``addresses`` are the node's own on the network with
    their prefix lengths (``10.1.0.1/24``). ``ranges`` are the first and last addresses that DHCP hands out; they and
    the ``reservations`` belong to the first IPv4 address. ``mtu`` is in bytes.
    """

    mode: str = "nat"
    bridge: str | None = None
    addresses: tuple[str, ...] = ()
    ranges: tuple[tuple[str, str], ...] = ()
    reservations: tuple[Reservation, ...] = ()
    records: tuple[HostRecord, ...] = ()
    domain: str | None = None
    mtu: int | None = None


@dataclass(frozen=True)
class NetworkSpec:
    """A network as Kiln wants it."""

    name: str
    uuid: str
    settings: NetworkSettings
    mark: Mark


@dataclass(frozen=True)
class Network:
    """A network as the node sees it.

    ``bridge`` is the one in use, ``dhcp`` says whether addresses are handed out. ``settings`` are those of the
    persistent definition, ``live`` those of the network while it is active. ``transient``: it was undefined while it
    was active, and is gone when it stops. ``mark`` is None for networks that Kiln did not make.
    """

    name: str
    active: bool
    bridge: str | None
    dhcp: bool
    uuid: str = ""
    settings: NetworkSettings = NetworkSettings()
    live: NetworkSettings | None = None
    autostart: bool = False
    transient: bool = False
    mark: Mark | None = None


class Networks(Protocol):
    """The networks of one node."""

    def get(self, ctx: Context, name: str) -> Network:
        """One network by name. Raises NotFound."""

    def by_uuid(self, ctx: Context, uuid: str) -> Network:
        """One network. Raises NotFound."""

    def list(self, ctx: Context) -> Sequence[Network]:
        """All networks; none where the node has no such thing."""

    def has_bridge(self, ctx: Context, name: str) -> bool | None:
        """Whether a host bridge of that name exists; None when the platform cannot tell."""

    def has_interface(self, ctx: Context, name: str) -> bool | None:
        """Whether the host has a network interface of that name, a bridge or another; None when the platform cannot
        tell."""

    def define(self, ctx: Context, spec: NetworkSpec) -> Network:
        """Define, or redefine under the same UUID: an active network stays as it is, a transient one is persistent
        again, and what ``spec`` does not speak of is kept. Raises Conflict when another UUID has the name, InputError
        at ``bridge`` when another network or interface has that."""

    def definition(self, ctx: Context, uuid: str, *, live: bool = False) -> Definition:
        """The definition as it is, with all that Kiln knows nothing of; with ``live``, that of the active network.
        Raises NotFound."""

    def restore(self, ctx: Context, definition: Definition) -> None:
        """Define a network as it was, nothing of the definition in between kept; an active one stays as it is."""

    def start(self, ctx: Context, uuid: str) -> None:
        """Make it active; active is a success. Raises InputError at ``addresses`` when the node has them elsewhere."""

    def stop(self, ctx: Context, uuid: str) -> None:
        """Make it inactive, which cuts its guests off; not active, or gone, is a success."""

    def change_live(self, ctx: Context, uuid: str, settings: NetworkSettings) -> None:
        """Give the active network these ``ranges``, ``reservations`` and ``records``. Its guests notice nothing, and
        what it has already is left alone."""

    def set_autostart(self, ctx: Context, uuid: str, autostart: bool) -> None:
        """Start the network with the node, or not."""

    def undefine(self, ctx: Context, uuid: str) -> None:
        """Remove the definition; gone is a success. An active network becomes transient."""
