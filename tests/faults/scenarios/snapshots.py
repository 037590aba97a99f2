"""Snapshots: each way to take one, to go back to it, and to be rid of it."""

from __future__ import annotations

from typing import Any

from tests.faults.node import FaultyWorld
from tests.faults.scenarios.servers import STOPPED, Maker, nothing, server
from tests.faults.stack import Id, Program
from tests.faults.sweep import Scenario

RUNNING = server(disks=["kiln/cd"])
OFF = {"powerState": "stopped", "waitFor": "none"}


def taken(web: Maker, **inputs: Any) -> Maker:
    """The program ``web`` with a snapshot of its server."""

    def program(world: FaultyWorld) -> Program:
        return {**web(world), "fresh": ("Snapshot", {"server": Id("web"), **inputs})}

    return program


def goes_on(world: FaultyWorld) -> None:
    """What the guest writes after the snapshot."""
    world.write("web-root", b"regretted")


BACK = {"revert": "regretted"}

SCENARIOS = {
    "take-with-memory": Scenario(RUNNING, taken(RUNNING), kept=("web-root",)),
    "take-of-disks": Scenario(STOPPED, taken(STOPPED), kept=("web-root",)),
    "describe": Scenario(taken(RUNNING), taken(RUNNING, description="the first"), goes_on),
    "rename": Scenario(taken(RUNNING), taken(RUNNING, name="other"), goes_on),
    "delete": Scenario(taken(RUNNING), RUNNING, goes_on),
    "delete-of-disks": Scenario(taken(STOPPED), STOPPED, goes_on),
    "delete-with-its-server": Scenario(taken(RUNNING), nothing, goes_on),
    "revert-with-memory": Scenario(taken(RUNNING), taken(RUNNING, **BACK), goes_on),
    "revert-of-disks": Scenario(taken(STOPPED), taken(STOPPED, **BACK), goes_on),
    "revert-of-disks-under-running": Scenario(
        taken(server()), taken(server(), **BACK), goes_on, first=taken(STOPPED), looks=True
    ),
    "revert-and-describe": Scenario(taken(RUNNING), taken(RUNNING, description="the first", **BACK), goes_on),
    "revert-of-grown": Scenario(
        taken(server(**OFF, diskSize="4MiB", memory="128MiB")),
        taken(server(**OFF, diskSize="4MiB", memory="128MiB"), **BACK),
        goes_on,
        first=taken(STOPPED),
        looks=True,
    ),
}
