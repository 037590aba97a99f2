"""What a Server must not do with volumes that are not its own, and what it may not overlook."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from kiln.framework.context import SilentLog
from kiln.framework.errors import InputError, InputErrors, Refused
from kiln.framework.model import Impact
from kiln.framework.operations import Outcome
from kiln.ports.domains import DomainNic
from kiln.ports.volumes import VolumeRef

from tests.unit.resources.world import POOL, World, plain


def changed(world: World, made: Outcome) -> set[str]:
    """The inputs that a refresh finds to differ from what the engine kept."""
    before, now = world.inputs("Server", made), world.read("Server", made)
    assert now is not None
    assert now.inputs is not None
    return {key for key in {*before, *now.inputs} if before.get(key) != now.inputs.get(key)}


def test_an_image_is_no_disk_of_a_guest_but_an_iso_image_is_a_cd_of_it(world: World, image: str) -> None:
    with pytest.raises(InputError, match="must not write to") as caught:
        world.create("Server", "it", disks=[image])
    assert caught.value.path == "disks[0]"
    cd = world.create("Image", "cd", source=world.iso())
    made = world.create("Server", "it", disks=[cd.id], powerState="stopped")
    assert [disk.device for disk in world.node.domains.get(world.context(), made.id).disks] == ["cdrom"]


def test_the_root_disk_of_another_server_is_no_disk_of_a_guest(world: World, image: str) -> None:
    world.create("Server", "other", image=image, powerState="stopped")
    with pytest.raises(InputError, match="root of another"):
        world.create("Server", "it", disks=["kiln/other-root"])


def test_a_disk_with_the_name_of_a_root_disk_is_a_disk_like_any_other(world: World) -> None:
    disk = world.create("Disk", "it-root", size="1MiB")
    made = world.create("Server", "it", disks=[disk.id], powerState="stopped")
    assert changed(world, made) == set()
    made = world.update("Server", made, memory="1GiB")
    assert len(world.node.domains.get(world.context(), made.id).disks) == 1
    world.delete("Server", made)
    assert disk.id in world.inventory()["volumes"]


def test_a_disk_is_named_once_and_belongs_to_one_guest(world: World) -> None:
    disk = world.create("Disk", "data", size="1MiB").id
    with pytest.raises(InputErrors, match="named twice"):
        world.check("Server", "it", {"disks": [disk, disk]})
    world.create("Server", "first", disks=[disk], powerState="stopped")
    with pytest.raises(InputError, match="belongs to guest 'first'"):
        world.create("Server", "second", disks=[disk])


def test_a_disk_is_not_deleted_under_a_running_guest(world: World) -> None:
    disk = world.create("Disk", "data", size="1MiB")
    server = world.create("Server", "it", disks=[disk.id])
    with pytest.raises(Refused, match="the running guest 'it'"):
        world.delete("Disk", disk)
    world.delete("Server", server)
    world.delete("Disk", disk)


def test_disks_that_changed_places_are_drift(world: World) -> None:
    ids = [world.create("Disk", name, size="1MiB").id for name in ("a", "b")]
    made = world.create("Server", "it", disks=ids, powerState="stopped")
    assert changed(world, made) == set()
    guest = world.node.domains.guests[made.id]
    first, second = guest.domain.disks
    swapped = [replace(first, path=second.path), replace(second, path=first.path)]
    guest.domain = replace(guest.domain, disks=swapped)
    assert changed(world, made) == {"disks"}


def test_an_interface_moved_to_another_network_is_drift_though_no_network_was_stated(world: World, image: str) -> None:
    made = world.create("Server", "it", image=image, powerState="stopped")
    assert changed(world, made) == set()
    guest = world.node.domains.guests[made.id]
    (nic,) = guest.domain.nics
    guest.domain = replace(guest.domain, nics=[DomainNic(nic.mac, "network", "other", nic.model)])
    assert changed(world, made) == {"networks"}


def test_an_update_to_a_network_that_is_not_there_touches_nothing(world: World, image: str) -> None:
    made = world.create("Server", "it", image=image)
    with pytest.raises(InputError) as caught:
        world.update("Server", made, networks=[{"network": "nowhere"}])
    assert caught.value.path == "networks[0].network"
    guest = world.node.domains.get(world.context(), made.id)
    assert (guest.state, [nic.source for nic in guest.nics]) == ("running", ["default"])


@pytest.mark.parametrize(
    ("kind", "size", "inputs"), [("Disk", "size", {}), ("Server", "diskSize", {"powerState": "stopped"})]
)
def test_a_size_that_was_left_out_can_be_stated_and_grown_and_never_shrunk(
    world: World, image: str, kind: str, size: str, inputs: dict[str, Any]
) -> None:
    made = world.create(kind, "it", image=image, **inputs)
    assert world.diff(kind, made, **{size: "1MiB"}).empty
    with pytest.raises(InputError, match="cannot shrink") as caught:
        world.diff(kind, made, **{size: "512KiB"})
    assert caught.value.path == size
    assert world.diff(kind, made, **{size: "2MiB"}).impact is Impact.LIVE
    larger: dict[str, Any] = {size: "2MiB"}
    grown = plain(world.update(kind, made, **larger))
    assert grown["virtualSize" if kind == "Disk" else "rootDiskSize"] == "2MiB"


# --- a disk that was deleted under a running guest -------------------------------------------------------------------


@pytest.fixture
def warned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the user is warned of."""
    told: list[str] = []
    monkeypatch.setattr(SilentLog, "warning", lambda _self, message: told.append(message))
    return told


@pytest.mark.parametrize("power", ["running", "stopped"])
def test_a_disk_made_anew_under_a_running_guest_is_told(world: World, warned: list[str], power: str) -> None:
    disk = world.create("Disk", "data", size="1MiB")
    world.create("Server", "it", disks=[disk.id], powerState=power)
    world.node.volumes.delete(world.context(), VolumeRef(POOL, "data"))
    world.create("Disk", "data", size="1MiB")
    assert len(warned) == (1 if power == "running" else 0)
    assert all("'it'" in message and "'kiln/data' when it is next started" in message for message in warned)


def test_a_root_disk_made_anew_under_a_running_guest_is_told(world: World, warned: list[str]) -> None:
    image = world.create("Image", "base", source=world.raw()).id
    world.create("Server", "it", image=image)
    guest = next(iter(world.node.domains.guests.values()))
    guest.domain = replace(guest.domain, name="theirs")
    world.node.volumes.delete(world.context(), VolumeRef(POOL, "it-root"))
    world.node.volumes.delete(world.context(), VolumeRef(POOL, "it-seed"))
    assert warned == []
    world.create("Server", "it", image=image)
    (message,) = warned
    assert "'theirs'" in message
    assert "'kiln/it-root' when it is next started" in message
