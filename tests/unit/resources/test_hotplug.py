"""What a running guest is given, changed and rid of: disks, CDs, interfaces, while it runs on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from kiln.framework.errors import PartialCreate
from kiln.framework.model import Impact
from kiln.framework.operations import Outcome, Partial
from kiln.ports.domains import Live
from kiln.ports.networks import Network

from tests.unit.resources.world import World, plain


@pytest.fixture
def disks(world: World) -> list[str]:
    ids = [world.create("Disk", name, size="1MiB").id for name in ("one", "two", "three")]
    return [*ids, world.create("Disk", "cd", source=world.iso()).id]


@pytest.fixture
def made(world: World, disks: list[str]) -> Outcome:
    image = world.create("Image", "base", source=world.raw()).id
    world.node.networks.known.append(Network("lab", active=True, bridge="virbr1", dhcp=True))
    return world.create("Server", "it", image=image, disks=disks[:2])


def targets(world: World, made: Outcome) -> dict[str, str]:
    """The running guest's disks: their names by device name."""
    live = running(world, made)
    assert {disk.target: disk.path for disk in live.disks} == {
        disk.target: disk.path for disk in world.node.domains.get(world.context(), made.id).disks
    }
    return {disk.target: (disk.path or "").rpartition("/")[2] for disk in live.disks}


def running(world: World, made: Outcome) -> Live:
    live = world.node.domains.get(world.context(), made.id).live
    assert live is not None
    return live


def live_update(world: World, made: Outcome, **inputs: Any) -> Outcome:
    """An update that the plan calls live, and that neither stops nor starts the guest."""
    assert world.diff("Server", made, **inputs).impact is Impact.LIVE
    starts = world.node.domains.guests[made.id].starts
    updated = world.update("Server", made, **inputs)
    assert world.node.domains.guests[made.id].starts == starts
    assert world.diff("Server", updated).empty
    found = world.read("Server", updated)
    assert found is not None
    assert found.inputs == world.inputs("Server", updated)
    assert "unfinished" not in found.state
    return updated


@pytest.mark.requirement("FX-58")
def test_a_disk_keeps_its_device_name_whatever_comes_and_goes_before_it(
    world: World, made: Outcome, disks: list[str]
) -> None:
    one, two, three, _ = disks
    assert targets(world, made) == {"vda": "it-root", "vdb": "one", "vdc": "two", "sda": "it-seed"}
    made = live_update(world, made, disks=[two])
    assert targets(world, made) == {"vda": "it-root", "vdc": "two", "sda": "it-seed"}
    made = live_update(world, made, disks=[three, two])
    assert targets(world, made) == {"vda": "it-root", "vdb": "three", "vdc": "two", "sda": "it-seed"}
    made = live_update(world, made, disks=[two, three])
    assert targets(world, made) == {"vda": "it-root", "vdb": "three", "vdc": "two", "sda": "it-seed"}
    assert plain(made)["bootOrder"] == ["vda", "vdc", "vdb"]
    made = live_update(world, made, disks=[one, two, three])
    assert targets(world, made)["vdd"] == "one"


def test_a_cd_is_inserted_changed_and_taken_while_the_guest_runs(world: World, made: Outcome, disks: list[str]) -> None:
    other = world.create("Disk", "other", source=world.iso()).id
    made = live_update(world, made, disks=[*disks[:2], disks[3]])
    assert targets(world, made)["sdb"] == "cd"
    made = live_update(world, made, disks=[*disks[:2], other])
    assert targets(world, made)["sdb"] == "other"
    made = live_update(world, made, disks=disks[:2])
    assert "sdb" not in targets(world, made)


@pytest.mark.parametrize(
    "networks",
    [
        [],
        [{"network": "lab"}],
        [{"bridge": "virbr0"}],
        [{"mac": "52:54:00:00:00:07"}],
        [{"model": "e1000"}],
        [{}, {"network": "lab"}],
    ],
    ids=str,
)
def test_interfaces_are_changed_while_the_guest_runs(
    world: World, made: Outcome, networks: list[dict[str, str]]
) -> None:
    made = live_update(world, made, networks=networks)
    defined = world.node.domains.get(world.context(), made.id).nics
    assert {(nic.mac, nic.source, nic.model) for nic in running(world, made).nics} == {
        (nic.mac, nic.source, nic.model) for nic in defined
    }
    assert len(defined) == len(networks)


def test_a_guest_without_a_free_slot_is_restarted_and_the_plan_says_so(
    world: World, made: Outcome, disks: list[str]
) -> None:
    guest = world.node.domains.guests[made.id]
    assert guest.live is not None
    guest.live = replace(guest.live, free_slots=0)
    plan = world.diff("Server", made, disks=disks[:3])
    assert "restart: no PCI slot is free, graceful shutdown" in str(plan.changes[0])
    starts = guest.starts
    made = world.update("Server", made, disks=disks[:3], shutdownTimeout=1)
    assert guest.starts == starts + 1
    assert targets(world, made)["vdd"] == "three"


def test_a_device_that_a_guest_clings_to_is_told_and_taken_by_the_next_run(
    world: World, made: Outcome, disks: list[str]
) -> None:
    world.node.domains.guests[made.id].clings = True
    with pytest.raises(Partial, match="does not let go") as caught:
        world.update("Server", made, disks=disks[:1])
    assert isinstance(caught.value.__cause__, PartialCreate)
    world.node.domains.guests[made.id].clings = False
    found = world.read("Server", made)
    assert found is not None
    assert found.state["unfinished"] == ["disks"]
    made = world.update("Server", caught.value.outcome, disks=disks[:1])
    assert targets(world, made) == {"vda": "it-root", "vdb": "one", "sda": "it-seed"}


def test_a_change_that_needs_a_restart_takes_the_devices_along(world: World, made: Outcome, disks: list[str]) -> None:
    made = world.update("Server", made, disks=disks[:1], memory="1GiB", shutdownTimeout=1)
    assert targets(world, made) == {"vda": "it-root", "vdb": "one", "sda": "it-seed"}


def test_the_cable_of_an_interface_is_pulled_while_the_guest_runs(world: World, made: Outcome) -> None:
    assert [nic.link for nic in running(world, made).nics] == ["up"]
    made = live_update(world, made, networks=[{"linkState": "down"}])
    assert [nic.link for nic in running(world, made).nics] == ["down"]
    made = live_update(world, made, networks=[{"network": "lab"}])
    assert [(nic.link, nic.network) for nic in running(world, made).nics] == [("up", "lab")]
