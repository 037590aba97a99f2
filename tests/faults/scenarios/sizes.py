"""Memory and virtual CPUs of a guest that runs on."""

from __future__ import annotations

from functools import partial
from typing import Any

from tests.faults.node import FaultyWorld
from tests.faults.scenarios.servers import DEFERRED, FORBIDDEN, KEPT, server
from tests.faults.sweep import Scenario

GROWS: dict[str, Any] = {"maxMemory": "1GiB", "maxVcpus": 4}
SMALL: dict[str, Any] = {**GROWS, "memory": "128MiB", "vcpus": 1}
GREAT: dict[str, Any] = {**GROWS, "memory": "256MiB", "vcpus": 2}

small, great = partial(server, **SMALL), partial(server, **GREAT)


def has_spare(world: FaultyWorld) -> None:
    """The guest needs next to nothing of its memory."""
    world.guest("web").spare = 1 << 20


def has_none(world: FaultyWorld) -> None:
    """The guest does not say what it could spare."""


SCENARIOS = {
    "grow": Scenario(small(), great(), kept=KEPT),
    "grow-with-more": Scenario(small(), great(disks=["kiln/more"], description="more"), kept=KEPT),
    "grow-and-restart": Scenario(small(), great(cpuMode="maximum"), kept=KEPT),
    "shrink": Scenario(great(), great(memory="128MiB"), has_spare, kept=KEPT),
    "shrink-by-restart": Scenario(great(), small(), has_none, kept=KEPT),
    "take-again": Scenario(great(memory="128MiB"), great(), has_spare, kept=KEPT, first=great()),
    "beyond": Scenario(small(), server(**{**GREAT, "maxMemory": "2GiB", "memory": "1536MiB"}), kept=KEPT),
    "grow-deferred": Scenario(DEFERRED(**SMALL), DEFERRED(**GREAT, cpuMode="maximum"), kept=KEPT),
    "shrink-deferred": Scenario(DEFERRED(**GREAT), DEFERRED(**SMALL), has_none, kept=KEPT),
    "grow-forbidden": Scenario(FORBIDDEN(**SMALL), FORBIDDEN(**GREAT), kept=KEPT),
}
