"""What somebody changed on the node, found by a refresh, and put right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from kiln.framework.context import Context
from kiln.ports.volumes import VolumeRef

from tests.faults.node import FaultyWorld
from tests.faults.scenarios.networks import is_stopped as network_is_stopped
from tests.faults.scenarios.networks import is_undefined as network_is_undefined
from tests.faults.scenarios.networks import plain as network
from tests.faults.scenarios.servers import DEFERRED, KEPT, NO_MOUSE, OTHER_NIC, Maker, is_renamed, server
from tests.faults.scenarios.sizes import GREAT, SMALL
from tests.faults.scenarios.storage import blank, image_with_kernel, linked
from tests.faults.sweep import Scenario
from tests.unit.resources.world import POOL

FULL = server(disks=["kiln/data", "kiln/cd"], **GREAT, autostart=True, description="ours", xmlOverlay=[NO_MOUSE])
STOPPED = server(disks=["kiln/data", "kiln/cd"], **GREAT, powerState="stopped", waitFor="none")


def _uuid(world: FaultyWorld) -> str:
    return world.guest("web").domain.uuid


def _defined(world: FaultyWorld, **changes: Any) -> None:
    guest = world.guest("web")
    guest.domain = replace(guest.domain, **changes)


def _runs_with(world: FaultyWorld, **changes: Any) -> None:
    guest = world.guest("web")
    assert guest.live is not None
    guest.live = replace(guest.live, **changes)


def is_forced_off(world: FaultyWorld) -> None:
    world.bare.domains.destroy(Context(), _uuid(world))


def is_started(world: FaultyWorld) -> None:
    world.bare.domains.start(Context(), _uuid(world))


def is_undefined(world: FaultyWorld) -> None:
    world.bare.domains.undefine(Context(), _uuid(world))


def is_gone(world: FaultyWorld) -> None:
    is_forced_off(world)
    is_undefined(world)


def is_paused(world: FaultyWorld) -> None:
    world.bare.domains.play(_uuid(world), "paused")


def is_saved(world: FaultyWorld) -> None:
    world.bare.domains.save(_uuid(world))


def runs_with_less(world: FaultyWorld) -> None:
    """``virsh setmem --live`` and ``virsh setvcpus --live``."""
    _runs_with(world, memory=128 << 10, vcpus=1)


def is_defined_with_less(world: FaultyWorld) -> None:
    """``virsh setmem --config`` and ``virsh setvcpus --config``."""
    _defined(world, current_memory=128 << 10, current_vcpus=1)


def loses_devices_while_it_runs(world: FaultyWorld) -> None:
    live = world.guest("web").live
    assert live is not None
    _runs_with(world, disks=tuple(disk for disk in live.disks if "data" not in (disk.path or "")), nics=())


def loses_devices_in_its_definition(world: FaultyWorld) -> None:
    disks = world.guest("web").domain.disks
    _defined(world, disks=tuple(disk for disk in disks if "data" not in (disk.path or "")), nics=())


def loses_its_cd(world: FaultyWorld) -> None:
    """``virsh change-media --eject --live --config``."""
    guest = world.guest("web")
    assert guest.live is not None
    disks = [replace(disk, path=None) if disk.device == "cdrom" else disk for disk in guest.live.disks]
    _runs_with(world, disks=tuple(disks))
    _defined(world, disks=tuple(disks))


def is_set_otherwise(world: FaultyWorld) -> None:
    _defined(world, autostart=False, description="theirs")


def loses_its_overlay(world: FaultyWorld) -> None:
    world.guest("web").overlay = ()


def has_another_card(world: FaultyWorld) -> None:
    nics = world.guest("web").domain.nics
    _defined(world, nics=tuple(replace(nic, mac=OTHER_NIC["mac"]) for nic in nics))


def loses_its_root(world: FaultyWorld) -> None:
    is_forced_off(world)
    world.bare.volumes.delete(Context(), VolumeRef(POOL, "web-root"))


def disk_is_gone(world: FaultyWorld) -> None:
    world.bare.volumes.delete(Context(), VolumeRef(POOL, "disk"))


def image_is_gone(world: FaultyWorld) -> None:
    world.bare.volumes.delete(Context(), VolumeRef(POOL, "mine"))


def _drifts(
    program: Maker, drift: Callable[[FaultyWorld], None], kept: tuple[str, ...] = KEPT, *, first: Maker | None = None
) -> Scenario:
    return Scenario(program, program, drift, kept=kept, first=first, refreshed=True)


SERVERS = {
    "forced-off": _drifts(FULL, is_forced_off),
    "started": _drifts(STOPPED, is_started, first=FULL),
    "undefined-while-it-runs": _drifts(FULL, is_undefined),
    "gone": _drifts(FULL, is_gone, ("data",)),
    "paused": _drifts(FULL, is_paused),
    "saved": _drifts(FULL, is_saved),
    "renamed": _drifts(FULL, is_renamed),
    "less-live": _drifts(FULL, runs_with_less),
    "less-defined": _drifts(FULL, is_defined_with_less),
    "less-defined-off": _drifts(STOPPED, is_defined_with_less),
    "devices-live": _drifts(FULL, loses_devices_while_it_runs),
    "devices-defined": _drifts(FULL, loses_devices_in_its_definition),
    "devices-defined-off": _drifts(STOPPED, loses_devices_in_its_definition),
    "devices-deferred": _drifts(DEFERRED(disks=["kiln/data"], **SMALL), loses_devices_while_it_runs),
    "cd-ejected": _drifts(FULL, loses_its_cd),
    "settings": _drifts(FULL, is_set_otherwise),
    "overlay": _drifts(FULL, loses_its_overlay),
    "card": _drifts(STOPPED, has_another_card),
    "root-gone": _drifts(FULL, loses_its_root, ("data",)),
}
"""Those of a server."""

OTHERS = {
    "network-stopped": _drifts(network, network_is_stopped, ()),
    "network-undefined": _drifts(network, network_is_undefined, ()),
    "disk-gone": _drifts(blank, disk_is_gone, ()),
    "linked-disk-gone": _drifts(linked, disk_is_gone, ()),
    "image-gone": _drifts(image_with_kernel, image_is_gone, ()),
}
"""Those of what is no server."""
