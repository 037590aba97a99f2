"""Networks in memory. Fits ``ports.Networks``. Tests change ``known`` to play somebody with virsh."""

from __future__ import annotations

import threading
import uuid as uuids
from collections.abc import Callable, Sequence
from dataclasses import replace

from kiln.framework.context import Context
from kiln.framework.errors import Conflict, InputError, KilnError, NotFound
from kiln.ports.definition import Definition
from kiln.ports.networks import Network, NetworkSettings, NetworkSpec

DEFAULT = Network(
    "default",
    active=True,
    bridge="virbr0",
    dhcp=True,
    uuid=str(uuids.UUID(int=1)),
    settings=NetworkSettings("nat", "virbr0", ("192.168.122.1/24",), (("192.168.122.2", "192.168.122.254"),)),
    live=NetworkSettings("nat", "virbr0", ("192.168.122.1/24",), (("192.168.122.2", "192.168.122.254"),)),
    autostart=True,
)


class MemoryNetworks:
    """Networks by name and UUID; one is there from the start. A new one takes the first free bridge."""

    def __init__(self) -> None:
        self.known = [DEFAULT]
        self.bridges: set[str] = {"virbr0"}
        self.restarts = 0
        self._kept: list[Network] = []
        self._lock = threading.RLock()

    def get(self, ctx: Context, name: str) -> Network:
        return self._found(ctx, lambda network: network.name == name, name)

    def by_uuid(self, ctx: Context, uuid: str) -> Network:
        return self._found(ctx, lambda network: network.uuid == uuid, uuid)

    def list(self, ctx: Context) -> Sequence[Network]:
        ctx.check("list the networks")
        return tuple(self.known)

    def has_bridge(self, ctx: Context, name: str) -> bool | None:
        ctx.check("look for the bridge")
        return name in self.bridges or name in {one.bridge for one in self.known if one.active}

    def has_interface(self, ctx: Context, name: str) -> bool | None:
        return name == "lo" or self.has_bridge(ctx, name)

    def define(self, ctx: Context, spec: NetworkSpec) -> Network:
        ctx.check("define the network")
        with self._lock:
            for other in self.known:
                if (other.name == spec.name) != (other.uuid == spec.uuid):
                    raise Conflict(f"could not define network '{spec.name}'", cause=f"{other.uuid} has the name")
            before = next((one for one in self.known if one.uuid == spec.uuid), None)
            bridge = self._bridge(spec, before)
            settings = replace(spec.settings, bridge=bridge)
            if before is None:
                before = Network(spec.name, active=False, bridge=bridge, dhcp=False, uuid=spec.uuid)
                self.known.append(before)
            return self._put(replace(before, settings=settings, mark=spec.mark, transient=False))

    def definition(self, ctx: Context, uuid: str, *, live: bool = False) -> Definition:
        found = self.by_uuid(ctx, uuid)
        settings = found.live if live and found.live is not None else found.settings
        kept = Network(found.name, False, None, False, found.uuid, settings, mark=found.mark)
        with self._lock:
            if kept not in self._kept:
                self._kept.append(kept)
            return Definition(str(self._kept.index(kept)))

    def restore(self, ctx: Context, definition: Definition) -> None:
        kept = self._kept[int(definition.text)]
        now = self.by_uuid(ctx, kept.uuid)
        self._put(replace(now, settings=kept.settings, mark=kept.mark, transient=False))

    def start(self, ctx: Context, uuid: str) -> None:
        network = self.by_uuid(ctx, uuid)
        if network.active:
            return
        for other in self.known:
            if other.live is not None and set(other.live.addresses) & set(network.settings.addresses):
                raise InputError("addresses", f"could not start network '{network.name}'", cause=f"{other.bridge}")
        self.restarts += 1
        self._put(replace(network, active=True, live=network.settings))

    def stop(self, ctx: Context, uuid: str) -> None:
        ctx.check("stop the network")
        for network in [one for one in self.known if one.uuid == uuid]:
            if network.transient:
                self.known.remove(network)
            else:
                self._put(replace(network, active=False, live=None))

    def change_live(self, ctx: Context, uuid: str, settings: NetworkSettings) -> None:
        network = self.by_uuid(ctx, uuid)
        if network.live is None:
            raise KilnError(f"could not change network '{network.name}'", cause="it is not active")
        changed = {name: getattr(settings, name) for name in ("ranges", "reservations", "records")}
        self._put(replace(network, live=replace(network.live, **changed)))

    def set_autostart(self, ctx: Context, uuid: str, autostart: bool) -> None:
        self._put(replace(self.by_uuid(ctx, uuid), autostart=autostart))

    def undefine(self, ctx: Context, uuid: str) -> None:
        ctx.check("undefine the network")
        for network in [one for one in self.known if one.uuid == uuid]:
            if network.active:
                self._put(replace(network, transient=True, autostart=False))
            else:
                self.known.remove(network)

    def _found(self, ctx: Context, fits: Callable[[Network], bool], called: str) -> Network:
        ctx.check("read the network")
        for network in self.known:
            if fits(network):
                return network
        raise NotFound(f"could not read network '{called}'")

    def _bridge(self, spec: NetworkSpec, before: Network | None) -> str:
        others = {one.bridge for one in self.known if one is not before}
        wanted = spec.settings.bridge or (before.bridge if before is not None else None)
        if wanted in others and spec.settings.mode != "bridge":
            raise InputError("bridge", f"could not define network '{spec.name}'", cause=f"'{wanted}' is in use")
        return wanted or next(name for name in (f"virbr{n}" for n in range(99)) if name not in others)

    def _put(self, network: Network) -> Network:
        """The network, in the place of what has its UUID."""
        settings = network.live or network.settings
        served = bool(settings.ranges or settings.reservations)
        network = replace(network, bridge=settings.bridge, dhcp=served)
        with self._lock:
            self.known[:] = [network if one.uuid == network.uuid else one for one in self.known]
        return network
