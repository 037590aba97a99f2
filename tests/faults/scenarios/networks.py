"""Networks: each way to make one, to change it, and to be rid of it."""

from __future__ import annotations

from typing import Any

from kiln.framework.context import Context

from tests.faults.node import FaultyWorld
from tests.faults.stack import Program
from tests.faults.sweep import Scenario

ADDRESSES = ["10.17.3.0/24"]


def nothing(world: FaultyWorld) -> Program:
    return {}


def network(**inputs: Any) -> Program:
    return {"lab": ("Network", {"addresses": ADDRESSES, **inputs})}


def plain(world: FaultyWorld) -> Program:
    return network()


def reserved(world: FaultyWorld) -> Program:
    return network(reservations=[{"mac": "52:54:00:00:00:07", "address": "10.17.3.20", "hostname": "web"}])


def readdressed(world: FaultyWorld) -> Program:
    return network(addresses=["10.18.0.0/24"], autostart=False)


def isolated(world: FaultyWorld) -> Program:
    return network(mode="isolated")


def bridged(world: FaultyWorld) -> Program:
    world.bare.networks.bridges.add("br0")
    return {"lab": ("Network", {"mode": "bridge", "bridge": "br0"})}


def is_undefined(world: FaultyWorld) -> None:
    """Somebody undefines the network while it runs; the refresh that comes with it is part of the run."""
    networks = world.bare.networks
    networks.undefine(Context(), networks.get(Context(), "lab").uuid)


def is_stopped(world: FaultyWorld) -> None:
    networks = world.bare.networks
    networks.stop(Context(), networks.get(Context(), "lab").uuid)


SCENARIOS = {
    "create": Scenario(nothing, plain),
    "create-bridged": Scenario(nothing, bridged),
    "update-live": Scenario(plain, reserved),
    "update-by-restart": Scenario(plain, readdressed),
    "update-stopped": Scenario(plain, readdressed, is_stopped),
    "update-undefined": Scenario(plain, reserved, is_undefined),
    "replace": Scenario(plain, isolated),
    "delete": Scenario(plain, nothing),
}
