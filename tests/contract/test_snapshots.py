"""The port Snapshots on each driver: what is in a snapshot comes back, with the guest, and nothing else does."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from typing import Any

import libvirt
import pytest
from kiln.framework.context import Context
from kiln.framework.errors import Conflict, KilnError, NotFound, Refused
from kiln.ports.domains import DiskSpec, DomainSpec
from kiln.ports.marks import Mark
from kiln.ports.nodes import Node
from kiln.ports.snapshots import Snapshot
from kiln.ports.volumes import Chunk, VolumeRef

from tests.contract.conftest import DRIVERS, SYSTEM
from tests.contract.guests import spec
from tests.fakes.memory import MemoryNode

SIZE = 1 << 20
DONE = Mark("op-2", "done", urn="urn", role="snapshot", info={"name": "first"})
CREATING = replace(DONE, phase="creating")

real = pytest.mark.parametrize("node", [DRIVERS[2]], indirect=True)


@pytest.fixture(autouse=True)
def clean(pool: str, no_guest_is_left: None) -> None:
    """Every test here makes guests, and they go before their disks do."""


@pytest.fixture
def guest(node: Node, ctx: Context, pool: str, name: str) -> DomainSpec:
    """A guest that is off, with two disks and a CD."""
    made = [node.volumes.create(ctx, VolumeRef(pool, one), format="qcow2", virtual_size=SIZE) for one in ("a", "b")]
    cd = node.volumes.create(ctx, VolumeRef(pool, "cd"), format="raw", virtual_size=SIZE)
    disks = [DiskSpec((volume,), f"vd{'ab'[i]}") for i, volume in enumerate(made)]
    wanted = spec(name, disks=(*disks, DiskSpec((cd,), "sda", device="cdrom", bus="scsi")))
    node.domains.define(ctx, wanted)
    return wanted


def path(guest: DomainSpec, target: str) -> str:
    return next(disk.chain[0].path for disk in guest.disks if disk.target == target)


def write(node: Node, ctx: Context, guest: DomainSpec, target: str, byte: int) -> None:
    """What a guest writes to the start of a disk, written while it is off."""
    if isinstance(node, MemoryNode):
        ref = node.volumes.by_path(ctx, path(guest, target)).ref
        node.volumes.upload(ctx, ref, iter([Chunk(bytes([byte]) * 512)]))
    else:
        qemu_io(f"write -P {byte} 0 512", path(guest, target))


def holds(node: Node, ctx: Context, guest: DomainSpec, target: str, byte: int) -> bool:
    """Whether a guest would read that from the start of a disk."""
    if isinstance(node, MemoryNode):
        ref = node.volumes.by_path(ctx, path(guest, target)).ref
        return node.volumes.download(ctx, ref, 0, 512) == bytes([byte]) * 512
    told = qemu_io(f"read -P {byte} 0 512", path(guest, target))
    assert "read 512/512" in told, told
    return "verification failed" not in told


def qemu_io(command: str, file: str) -> str:
    shared = ["-U", "-r"] if command.startswith("read") else []
    run = ["qemu-io", *shared, "-f", "qcow2", "-c", command, file]
    told = subprocess.run(run, capture_output=True, text=True, check=False)
    return told.stdout + told.stderr


def take(node: Node, ctx: Context, guest: DomainSpec, name: str = "first", **changes: Any) -> Snapshot:
    asked: dict[str, Any] = {"memory": False, "description": "one\ntwo <&>", "mark": replace(DONE, info={"name": name})}
    return node.snapshots.create(ctx, guest.uuid, name, **{**asked, **changes})


def test_a_snapshot_of_a_guest_that_is_off_is_told_as_it_was_taken(node: Node, ctx: Context, guest: DomainSpec) -> None:
    taken = take(node, ctx, guest, mark=CREATING)
    assert taken == node.snapshots.get(ctx, guest.uuid, "first")
    assert node.snapshots.list(ctx, guest.uuid) == [taken]
    assert (taken.guest, taken.name, taken.state, taken.internal) == (guest.uuid, "first", "stopped", True)
    assert (taken.description, taken.mark) == ("one\ntwo <&>", CREATING)
    assert taken.disks == {"vda": path(guest, "vda"), "vdb": path(guest, "vdb")}
    assert taken.media == {"sda": path(guest, "sda")}
    assert node.domains.get(ctx, guest.uuid).mark == guest.mark


def test_what_disks_held_comes_back_and_the_definition_too(node: Node, ctx: Context, guest: DomainSpec) -> None:
    for target in ("vda", "vdb"):
        write(node, ctx, guest, target, 1)
    take(node, ctx, guest)
    for target in ("vda", "vdb"):
        write(node, ctx, guest, target, 2)
    node.domains.define(ctx, replace(guest, memory=guest.memory * 2, disks=guest.disks[:1]))
    node.snapshots.revert(ctx, guest.uuid, "first")
    assert all(holds(node, ctx, guest, target, 1) for target in ("vda", "vdb"))
    back = node.domains.get(ctx, guest.uuid)
    assert (back.state, back.memory, len(back.disks)) == ("stopped", guest.memory, 3)
    write(node, ctx, guest, "vda", 3)
    node.snapshots.revert(ctx, guest.uuid, "first")
    assert holds(node, ctx, guest, "vda", 1)


def test_a_guest_runs_on_from_a_snapshot_with_memory(node: Node, ctx: Context, guest: DomainSpec) -> None:
    write(node, ctx, guest, "vda", 1)
    node.domains.start(ctx, guest.uuid)
    taken = take(node, ctx, guest, memory=True)
    assert (taken.state, list(taken.disks)) == ("running", ["vda", "vdb"])
    assert node.domains.get(ctx, guest.uuid).state == "running"
    node.domains.destroy(ctx, guest.uuid)
    write(node, ctx, guest, "vda", 2)
    defined = node.domains.definition(ctx, guest.uuid)
    node.snapshots.revert(ctx, guest.uuid, "first")
    assert node.domains.get(ctx, guest.uuid, recent=True).state == "running"
    node.domains.restore(ctx, defined)
    node.domains.destroy(ctx, guest.uuid)
    assert holds(node, ctx, guest, "vda", 1)


def test_a_cd_that_is_gone_is_in_the_way_of_memory_unless_its_drive_is_emptied(
    node: Node, ctx: Context, guest: DomainSpec, pool: str
) -> None:
    node.domains.start(ctx, guest.uuid)
    take(node, ctx, guest, memory=True)
    node.domains.destroy(ctx, guest.uuid)
    node.volumes.delete(ctx, VolumeRef(pool, "cd"))
    with pytest.raises(KilnError):
        node.snapshots.revert(ctx, guest.uuid, "first")
    assert node.domains.get(ctx, guest.uuid).state == "stopped"
    node.snapshots.revert(ctx, guest.uuid, "first", ejected=[path(guest, "sda")])
    assert node.domains.get(ctx, guest.uuid).state == "running"
    found = node.snapshots.get(ctx, guest.uuid, "first")
    assert (found.mark, found.media) == (DONE, {"sda": None})


@pytest.mark.parametrize("memory", [True, False], ids=["with_memory", "disks_alone"])
def test_a_guest_that_was_renamed_since_keeps_its_name(
    node: Node, ctx: Context, guest: DomainSpec, memory: bool
) -> None:
    if memory:
        node.domains.start(ctx, guest.uuid)
    take(node, ctx, guest, memory=memory)
    node.domains.destroy(ctx, guest.uuid)
    node.domains.rename(ctx, guest.uuid, f"{guest.name}-2")
    defined = node.domains.definition(ctx, guest.uuid)
    node.snapshots.revert(ctx, guest.uuid, "first")
    node.domains.restore(ctx, defined)
    found = node.domains.by_name(ctx, f"{guest.name}-2")
    assert (found.uuid, found.state) == (guest.uuid, "running" if memory else "stopped")
    assert [one.name for one in node.domains.list(ctx) if one.uuid == guest.uuid] == [f"{guest.name}-2"]
    with pytest.raises(NotFound):
        node.domains.by_name(ctx, guest.name)


def test_a_snapshot_brings_back_the_size_that_a_disk_had(
    node: Node, ctx: Context, guest: DomainSpec, pool: str
) -> None:
    take(node, ctx, guest)
    node.volumes.grow(ctx, VolumeRef(pool, "a"), 2 * SIZE)
    node.snapshots.revert(ctx, guest.uuid, "first")
    assert node.volumes.get(ctx, VolumeRef(pool, "a")).virtual_size == SIZE
    node.volumes.grow(ctx, VolumeRef(pool, "a"), 2 * SIZE)
    assert node.volumes.get(ctx, VolumeRef(pool, "a"), recent=True).virtual_size == 2 * SIZE


@pytest.mark.parametrize("memory", [True, False], ids=["memory_of_one_that_is_off", "disks_alone_of_one_that_runs"])
def test_a_guest_that_does_not_run_as_the_snapshot_needs_is_refused(
    node: Node, ctx: Context, guest: DomainSpec, memory: bool
) -> None:
    if not memory:
        node.domains.start(ctx, guest.uuid)
    with pytest.raises(KilnError):
        take(node, ctx, guest, memory=memory)
    assert node.snapshots.list(ctx, guest.uuid) == []


def test_a_disk_that_is_raw_is_refused(node: Node, ctx: Context, guest: DomainSpec, pool: str) -> None:
    raw = node.volumes.create(ctx, VolumeRef(pool, "raw"), format="raw", virtual_size=SIZE)
    node.domains.define(ctx, replace(guest, disks=(*guest.disks, DiskSpec((raw,), "vdc"))))
    with pytest.raises(KilnError, match="raw"):
        take(node, ctx, guest)


def test_a_name_belongs_to_one_snapshot(node: Node, ctx: Context, guest: DomainSpec) -> None:
    taken = take(node, ctx, guest)
    with pytest.raises(Conflict):
        take(node, ctx, guest, mark=CREATING)
    assert node.snapshots.list(ctx, guest.uuid) == [taken]


def test_description_and_mark_change_and_nothing_else_does(node: Node, ctx: Context, guest: DomainSpec) -> None:
    node.domains.start(ctx, guest.uuid)
    taken = take(node, ctx, guest, memory=True, mark=CREATING)
    take(node, ctx, guest, "second", memory=True)
    for text in ("other", None):
        changed = node.snapshots.describe(ctx, guest.uuid, "first", description=text, mark=DONE)
        assert changed == replace(taken, description=text, mark=DONE) == node.snapshots.get(ctx, guest.uuid, "first")
    node.domains.destroy(ctx, guest.uuid)
    node.snapshots.revert(ctx, guest.uuid, "first")
    assert node.domains.get(ctx, guest.uuid).state == "running"


def test_deleting_one_keeps_those_taken_after_it_and_deleting_it_again_is_a_success(
    node: Node, ctx: Context, guest: DomainSpec
) -> None:
    write(node, ctx, guest, "vda", 1)
    take(node, ctx, guest)
    write(node, ctx, guest, "vda", 2)
    take(node, ctx, guest, "second")
    write(node, ctx, guest, "vda", 3)
    for _ in range(2):
        node.snapshots.delete(ctx, guest.uuid, "first")
    assert [one.name for one in node.snapshots.list(ctx, guest.uuid)] == ["second"]
    assert holds(node, ctx, guest, "vda", 3)
    node.snapshots.revert(ctx, guest.uuid, "second")
    assert holds(node, ctx, guest, "vda", 2)


def test_snapshots_go_with_their_guest_and_what_is_gone_is_not_found(
    node: Node, ctx: Context, guest: DomainSpec
) -> None:
    with pytest.raises(NotFound):
        node.snapshots.get(ctx, guest.uuid, "first")
    with pytest.raises(NotFound):
        node.snapshots.revert(ctx, guest.uuid, "first")
    take(node, ctx, guest)
    node.domains.undefine(ctx, guest.uuid)
    for verb in (node.snapshots.get, node.snapshots.revert):
        with pytest.raises(NotFound):
            verb(ctx, guest.uuid, "first")
    with pytest.raises(NotFound):
        node.snapshots.list(ctx, guest.uuid)
    node.snapshots.delete(ctx, guest.uuid, "first")


def test_nothing_of_a_deleted_snapshot_stays_in_the_disks(node: Node, ctx: Context, guest: DomainSpec) -> None:
    assert held(node, ctx, guest) == [[], []]
    take(node, ctx, guest)
    node.domains.start(ctx, guest.uuid)
    take(node, ctx, guest, "second", memory=True)
    assert held(node, ctx, guest) == [["first", "second"]] * 2
    node.snapshots.delete(ctx, guest.uuid, "first")
    assert held(node, ctx, guest) == [["second"]] * 2
    node.domains.destroy(ctx, guest.uuid)
    assert held(node, ctx, guest) == [["second"]] * 2
    node.snapshots.delete(ctx, guest.uuid, "second")
    assert held(node, ctx, guest) == [[], []]


def test_what_the_disks_hold_stays_in_them_when_the_guest_goes(node: Node, ctx: Context, guest: DomainSpec) -> None:
    take(node, ctx, guest)
    node.domains.undefine(ctx, guest.uuid)
    assert held(node, ctx, guest) == [["first"]] * 2


@pytest.mark.parametrize("lost", ["vdb", "sda"], ids=["disk", "cd"])
def test_a_running_guest_that_lacks_a_disk_or_a_drive_of_then_is_in_the_way_of_deleting(
    node: Node, ctx: Context, guest: DomainSpec, lost: str
) -> None:
    """libvirtd 9.0 would die of it."""
    take(node, ctx, guest)
    node.domains.define(ctx, replace(guest, disks=tuple(disk for disk in guest.disks if disk.target != lost)))
    node.domains.start(ctx, guest.uuid)
    with pytest.raises(Refused, match=lost):
        node.snapshots.delete(ctx, guest.uuid, "first")
    assert node.snapshots.get(ctx, guest.uuid, "first").name == "first"
    node.domains.destroy(ctx, guest.uuid)
    node.snapshots.delete(ctx, guest.uuid, "first")
    assert held(node, ctx, guest) == [[], []]


def held(node: Node, ctx: Context, guest: DomainSpec) -> list[list[str]]:
    """The snapshots inside each hard disk."""
    refs = [disk.chain[0].ref for disk in guest.disks if disk.device == "disk"]
    return [list(node.volumes.snapshots(ctx, ref)) for ref in refs]


# --- libvirt alone ---------------------------------------------------------------------------------------------------


@real
def test_a_snapshot_of_others_has_no_mark_whatever_the_guest_has(node: Node, ctx: Context, guest: DomainSpec) -> None:
    node.domains.start(ctx, guest.uuid)
    take(node, ctx, guest, memory=True)
    node.domains.destroy(ctx, guest.uuid)
    node.snapshots.revert(ctx, guest.uuid, "first")  # and with it the definition that had the mark
    connection = libvirt.open(SYSTEM)
    try:
        domain = connection.lookupByUUIDString(guest.uuid)
        domain.snapshotCreateXML("<domainsnapshot><name>theirs</name></domainsnapshot>", 0)
        kept = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    finally:
        connection.close()
    assert node.snapshots.get(ctx, guest.uuid, "theirs").mark is None
    assert node.snapshots.get(ctx, guest.uuid, "first").mark == DONE
    assert node.domains.get(ctx, guest.uuid).mark == guest.mark
    assert "urn:kiln:domain" in kept
