"""The networks of one libvirt node. Fits ``ports.Networks``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from kiln.framework.context import Context
from kiln.framework.errors import InputError, KilnError
from kiln.platforms.libvirt import network_changes
from kiln.platforms.libvirt.codes import ErrorCode, NetworkXml
from kiln.platforms.libvirt.connection import Link, Opened
from kiln.platforms.libvirt.faults import tolerating
from kiln.platforms.libvirt.uris import is_local
from kiln.platforms.libvirt.xml import metadata
from kiln.platforms.libvirt.xml.network import is_bridge, network, told_settings
from kiln.platforms.libvirt.xml.text import parse
from kiln.ports.definition import Definition
from kiln.ports.marks import Mark
from kiln.ports.networks import Network, NetworkSettings, NetworkSpec

T = TypeVar("T")

_INTERFACES = Path("/sys/class/net")


class LibvirtNetworks:
    """Networks by name and by UUID."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def get(self, ctx: Context, name: str) -> Network:
        """One network by name."""
        return self._link.run(
            ctx, f"read network '{name}'", lambda opened: _told(opened.handle.networkLookupByName(name))
        )

    def by_uuid(self, ctx: Context, uuid: str) -> Network:
        """One network."""
        return self._with(ctx, "read", uuid, _told)

    def list(self, ctx: Context) -> Sequence[Network]:
        """All networks; none where the daemon has no network driver."""

        def work(opened: Opened) -> Sequence[Network]:
            with tolerating(ErrorCode.NO_SUPPORT):
                return [told for each in opened.handle.listAllNetworks(0) if (told := _told_if_there(each)) is not None]
            return ()

        return self._link.run(ctx, "list networks", work)

    def has_bridge(self, ctx: Context, name: str) -> bool | None:
        """Whether a host bridge of that name exists; None when neither libvirt nor this machine can tell."""
        if is_local(self._link.uri):
            return (_INTERFACES / name / "bridge").is_dir()
        return self._interface(ctx, name, lambda found: is_bridge(found.XMLDesc(0)))

    def has_interface(self, ctx: Context, name: str) -> bool | None:
        """Whether the host has an interface of that name; None when neither libvirt nor this machine can tell."""
        if is_local(self._link.uri):
            return (_INTERFACES / name).exists()
        return self._interface(ctx, name, lambda _: True)

    def _interface(self, ctx: Context, name: str, fits: Callable[[Any], bool]) -> bool | None:
        """Whether there is a ``virInterface`` of that name that fits; None where the daemon has no driver for them."""

        def work(opened: Opened) -> bool | None:
            with tolerating(ErrorCode.NO_INTERFACE):
                with tolerating(ErrorCode.NO_SUPPORT):
                    return fits(opened.handle.interfaceLookupByName(name))
                return None
            return False

        return self._link.run(ctx, f"look for interface '{name}'", work)

    def define(self, ctx: Context, spec: NetworkSpec) -> Network:
        """Define, or redefine under the same UUID."""

        def work(opened: Opened) -> Network:
            given = None
            with tolerating(ErrorCode.NO_NETWORK):
                given = opened.handle.networkLookupByUUIDString(spec.uuid).XMLDesc(NetworkXml.INACTIVE)
            return _told(opened.handle.networkDefineXML(network(spec, given)))

        with self._blaming("bridge name", "bridge", "name another, or leave it out and let libvirt choose"):
            return self._link.run(ctx, f"define network '{spec.name}'", work)

    def definition(self, ctx: Context, uuid: str, *, live: bool = False) -> Definition:
        """The definition as it is."""
        flags = 0 if live else NetworkXml.INACTIVE
        return self._with(ctx, "read the definition of", uuid, lambda found: Definition(found.XMLDesc(flags)))

    def restore(self, ctx: Context, definition: Definition) -> None:
        """Define a network as it was."""
        what = "put the network's definition back"
        self._link.run(ctx, what, lambda opened: opened.handle.networkDefineXML(definition.text))

    def start(self, ctx: Context, uuid: str) -> None:
        """Make it active."""

        def work(found: Any) -> None:
            if not found.isActive():
                found.create()

        action = "use addresses that nothing else on the node has (`ip addr` shows them)"
        with self._blaming("Network is already in use by interface", "addresses", action):
            self._with(ctx, "start", uuid, work)

    def stop(self, ctx: Context, uuid: str) -> None:
        """Make it inactive."""

        def work(found: Any) -> None:
            if found.isActive():
                found.destroy()

        self._if_there(ctx, "stop", uuid, work)

    def change_live(self, ctx: Context, uuid: str, settings: NetworkSettings) -> None:
        """Change DHCP and DNS of the active network."""
        self._with(ctx, "change", uuid, lambda found: network_changes.make(found, settings))

    def set_autostart(self, ctx: Context, uuid: str, autostart: bool) -> None:
        """Start the network with the node, or not."""
        self._with(ctx, "set autostart of", uuid, lambda found: found.setAutostart(int(autostart)))

    def undefine(self, ctx: Context, uuid: str) -> None:
        """Remove the definition."""

        def work(found: Any) -> None:
            if found.isPersistent():
                found.undefine()

        self._if_there(ctx, "remove the definition of", uuid, work)

    def _with(self, ctx: Context, verb: str, uuid: str, work: Callable[[Any], T]) -> T:
        doing = _Doing(verb, uuid)
        return self._link.run(ctx, doing, lambda opened: work(doing.find(opened)))

    def _if_there(self, ctx: Context, verb: str, uuid: str, work: Callable[[Any], None]) -> None:
        doing = _Doing(verb, uuid)

        def tolerant(opened: Opened) -> None:
            with tolerating(ErrorCode.NO_NETWORK):
                work(doing.find(opened))

        self._link.run(ctx, doing, tolerant)

    @contextmanager
    def _blaming(self, words: str, path: str, action: str) -> Iterator[None]:
        """Let an error of libvirt's with these words name the input at ``path``."""
        try:
            yield
        except KilnError as error:
            if words not in (error.cause or ""):
                raise
            raise InputError(path, error.what, cause=error.cause, action=action).at(node=self._link.uri) from error


class _Doing:
    """What is being done to a network, by its name as soon as it has been found: "start network 'lab'"."""

    def __init__(self, verb: str, uuid: str) -> None:
        self._verb, self._uuid = verb, uuid
        self._name: str | None = None

    def find(self, opened: Opened) -> Any:
        """The ``virNetwork``. Runs on a worker thread. Raises libvirtError."""
        network = opened.handle.networkLookupByUUIDString(self._uuid)
        self._name = str(network.name())
        return network

    def __str__(self) -> str:
        return f"{self._verb} network {self._uuid if self._name is None else repr(self._name)}"


def _told_if_there(found: Any) -> Network | None:
    """A network of a list, None for one that went away meanwhile."""
    with tolerating(ErrorCode.NO_NETWORK):
        return _told(found)
    return None


def _told(found: Any) -> Network:
    """What libvirt tells of a network, on a worker thread."""
    active, persistent = bool(found.isActive()), bool(found.isPersistent())
    defined = parse(found.XMLDesc(NetworkXml.INACTIVE))
    live = parse(found.XMLDesc(0)) if active else None
    settings, now = told_settings(defined), None if live is None else told_settings(live)
    in_force = now or settings
    return Network(
        name=str(found.name()),
        active=active,
        bridge=in_force.bridge,
        dhcp=bool(in_force.ranges or in_force.reservations),
        uuid=str(found.UUIDString()),
        settings=settings,
        live=now,
        autostart=persistent and bool(found.autostart()),
        transient=not persistent,
        mark=_settled(metadata.told(metadata.find_network(defined)).mark, persistent),
    )


def _settled(mark: Mark | None, persistent: bool) -> Mark | None:
    """The mark of a network that is. A live definition keeps the mark that the network started with, also after its
    maker finished it; and nothing of Kiln's is ever left without a definition."""
    if mark is None or persistent:
        return mark
    return replace(mark, phase="done", holder=None)
