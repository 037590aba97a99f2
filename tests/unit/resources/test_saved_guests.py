"""A guest whose memory was saved: it is resumed, and never loses what it was doing without a word."""

from __future__ import annotations

import pytest
from kiln.framework.errors import KilnError
from kiln.framework.operations import Outcome
from kiln.ports.volumes import VolumeRef

from tests.unit.resources.world import POOL, World


@pytest.fixture
def saved(world: World) -> Outcome:
    """A guest as a refresh finds it after `virsh managedsave`."""
    image = world.create("Image", "base", source=world.raw()).id
    disk = world.create("Disk", "data", size="1MiB").id
    made = world.create("Server", "it", image=image, disks=[disk], memory="512MiB")
    world.node.domains.save(made.id)
    found = world.read("Server", made)
    assert found is not None
    assert (found.state["state"], found.state["powerState"]) == ("saved", "stopped")
    return found


def said(world: World, made: Outcome, **inputs: object) -> list[str]:
    return [str(change) for change in world.diff("Server", made, **inputs).changes]


def test_a_saved_guest_is_resumed(world: World, saved: Outcome) -> None:
    memory = world.node.domains.guests[saved.id].saved
    plan = said(world, saved, powerState="running")
    assert plan == ["powerState stopped → running, live: resumed from its saved memory"]
    updated = world.update("Server", saved, powerState="running")
    assert updated.state["state"] == "running"
    assert world.node.domains.guests[saved.id].live is memory


def test_a_change_that_needs_a_restart_resumes_the_guest_first_and_says_so(world: World, saved: Outcome) -> None:
    starts = world.node.domains.guests[saved.id].starts
    plan = said(world, saved, powerState="running", memory="256MiB")
    resumed = "restart: resumed from its saved memory, graceful shutdown, forced after 60 s"
    assert f"memory 512MiB → 256MiB, {resumed}" in plan
    updated = world.update("Server", saved, powerState="running", memory="256MiB")
    guest = world.node.domains.guests[saved.id]
    assert guest.live is not None
    assert (guest.live.memory, guest.starts) == (256 << 10, starts + 2)
    assert "pendingRestart" not in updated.state


def test_a_device_is_unplugged_from_the_guest_once_it_is_resumed(world: World, saved: Outcome) -> None:
    updated = world.update("Server", saved, powerState="running", disks=None)
    guest = world.node.domains.guests[saved.id]
    assert guest.live is not None
    assert "vdb" not in {disk.target for disk in guest.live.disks}
    assert "pendingRestart" not in updated.state


def test_a_guest_that_stays_saved_keeps_its_memory(world: World, saved: Outcome) -> None:
    plan = said(world, saved, memory="256MiB")
    assert plan == ["memory 512MiB → 256MiB, live: the guest is saved, and has it when it next boots"]
    updated = world.update("Server", saved, memory="256MiB")
    assert updated.state["state"] == "saved"
    assert world.node.domains.guests[saved.id].saved is not None


def test_a_guest_that_cannot_be_resumed_says_how_to_discard_what_it_was_doing(world: World, saved: Outcome) -> None:
    world.node.volumes.delete(world.context(), VolumeRef(POOL, "data"))
    with pytest.raises(KilnError, match="managedsave-remove it") as caught:
        world.update("Server", saved, powerState="running", disks=None)
    assert "cannot be resumed from its saved memory" in str(caught.value)
    assert world.node.domains.guests[saved.id].saved is not None


def test_a_saved_guest_is_deleted(world: World, saved: Outcome) -> None:
    world.delete("Server", saved)
    assert world.inventory()["guests"] == {}
