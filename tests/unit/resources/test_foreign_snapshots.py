"""Snapshots that somebody took of a guest as files of their own: what the guest writes is in an overlay of its disk."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from kiln.framework import operations
from kiln.framework.context import Context, SilentLog
from kiln.framework.errors import Refused
from kiln.framework.operations import Outcome
from kiln.ports.volumes import VolumeRef

from tests.unit.resources.world import POOL, World


class Warnings(SilentLog):
    """Keeps what the user would be warned of."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warning(self, message: str) -> None:
        self.warnings.append(message)


@pytest.fixture(params=["running", "stopped"])
def snapshotted(world: World, request: pytest.FixtureRequest) -> Outcome:
    """A guest with a snapshot of both its disks, the files of which the pool knows, or does not yet."""
    image = world.create("Image", "base", source=world.raw()).id
    data = world.create("Disk", "data", size="1MiB").id
    made = world.create("Server", "it", image=image, disks=[data], powerState=request.param)
    guest = world.node.domains.guests[made.id]

    def over(disks: Any) -> Any:
        on = [replace(d, path=f"{d.path}.theirs", backing=(d.path, *d.backing)) for d in disks if d.device == "disk"]
        return (*on, *(disk for disk in disks if disk.device != "disk"))

    guest.domain = replace(guest.domain, disks=over(guest.domain.disks))
    if guest.live is not None:
        guest.live = replace(guest.live, disks=over(guest.live.disks))
    if request.param == "stopped":
        ctx, root = world.context(), world.node.volumes.get(world.context(), VolumeRef(POOL, "it-root"))
        overlay = VolumeRef(POOL, "it-root.theirs")
        world.node.volumes.create(ctx, overlay, format="qcow2", virtual_size=root.virtual_size, backing=root)
    return made


def test_a_snapshot_is_no_drift(world: World, snapshotted: Outcome) -> None:
    found = world.read("Server", snapshotted)
    assert found is not None
    assert found.state == snapshotted.state
    assert world.diff("Server", found).empty


@pytest.mark.parametrize("changes", [{"memory": "256MiB"}, {"diskSize": "8MiB"}, {"disks": None}], ids=str)
def test_a_change_that_would_go_back_in_time_is_refused_with_the_way_out(
    world: World, snapshotted: Outcome, changes: dict[str, Any]
) -> None:
    before = world.node.domains.get(world.context(), snapshotted.id)
    with pytest.raises(Refused, match="blockcommit it vda --active --pivot") as caught:
        world.update("Server", snapshotted, **changes)
    assert "it-root.theirs, a snapshot's overlay that Kiln did not make" in str(caught.value)
    assert world.node.domains.get(world.context(), snapshotted.id) == before


def test_what_needs_no_new_definition_is_changed(world: World, snapshotted: Outcome) -> None:
    world.update("Server", snapshotted, description="mine", autostart=True)
    domain = world.node.domains.get(world.context(), snapshotted.id)
    assert (domain.description, domain.autostart) == ("mine", True)


def test_a_delete_takes_the_guest_and_tells_what_stays(world: World, snapshotted: Outcome) -> None:
    log = Warnings()
    operations.delete(Context(log=log), world.resources["Server"], snapshotted.id, snapshotted.state)
    assert world.inventory()["guests"] == {}
    assert not any("root" in name and "theirs" not in name for name in world.inventory()["volumes"])
    (told,) = log.warnings
    assert told.startswith(f"{world.node.volumes.pool(Context(), POOL).path}/it-root.theirs stays on")


def test_an_overlay_of_somebody_else_still_keeps_the_root_disk(world: World, snapshotted: Outcome) -> None:
    root = world.node.volumes.get(world.context(), VolumeRef(POOL, "it-root"))
    other = VolumeRef(POOL, "other")
    world.node.volumes.create(world.context(), other, format="qcow2", virtual_size=root.virtual_size, backing=root)
    with pytest.raises(Refused, match="kiln/other is an overlay of it"):
        world.delete("Server", snapshotted)
