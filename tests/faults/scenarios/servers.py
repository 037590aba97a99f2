"""Servers: each way to make one, to change it while it runs or is off, and to be rid of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kiln.framework.context import Context
from kiln.resources.server.layout import SEED_TARGET

from tests.faults.node import FaultyWorld
from tests.faults.stack import Program
from tests.faults.sweep import Scenario

Maker = Callable[[FaultyWorld], Program]

HASH = "$6$salt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/"
"""A password that needs no hashing, which is slow."""
NIC = {"network": "default", "mac": "52:54:00:00:00:07"}
OTHER_NIC = {"network": "default", "mac": "52:54:00:00:00:08"}


def nothing(world: FaultyWorld) -> Program:
    return {}


def server(**inputs: Any) -> Maker:
    """A program with a server with these inputs beside the usual ones."""
    usual = {
        "name": "web",
        "image": "kiln/base",
        "diskSize": "1MiB",
        "waitFor": "firstBoot",
        "networks": [NIC],
        "memory": "64MiB",
        "firstBoot": {"password": HASH},
    }

    def program(world: FaultyWorld) -> Program:
        return {"web": ("Server", {**usual, **inputs})}

    return program


def without_image(world: FaultyWorld) -> Program:
    return {"web": ("Server", {"disks": ["kiln/data"], "networks": []})}


def is_renamed(world: FaultyWorld) -> None:
    """Somebody renames the guest while it is off, and starts it again."""
    domains, uuid = world.bare.domains, world.guest("web").domain.uuid
    domains.destroy(Context(), uuid)
    domains.rename(Context(), uuid, "theirs-now")


def loses_its_seed(world: FaultyWorld) -> None:
    """What an operation that was killed in taking the seed away leaves: it is attached no more, and still there."""
    world.bare.domains.detach_disk(Context(), world.guest("web").domain.uuid, SEED_TARGET)


FULL = server(disks=["kiln/data", "kiln/cd"], autostart=True, graphics="vnc", description="all it can")
STOPPED = server(powerState="stopped", waitFor="none")
KEPT = ("web-root", "data")

LIFE = {
    "create": Scenario(nothing, FULL),
    "create-stopped": Scenario(nothing, STOPPED),
    "create-waiting-for-an-address": Scenario(nothing, server(waitFor="address")),
    "create-without-image": Scenario(nothing, without_image),
    "replace": Scenario(FULL, server(disks=["kiln/data", "kiln/cd"], firmware="efi"), kept=("data",)),
    "delete": Scenario(FULL, nothing, kept=("data",)),
    "delete-stopped": Scenario(STOPPED, nothing, kept=("data",)),
    "delete-renamed": Scenario(server(), nothing, is_renamed, kept=("data",)),
}
"""Those that make a server or are rid of one."""

CHANGES = {
    "plug-and-unplug": Scenario(
        server(disks=["kiln/data", "kiln/cd"]),
        server(disks=["kiln/more", "kiln/cd2"], networks=[OTHER_NIC]),
        kept=KEPT,
    ),
    "change-what-is-plugged": Scenario(
        server(disks=["kiln/cd"]), server(disks=["kiln/cd2"], networks=[{**NIC, "network": "cellar"}]), kept=KEPT
    ),
    "restart": Scenario(FULL, server(memory="128MiB", vcpus=2, description="more"), kept=KEPT),
    "grow": Scenario(server(), server(diskSize="4MiB"), kept=KEPT),
    "grow-stopped": Scenario(STOPPED, server(powerState="stopped", waitFor="none", diskSize="4MiB"), kept=KEPT),
    "settings": Scenario(server(), server(autostart=True, description="told live"), kept=KEPT),
    "stop": Scenario(server(), server(powerState="stopped"), kept=KEPT),
    "start": Scenario(STOPPED, server(), kept=KEPT),
    "rename-back": Scenario(server(), server(description="ours"), is_renamed, kept=KEPT),
    "first-boot-again": Scenario(
        server(),
        server(firstBoot={"hostname": "again", "password": HASH}, onFirstBootChange="rerun", waitFor="none"),
        kept=KEPT,
    ),
    "first-boot-again-before-the-first-ended": Scenario(
        STOPPED,
        server(
            powerState="stopped",
            waitFor="none",
            firstBoot={"hostname": "again", "password": HASH},
            onFirstBootChange="rerun",
        ),
        kept=KEPT,
    ),
    "loose-seed": Scenario(
        STOPPED, server(powerState="stopped", waitFor="none", description="tidied"), loses_its_seed, kept=KEPT
    ),
}
"""Those of a server that stays."""
