"""Guests that Kiln did not make: what an import tells of them, and what a change afterwards leaves as it was."""

from __future__ import annotations

from typing import Any

import pytest
from kiln.framework.model import Impact
from kiln.framework.operations import Outcome
from kiln.ports.domains import Domain, DomainDisk, DomainNic, Live
from kiln.resources.names import volume_ref

from tests.fakes.memory_domains import MemoryGuest
from tests.unit.resources.world import World, seen, start_again, steady

UUID = "7d2f3a52-93f0-4f0e-8f6c-0d0f3c8a1b2c"
MACHINE = {"platformConfig": {"machine": "pc"}}


@pytest.fixture
def ids(world: World) -> dict[str, str]:
    """The ids of disks by their names."""
    made = {name: world.create("Disk", name, size="1MiB").id for name in ("system", "data", "more")}
    return made | {"cd": world.create("Disk", "cd", source=world.iso()).id}


@pytest.fixture
def foreign(world: World, ids: dict[str, str]) -> Outcome:
    """An old PC as it is imported: with a CD on IDE and an empty drive, and no disk with a place in the boot order."""

    def disk(target: str, bus: str, name: str | None, device: str = "disk") -> DomainDisk:
        volume = volume_ref(ids[name], "") if name is not None else None
        path = world.node.volumes.get(world.context(), volume).path if volume is not None else None
        return DomainDisk(target, device, bus, path, "raw")

    disks = (
        disk("vda", "virtio", "system"),
        disk("hda", "ide", "cd", "cdrom"),
        disk("hdb", "ide", None, "cdrom"),
        disk("sda", "sata", "data"),
    )
    nics = (DomainNic("52:54:00:00:00:01", "network", "default", "e1000"),)
    domain = Domain(
        name="theirs", uuid=UUID, state="running", memory=1 << 20, vcpus=1, cpu_mode=None, firmware="bios",
        accelerator="tcg", disks=disks, nics=nics, autostart=False, boot=None, description=None, graphics="none",
        mark=None, platform_config={"machine": "pc"},
    )  # fmt: skip
    live = Live(memory=1 << 20, vcpus=1, disks=disks, nics=nics, installed=1 << 20, max_vcpus=1)
    world.node.domains.guests[UUID] = MemoryGuest(domain, live)
    return world.imported("Server", "theirs")


def attached(world: World) -> dict[str, tuple[str, str]]:
    """The disks of the guest that runs by their targets: bus, and the volume's name."""
    live = world.node.domains.guests[UUID].live
    assert live is not None
    return {disk.target: (disk.bus, (disk.path or "").rpartition("/")[2]) for disk in live.disks}


def changed(world: World, made: Outcome, impact: Impact, **inputs: Any) -> Outcome:
    """An update with that impact, after which no refresh and no preview shows anything."""
    assert world.diff("Server", made, **inputs).impact is impact
    starts = world.node.domains.guests[UUID].starts
    made = world.update("Server", made, **inputs)
    assert world.node.domains.guests[UUID].starts == starts + (impact is Impact.RESTART)
    assert steady(world, made)
    return made


def test_disks_without_a_place_in_the_boot_order_are_told_as_they_are_defined(
    world: World, foreign: Outcome, ids: dict[str, str]
) -> None:
    told = [ids["system"], ids["data"], ids["cd"]]
    assert (foreign.inputs or {})["disks"] == told
    assert world.diff("Server", foreign, disks=told).empty


def test_a_disk_that_comes_leaves_the_others_on_their_buses_and_the_guest_running(
    world: World, foreign: Outcome, ids: dict[str, str]
) -> None:
    changed(world, foreign, Impact.LIVE, disks=[ids["system"], ids["data"], ids["more"], ids["cd"]])
    had = {"vda": ("virtio", "system"), "hda": ("ide", "cd"), "hdb": ("ide", ""), "sda": ("sata", "data")}
    assert attached(world) == {**had, "vdb": ("virtio", "more")}


def test_a_restart_leaves_the_disks_on_their_buses(world: World, foreign: Outcome) -> None:
    changed(world, foreign, Impact.RESTART, memory="2GiB")
    assert attached(world) == {"vda": ("virtio", "system"), "hda": ("ide", "cd"), "sda": ("sata", "data")}


def test_a_machine_without_ide_gets_the_cd_on_scsi(world: World, foreign: Outcome) -> None:
    changed(world, foreign, Impact.RESTART, platformConfig={"machine": "q35"})
    assert attached(world) == {"vda": ("virtio", "system"), "sdb": ("scsi", "cd"), "sda": ("sata", "data")}


@pytest.mark.parametrize(("gone", "target"), [("cd", "hda"), ("data", "sda")])
def test_a_disk_that_a_running_guest_cannot_let_go_of_takes_a_restart_and_the_preview_says_so(
    world: World, foreign: Outcome, ids: dict[str, str], gone: str, target: str
) -> None:
    kept = [ids[name] for name in ("system", "data", "cd") if name != gone]
    told = str(world.diff("Server", foreign, disks=kept).changes[0])
    assert f"restart: a running guest does not let go of {target}, graceful shutdown" in told
    changed(world, foreign, Impact.RESTART, disks=kept)
    assert target not in attached(world)


def test_what_a_running_guest_cannot_let_go_of_waits_where_it_is_not_to_be_restarted(
    world: World, foreign: Outcome, ids: dict[str, str]
) -> None:
    made = world.update("Server", foreign, restartPolicy="deferred")
    made = changed(world, made, Impact.DEFERRED, disks=[ids["system"], ids["data"]])
    assert made.state["pendingRestart"] == ["disks"]
    assert attached(world)["hda"] == ("ide", "cd")
    start_again(world, made)
    assert "hda" not in attached(world)
    assert "pendingRestart" not in seen(world, made).state
