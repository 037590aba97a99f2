"""Servers: each way to make one, to change it while it runs or is off, and to be rid of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
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


def has_no_room(world: FaultyWorld) -> None:
    """The bus of the running guest is full."""
    guest = world.guest("web")
    assert guest.live is not None
    guest.live = replace(guest.live, free_slots=0)


THREADS = {"xpath": "/domain", "xml": "<iothreads>4</iothreads>"}
NO_MOUSE = {"xpath": "/domain/devices/input[@type='mouse']", "remove": True}
FULL = server(
    disks=["kiln/data", "kiln/cd"], autostart=True, graphics="vnc", description="all it can", xmlOverlay=[THREADS]
)
AGAIN = {"firstBoot": {"hostname": "again", "password": HASH}, "onFirstBootChange": "rerun"}
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
        server(**AGAIN, waitFor="none"),
        kept=KEPT,
    ),
    "first-boot-again-before-the-first-ended": Scenario(
        STOPPED,
        server(powerState="stopped", waitFor="none", **AGAIN),
        kept=KEPT,
    ),
    "loose-seed": Scenario(
        STOPPED, server(powerState="stopped", waitFor="none", description="tidied"), loses_its_seed, kept=KEPT
    ),
    "restart-unseen": Scenario(server(), server(cpuMode="maximum", graphics="vnc"), kept=KEPT),
    "overlay": Scenario(server(xmlOverlay=[THREADS]), server(xmlOverlay=[NO_MOUSE]), kept=KEPT),
}
"""Those of a server that stays, and may be restarted."""

DEFERRED = partial(server, restartPolicy="deferred")
FORBIDDEN = partial(server, restartPolicy="forbidden")
GREATER: dict[str, Any] = {"memory": "128MiB", "cpuMode": "maximum", "xmlOverlay": [THREADS]}

POLICIES = {
    "deferred": Scenario(DEFERRED(), DEFERRED(**GREATER, disks=["kiln/data"], description="told live"), kept=KEPT),
    "deferred-from-now-on": Scenario(server(), DEFERRED(**GREATER), kept=KEPT),
    "deferred-and-taken-back": Scenario(DEFERRED(**GREATER), DEFERRED(), kept=KEPT, first=DEFERRED()),
    "deferred-without-room": Scenario(DEFERRED(), DEFERRED(disks=["kiln/data"]), has_no_room, kept=KEPT),
    "deferred-first-boot-again": Scenario(DEFERRED(), DEFERRED(**AGAIN), kept=KEPT),
    "deferred-renamed": Scenario(DEFERRED(), DEFERRED(**GREATER), is_renamed, kept=KEPT),
    "allowed-at-last": Scenario(DEFERRED(**GREATER), server(**GREATER), kept=KEPT, first=DEFERRED()),
    "allowed-at-last-with-more": Scenario(
        DEFERRED(memory="128MiB"), server(memory="128MiB", vcpus=2), kept=KEPT, first=DEFERRED()
    ),
    "allowed-at-last-unseen": Scenario(
        DEFERRED(xmlOverlay=[THREADS]), server(xmlOverlay=[THREADS]), kept=KEPT, first=DEFERRED()
    ),
    "allowed-at-last-first-boot": Scenario(
        DEFERRED(**AGAIN, waitFor="none"), server(**AGAIN, waitFor="none"), kept=KEPT, first=DEFERRED()
    ),
    "forbidden": Scenario(
        FORBIDDEN(disks=["kiln/data"]), FORBIDDEN(disks=["kiln/more"], description="told live"), kept=KEPT
    ),
    "forbidden-from-now-on": Scenario(DEFERRED(**GREATER), FORBIDDEN(**GREATER), kept=KEPT, first=DEFERRED()),
    "forbidden-stops": Scenario(FORBIDDEN(), FORBIDDEN(**GREATER, powerState="stopped"), kept=KEPT),
    "forbidden-stopped": Scenario(
        FORBIDDEN(powerState="stopped", waitFor="none"), FORBIDDEN(memory="128MiB", vcpus=2, waitFor="none"), kept=KEPT
    ),
}
"""Those of a server whose guest is not restarted without being asked."""
