"""Network: one with everything, and one on a bridge of the host's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kiln.framework.context import Context
from kiln.framework.model import Impact
from kiln.ports.networks import HostRecord, Network, Reservation
from kiln.resources.network import Network as Resource

from tests.conformance.case import Case, Change, Drift
from tests.conformance.world import ALIAS, OTHER, URI, World

RESERVED = {"mac": "52:54:00:00:00:07", "address": "10.17.3.7", "hostname": "seven"}
KNOWN = {"address": "10.17.3.8", "hostnames": ["eight", "acht"]}
RANGE = {"enabled": True, "start": "10.17.3.100", "end": "10.17.3.200"}


def prepare(world: World) -> dict[str, Any]:
    return {
        "name": "it",
        "node": URI,
        "mode": "nat",
        "bridge": "lab0",
        "addresses": ["10.17.3.1/24", "fd00:17::1/64"],
        "dhcp": RANGE,
        "reservations": [RESERVED],
        "dnsHosts": [KNOWN],
        "domain": "lab.example",
        "mtu": 1400,
        "autostart": True,
    }


def bridged(world: World) -> dict[str, Any]:
    for node in (world.here, world.other):
        node.networks.bridges |= {"br0", "br1"}
    return {"name": "it", "node": URI, "mode": "bridge", "bridge": "br0", "autostart": True}


def found(world: World, id: str) -> Network:
    return world.here.networks.by_uuid(Context(), id)


def put(world: World, id: str, **settings: Any) -> None:
    """What `virsh net-update --live --config` does, or net-edit, net-destroy and net-start."""
    network = found(world, id)
    changed = replace(network.settings, **settings)
    world.here.networks._put(replace(network, settings=changed, live=changed))


def reserve(world: World, id: str) -> None:
    one = Reservation(RESERVED["mac"], RESERVED["address"], RESERVED["hostname"])
    put(world, id, reservations=(Reservation("52:54:00:00:00:09", "10.17.3.9"), one))


def reserve_live(world: World, id: str) -> None:
    network = found(world, id)
    assert network.live is not None
    world.here.networks._put(replace(network, live=replace(network.live, reservations=())))


def know(world: World, id: str) -> None:
    put(world, id, records=(HostRecord("10.17.3.8", ("eight",)),))


def narrow(world: World, id: str) -> None:
    put(world, id, ranges=(("10.17.3.100", "10.17.3.110"),))


def close(world: World, id: str) -> None:
    put(world, id, ranges=())


def move(world: World, id: str) -> None:
    put(world, id, addresses=("10.17.3.2/24", "fd00:17::1/64"))


def rename_domain(world: World, id: str) -> None:
    put(world, id, domain="theirs.example")


def widen(world: World, id: str) -> None:
    put(world, id, mtu=1500)


def edit_mode(world: World, id: str) -> None:
    put(world, id, mode="isolated")


def edit_bridge(world: World, id: str) -> None:
    put(world, id, bridge="br1")


def disable(world: World, id: str) -> None:
    world.here.networks.set_autostart(Context(), id, False)


def vanish(world: World, id: str) -> None:
    """net-destroy and net-undefine; somebody else's network then gets the name."""
    world.here.networks.stop(Context(), id)
    world.here.networks.undefine(Context(), id)


ALWAYS = (
    Change({"name": "other"}, Impact.REPLACE),
    Change({"node": ALIAS}, Impact.LIVE),
    Change({"node": OTHER}, Impact.REPLACE),
    Change({"autostart": False}, Impact.LIVE),
)
UNSEEN = {"name": "a network cannot be renamed", "node": "how the machine is reached"}

NETWORK = Case(
    name="network",
    resource=Resource,
    prepare=prepare,
    changes=(
        *ALWAYS,
        Change({"mode": "routed"}, Impact.REPLACE),
        Change({"bridge": "lab1"}, Impact.REPLACE),
        Change({"bridge": None}, None),
        Change({"addresses": ["10.17.3.1/24"]}, Impact.LIVE, ("addresses[1]",), ("addresses",)),
        Change({"addresses": ["10.17.3.0/24", "fd00:17::/64"]}, None),
        Change({"dhcp": {**RANGE, "start": "10.17.3.90"}}, Impact.LIVE, ("dhcp.start",)),
        Change({"dhcp": {**RANGE, "end": "10.17.3.190"}}, Impact.LIVE, ("dhcp.end",)),
        Change({"dhcp": {"enabled": False}}, Impact.LIVE, ("dhcp.enabled", "dhcp.start", "dhcp.end")),
        Change({"dhcp": None}, Impact.LIVE, ("dhcp",), ("dhcp.enabled",)),
        Change({"reservations": [{**RESERVED, "mac": "52:54:00:00:00:08"}]}, Impact.LIVE, ("reservations[0].mac",)),
        Change({"reservations": [{**RESERVED, "address": "10.17.3.9"}]}, Impact.LIVE, ("reservations[0].address",)),
        Change({"reservations": [{**RESERVED, "hostname": "neun"}]}, Impact.LIVE, ("reservations[0].hostname",)),
        Change({"dnsHosts": [{**KNOWN, "address": "10.17.3.9"}]}, Impact.LIVE, ("dnsHosts[0].address",)),
        Change(
            {"dnsHosts": [{**KNOWN, "hostnames": ["eight"]}]},
            Impact.LIVE,
            ("dnsHosts[0].hostnames[1]",),
            ("dnsHosts.hostnames",),
        ),
        Change({"dnsHosts": [{**KNOWN, "hostnames": ["acht", "eight"]}]}, None, about=("dnsHosts.hostnames",)),
        Change({"domain": "other.example"}, Impact.LIVE),
        Change({"mtu": None}, Impact.LIVE),
    ),
    drifts=(
        Drift("reservations", reserve, [RESERVED, {"mac": "52:54:00:00:00:09", "address": "10.17.3.9"}]),
        Drift("reservations", reserve_live, []),
        Drift("dnsHosts", know, [{**KNOWN, "hostnames": ["eight"]}]),
        Drift("dhcp", narrow, {**RANGE, "end": "10.17.3.110"}),
        Drift("dhcp", close, {"enabled": False}),
        Drift("addresses", move, ["10.17.3.2/24", "fd00:17::1/64"]),
        Drift("domain", rename_domain, "theirs.example"),
        Drift("mtu", widen, 1500),
        Drift("mode", edit_mode, "isolated"),
        Drift("bridge", edit_bridge, "br1"),
        Drift("autostart", disable, False),
    ),
    unseen=UNSEEN,
    import_id=f"it@{URI}",
    untold={},
    vanishes=vanish,
)

SERVED = "a network on a host's bridge has none"

BRIDGED = replace(
    NETWORK,
    name="network_on_a_bridge",
    prepare=bridged,
    changes=(*ALWAYS, Change({"bridge": "br1"}, Impact.REPLACE)),
    drifts=(Drift("bridge", edit_bridge, "br1"), Drift("autostart", disable, False)),
    unseen=UNSEEN | dict.fromkeys(("mode", "addresses", "dhcp", "reservations", "dnsHosts", "domain", "mtu"), SERVED),
)
