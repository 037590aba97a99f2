"""What every driver of ``ports.Domains`` does."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest
from kiln.framework.context import Cancellation, Context
from kiln.framework.errors import Cancelled, Conflict, KilnError, NotFound, Refused
from kiln.ports.domains import BootSpec, DiskSpec, Domain, NicSpec
from kiln.ports.marks import Mark
from kiln.ports.nodes import Node
from kiln.ports.volumes import VolumeRef

from tests.contract.conftest import DRIVERS
from tests.contract.guests import MARK, bootable, heard, spec
from tests.fakes.memory import MemoryNode

pytestmark = pytest.mark.parametrize("node", [DRIVERS[0], DRIVERS[2]], indirect=True)


@pytest.fixture(autouse=True)
def clean(no_guest_is_left: None) -> None:
    """Every test here makes guests."""


def test_a_guest_is_read_back_as_it_was_defined(node: Node, ctx: Context, pool: str, name: str) -> None:
    base = node.volumes.create(ctx, VolumeRef(pool, "base"), format="qcow2", virtual_size=1 << 20)
    top = VolumeRef(pool, "top & <co>")
    node.volumes.create(ctx, top, format="qcow2", virtual_size=1 << 20, backing=base)
    cd = node.volumes.create(ctx, VolumeRef(pool, "cd"), format="iso", virtual_size=1 << 20)
    wanted = spec(
        name,
        vcpus=2,
        disks=(
            DiskSpec(node.volumes.chain(ctx, top), "vda", boot_order=2, serial="root-1"),
            DiskSpec((cd,), "sda", device="cdrom", bus="scsi", boot_order=1),
        ),
        nics=(NicSpec("52:54:00:00:00:01", network="default"), NicSpec("52:54:00:00:00:02", bridge="virbr0")),
        boot=BootSpec("/boot/k", "/boot/i", 'console=ttyS0 a="<&>"'),
        description="first line\n\tsecond <line>",
        metadata={"key & <": ' "value"\nwith lines\n'},
    )
    defined = node.domains.define(ctx, wanted)
    assert defined == node.domains.get(ctx, wanted.uuid) == node.domains.by_name(ctx, name)
    assert defined in node.domains.list(ctx)
    told = {
        key: getattr(defined, key) for key in ("name", "uuid", "state", "memory", "vcpus", "cpu_mode", "mark", "boot")
    }
    assert told == {
        "name": name,
        "uuid": wanted.uuid,
        "state": "stopped",
        "memory": 64 << 10,
        "vcpus": 2,
        "cpu_mode": "auto",
        "mark": MARK,
        "boot": wanted.boot,
    }
    assert (defined.description, defined.metadata, defined.graphics) == (wanted.description, wanted.metadata, "none")
    assert (defined.accelerator, defined.firmware, defined.autostart) == ("tcg", "bios", False)
    root, disc = defined.disks
    assert (root.target, root.device, root.bus, root.format, root.serial, root.boot_order) == (
        "vda",
        "disk",
        "virtio",
        "qcow2",
        "root-1",
        2,
    )
    assert root.path == node.volumes.get(ctx, top).path
    assert (disc.target, disc.device, disc.bus, disc.format, disc.path) == ("sda", "cdrom", "scsi", "raw", cd.path)
    assert [(nic.mac, nic.kind, nic.source, nic.model) for nic in defined.nics] == [
        ("52:54:00:00:00:01", "network", "default", "virtio"),
        ("52:54:00:00:00:02", "bridge", "virbr0", "virtio"),
    ]


def test_a_guest_that_is_not_there_is_not_found(node: Node, ctx: Context, name: str) -> None:
    absent = str(uuid.uuid4())
    for call in (
        lambda: node.domains.get(ctx, absent),
        lambda: node.domains.by_name(ctx, name),
        lambda: node.domains.start(ctx, absent),
        lambda: node.domains.set_mark(ctx, absent, MARK),
        lambda: node.domains.addresses(ctx, absent),
    ):
        with pytest.raises(NotFound):
            call()


def test_undoing_what_is_not_there_succeeds(node: Node, ctx: Context) -> None:
    absent = str(uuid.uuid4())
    node.domains.destroy(ctx, absent)
    node.domains.undefine(ctx, absent)
    assert node.domains.shutdown(ctx, absent, 1)


def test_redefining_keeps_the_guest_and_changes_it(node: Node, ctx: Context, name: str) -> None:
    wanted = spec(name)
    node.domains.define(ctx, wanted)
    node.domains.set_autostart(ctx, wanted.uuid, True)
    changed = node.domains.define(ctx, replace(wanted, memory=96 << 10, cpu_mode="qemu64", description="new"))
    assert (changed.uuid, changed.memory, changed.cpu_mode, changed.description) == (
        wanted.uuid,
        96 << 10,
        "qemu64",
        "new",
    )
    assert changed.autostart


def test_a_running_guest_keeps_what_it_was_started_with_until_it_is_started_again(
    node: Node, ctx: Context, pool: str, name: str
) -> None:
    wanted = spec(name, disks=(bootable(node, ctx, VolumeRef(pool, "disk")),), asked={"boot": "0", "graphics": "0"})
    assert node.domains.define(ctx, wanted).asked == wanted.asked
    assert heard(ctx, node.domains.start(ctx, wanted.uuid, with_console=True))
    changed = replace(wanted, asked={"boot": "1", "graphics": "0"}, memory=96 << 10)
    node.domains.define(ctx, changed)
    node.domains.set_mark(ctx, wanted.uuid, replace(MARK, phase="done", holder=None))
    node.domains.set_description(ctx, wanted.uuid, "new")
    for told in (node.domains.get(ctx, wanted.uuid), *(one for one in node.domains.list(ctx) if one.name == name)):
        assert told.live is not None
        assert (told.asked, told.live.asked) == (changed.asked, wanted.asked)
        assert (told.memory, told.live.memory) == (96 << 10, 64 << 10)
        assert (told.mark, told.description) == (replace(MARK, phase="done", holder=None), "new")
    node.domains.destroy(ctx, wanted.uuid)
    assert node.domains.get(ctx, wanted.uuid).live is None
    node.domains.start(ctx, wanted.uuid)
    again = node.domains.get(ctx, wanted.uuid)
    assert again.live is not None
    assert (again.live.asked, again.live.memory) == (changed.asked, 96 << 10)


def test_settings_are_told_as_they_were_asked_for_and_a_cpu_that_nobody_chose_is_not(
    node: Node, ctx: Context, pool: str, name: str
) -> None:
    disk = node.volumes.create(ctx, VolumeRef(pool, "disk"), format="qcow2", virtual_size=1 << 20)
    asked = {"machine": "pc", "clock": "localtime", "diskCache": "none", "video": "qxl"}
    wanted = spec(name, cpu_mode=None, disks=(DiskSpec((disk,), "vda"),), platform_config=asked)
    node.domains.define(ctx, wanted)
    node.domains.set_mark(ctx, wanted.uuid, Mark("op-1", "done", role="server"))
    found = node.domains.get(ctx, wanted.uuid)
    assert (found.cpu_mode, found.platform_config) == (None, asked)
    changed = node.domains.define(ctx, replace(wanted, platform_config={}, cpu_mode="host-model"))
    assert (changed.cpu_mode, changed.platform_config) == ("host-model", {})


def test_a_definition_is_put_back_as_it_was_secrets_and_all(node: Node, ctx: Context, name: str) -> None:
    wanted = spec(name, description="old", graphics="vnc", graphics_password="open-me")
    first = node.domains.define(ctx, wanted)
    before = node.domains.definition(ctx, wanted.uuid)
    assert "open-me" not in repr(before)
    node.domains.define(ctx, replace(wanted, memory=96 << 10, boot=BootSpec("/boot/k"), description="new"))
    node.domains.set_autostart(ctx, wanted.uuid, True)
    restored = node.domains.restore(ctx, before)
    assert restored == node.domains.get(ctx, wanted.uuid, recent=True) == replace(first, autostart=True)
    if not isinstance(node, MemoryNode):
        assert node.domains.definition(ctx, wanted.uuid) == before


def test_a_name_or_uuid_of_another_guest_is_a_conflict(node: Node, ctx: Context, name: str) -> None:
    wanted = spec(name)
    node.domains.define(ctx, wanted)
    with pytest.raises(Conflict):
        node.domains.define(ctx, spec(name))
    with pytest.raises(Conflict):
        node.domains.define(ctx, replace(wanted, name=f"{name}-other"))
    assert node.domains.get(ctx, wanted.uuid).name == name


def test_marks_descriptions_and_autostart_are_replaced_one_by_one(node: Node, ctx: Context, name: str) -> None:
    wanted = spec(name, description="old", metadata={"kept": "yes"})
    node.domains.define(ctx, wanted)
    node.domains.set_mark(ctx, wanted.uuid, Mark("op-1", "done", role="server"))
    node.domains.set_description(ctx, wanted.uuid, "new\nlines")
    node.domains.set_autostart(ctx, wanted.uuid, True)
    found = node.domains.get(ctx, wanted.uuid)
    assert (found.mark, found.metadata) == (Mark("op-1", "done", role="server"), {"kept": "yes"})
    assert (found.description, found.autostart, found.cpu_mode) == ("new\nlines", True, "auto")
    assert found in node.domains.list(ctx)
    node.domains.set_description(ctx, wanted.uuid, None)
    node.domains.set_autostart(ctx, wanted.uuid, False)
    found = node.domains.get(ctx, wanted.uuid)
    assert (found.description, found.autostart) == (None, False)


def test_a_console_opened_with_the_start_misses_nothing(node: Node, ctx: Context, pool: str, name: str) -> None:
    wanted = spec(name, disks=(bootable(node, ctx, VolumeRef(pool, "disk")),))
    node.domains.define(ctx, wanted)
    console = node.domains.start(ctx, wanted.uuid, with_console=True)
    assert console is not None
    try:
        assert heard(ctx, console)
        assert node.domains.get(ctx, wanted.uuid).state == "running"
        cancellation = Cancellation()
        cancellation.cancel()
        with pytest.raises(Cancelled):
            console.read(Context(cancellation=cancellation), 60)
    finally:
        console.close()
        console.close()
    assert node.domains.get(ctx, wanted.uuid).state == "running"


def test_starting_twice_leaves_the_guest_alone(node: Node, ctx: Context, name: str) -> None:
    wanted = spec(name)
    node.domains.define(ctx, wanted)
    assert node.domains.start(ctx, wanted.uuid) is None
    assert node.domains.start(ctx, wanted.uuid) is None
    assert node.domains.get(ctx, wanted.uuid).state == "running"


def test_changes_reach_a_running_guest(node: Node, ctx: Context, name: str) -> None:
    wanted = spec(name)
    node.domains.define(ctx, wanted)
    node.domains.start(ctx, wanted.uuid)
    node.domains.set_mark(ctx, wanted.uuid, Mark("op-1", "done"))
    node.domains.set_description(ctx, wanted.uuid, "live")
    node.domains.destroy(ctx, wanted.uuid)
    found = node.domains.get(ctx, wanted.uuid)
    assert (found.mark, found.description, found.state) == (Mark("op-1", "done"), "live", "stopped")


def test_what_a_guest_has_while_it_runs_is_told_beside_its_definition(node: Node, ctx: Context, name: str) -> None:
    wanted = spec(name, nics=(NicSpec("52:54:00:00:00:05", network="default"),))
    assert node.domains.define(ctx, wanted).live is None
    node.domains.start(ctx, wanted.uuid)
    node.domains.define(ctx, replace(wanted, memory=wanted.memory * 2, vcpus=2, nics=()))
    for found in (node.domains.get(ctx, wanted.uuid), node.domains.get(ctx, wanted.uuid, recent=True)):
        assert (found.memory, found.vcpus, list(found.nics)) == (wanted.memory * 2, 2, [])
        assert found.live is not None
        assert (found.live.memory, found.live.vcpus) == (wanted.memory, wanted.vcpus)
        assert [(nic.mac, nic.network) for nic in found.live.nics] == [("52:54:00:00:00:05", "default")]
    node.domains.destroy(ctx, wanted.uuid)
    assert node.domains.get(ctx, wanted.uuid).live is None


def test_devices_are_plugged_into_a_running_guest_and_not_into_its_definition(
    node: Node, ctx: Context, pool: str, name: str
) -> None:
    wanted = spec(name)
    node.domains.define(ctx, wanted)
    node.domains.start(ctx, wanted.uuid)
    data = node.volumes.create(ctx, VolumeRef(pool, "data"), format="raw", virtual_size=1 << 20)
    cd = node.volumes.create(ctx, VolumeRef(pool, "cd"), format="raw", virtual_size=1 << 20)
    disk, nic = DiskSpec((data,), "vdb", boot_order=1), NicSpec("52:54:00:00:00:06", network="default")
    node.domains.plug(ctx, wanted.uuid, disk, {"diskCache": "none"})
    node.domains.plug(ctx, wanted.uuid, nic, {})
    node.domains.plug(ctx, wanted.uuid, DiskSpec((cd,), "sdb", device="cdrom", bus="scsi"), {})
    found = node.domains.get(ctx, wanted.uuid)
    assert found.live is not None
    assert {(disk.target, disk.device, disk.path) for disk in found.live.disks} == {
        ("vdb", "disk", data.path),
        ("sdb", "cdrom", cd.path),
    }
    assert [(nic.mac, nic.network) for nic in found.live.nics] == [("52:54:00:00:00:06", "default")]
    assert (list(found.disks), list(found.nics)) == ([], [])


def test_the_cable_of_an_interface_is_pulled_and_plugged_in_while_the_guest_runs(
    node: Node, ctx: Context, name: str
) -> None:
    nic = NicSpec("52:54:00:00:00:07", network="default", link="down")
    wanted = spec(name, nics=(nic,))
    node.domains.define(ctx, wanted)
    node.domains.start(ctx, wanted.uuid)
    found = node.domains.get(ctx, wanted.uuid)
    assert found.live is not None
    assert [nic.link for nic in (*found.nics, *found.live.nics)] == ["down", "down"]
    node.domains.replug(ctx, wanted.uuid, replace(nic, link="up"), {})
    found = node.domains.get(ctx, wanted.uuid)
    assert found.live is not None
    assert [nic.link for nic in (*found.nics, *found.live.nics)] == ["down", "up"]


def test_a_cd_is_changed_and_its_drive_taken_while_the_guest_runs(
    node: Node, ctx: Context, pool: str, name: str
) -> None:
    one, two = (
        node.volumes.create(ctx, VolumeRef(pool, cd), format="raw", virtual_size=1 << 20) for cd in ("one", "two")
    )
    drive = DiskSpec((one,), "sdb", device="cdrom", bus="scsi")
    wanted = spec(name, disks=(drive,))
    node.domains.define(ctx, wanted)
    node.domains.start(ctx, wanted.uuid)
    node.domains.replug(ctx, wanted.uuid, replace(drive, chain=(two,)), {})
    live = node.domains.get(ctx, wanted.uuid).live
    assert live is not None
    assert [(disk.target, disk.path) for disk in live.disks] == [("sdb", two.path)]
    node.domains.unplug(ctx, wanted.uuid, live.disks[0])
    node.domains.unplug(ctx, wanted.uuid, live.disks[0])
    found = node.domains.get(ctx, wanted.uuid)
    assert found.live is not None
    assert list(found.live.disks) == []
    assert [disk.path for disk in found.disks] == [one.path]


def test_a_guest_undefined_while_it_runs_is_transient_until_it_is_defined(node: Node, ctx: Context, name: str) -> None:
    wanted = spec(name)
    assert not node.domains.define(ctx, wanted).transient
    node.domains.start(ctx, wanted.uuid)
    node.domains.undefine(ctx, wanted.uuid)
    for found in (node.domains.get(ctx, wanted.uuid), node.domains.get(ctx, wanted.uuid, recent=True)):
        assert (found.transient, found.state, found.mark) == (True, "running", MARK)
    with pytest.raises(KilnError):
        node.domains.set_autostart(ctx, wanted.uuid, True)
    assert not node.domains.define(ctx, wanted).transient
    node.domains.set_autostart(ctx, wanted.uuid, True)
    node.domains.destroy(ctx, wanted.uuid)
    assert node.domains.get(ctx, wanted.uuid).autostart


def test_a_guest_that_is_off_is_renamed(node: Node, ctx: Context, name: str) -> None:
    wanted, other = spec(name), spec(f"{name}-other")
    for each in (wanted, other):
        node.domains.define(ctx, each)
    with pytest.raises(KilnError):
        node.domains.rename(ctx, wanted.uuid, other.name)
    node.domains.rename(ctx, wanted.uuid, f"{name}-new")
    assert node.domains.by_name(ctx, f"{name}-new").uuid == wanted.uuid
    node.domains.start(ctx, wanted.uuid)
    with pytest.raises(KilnError):
        node.domains.rename(ctx, wanted.uuid, name)


def test_a_guest_that_does_not_hear_is_forced_off(node: Node, ctx: Context, pool: str, name: str) -> None:
    wanted = spec(name, disks=(bootable(node, ctx, VolumeRef(pool, "disk")),))
    node.domains.define(ctx, wanted)
    if isinstance(node, MemoryNode):
        node.domains.guests[wanted.uuid].deaf = True
    node.domains.start(ctx, wanted.uuid)
    assert not node.domains.shutdown(ctx, wanted.uuid, 0.5)
    assert node.domains.get(ctx, wanted.uuid).state == "stopped"
    assert node.domains.shutdown(ctx, wanted.uuid, 60)


def test_undefining_a_running_guest_and_forcing_it_off_leaves_nothing(node: Node, ctx: Context, name: str) -> None:
    wanted = spec(name)
    node.domains.define(ctx, wanted)
    node.domains.start(ctx, wanted.uuid)
    node.domains.undefine(ctx, wanted.uuid)
    node.domains.destroy(ctx, wanted.uuid)
    with pytest.raises(NotFound):
        node.domains.get(ctx, wanted.uuid)


def test_what_a_guest_lacks_keeps_it_from_starting_and_is_no_absent_guest(
    node: Node, ctx: Context, pool: str, name: str
) -> None:
    wanted = spec(name, nics=(NicSpec("52:54:00:00:00:03", network="no-such-network"),))
    node.domains.define(ctx, wanted)
    with pytest.raises(KilnError) as caught:
        node.domains.start(ctx, wanted.uuid)
    assert not isinstance(caught.value, NotFound)
    disk = bootable(node, ctx, VolumeRef(pool, "disk"))
    node.domains.define(ctx, replace(wanted, nics=(), disks=(disk,)))
    node.volumes.delete(ctx, VolumeRef(pool, "disk"))
    with pytest.raises(KilnError) as caught:
        node.domains.start(ctx, wanted.uuid, with_console=True)
    assert not isinstance(caught.value, NotFound)
    assert node.domains.get(ctx, wanted.uuid).state == "stopped"


@pytest.mark.parametrize("running", [False, True], ids=["stopped", "running"])
def test_a_cd_is_taken_out_of_a_guest(node: Node, ctx: Context, pool: str, name: str, running: bool) -> None:
    cd = node.volumes.create(ctx, VolumeRef(pool, "cd"), format="iso", virtual_size=1 << 20)
    root = bootable(node, ctx, VolumeRef(pool, "disk"))
    wanted = spec(name, disks=(root, DiskSpec((cd,), "sda", device="cdrom", bus="scsi")))
    node.domains.define(ctx, wanted)
    if running:
        node.domains.start(ctx, wanted.uuid)
    node.domains.detach_disk(ctx, wanted.uuid, "sda")
    node.domains.detach_disk(ctx, wanted.uuid, "sda")
    assert [disk.target for disk in node.domains.get(ctx, wanted.uuid).disks] == ["vda"]
    node.domains.destroy(ctx, wanted.uuid)
    assert [disk.target for disk in node.domains.get(ctx, wanted.uuid).disks] == ["vda"]


def test_a_disk_in_use_grows_through_its_guest(node: Node, ctx: Context, pool: str, name: str) -> None:
    ref = VolumeRef(pool, "disk")
    wanted = spec(name, disks=(bootable(node, ctx, ref),))
    node.domains.define(ctx, wanted)
    path = node.volumes.get(ctx, ref).path
    assert not node.domains.resize_disk(ctx, path, 2 << 20)
    node.domains.start(ctx, wanted.uuid)
    assert node.volumes.get(ctx, ref, recent=True).virtual_size == 1 << 20
    assert node.domains.resize_disk(ctx, path, 2 << 20)
    assert node.domains.resize_disk(ctx, path, 2 << 20)
    assert node.volumes.get(ctx, ref, recent=True).virtual_size == 2 << 20
    assert node.volumes.get(ctx, ref).virtual_size == 2 << 20
    with pytest.raises(Refused):
        node.domains.resize_disk(ctx, path, 1 << 20)
    assert not node.domains.resize_disk(ctx, "/no/such/disk", 1 << 20)


def test_a_disk_has_its_running_guests_as_users_also_once_its_file_is_gone(
    node: Node, ctx: Context, pool: str, name: str
) -> None:
    ref = VolumeRef(pool, "disk")
    wanted = spec(name, disks=(bootable(node, ctx, ref),))
    node.domains.define(ctx, wanted)
    path = node.volumes.get(ctx, ref).path
    assert node.domains.users(ctx, path) == []
    node.domains.start(ctx, wanted.uuid)
    node.volumes.delete(ctx, ref)
    assert node.domains.users(ctx, path) == [name]
    assert node.domains.users(ctx, f"{path}-2") == []


def test_a_guest_without_agent_or_network_has_no_addresses(node: Node, ctx: Context, name: str) -> None:
    wanted = spec(name)
    node.domains.define(ctx, wanted)
    ping = '{"execute":"guest-ping"}'
    assert list(node.domains.addresses(ctx, wanted.uuid)) == []
    assert node.domains.agent_command(ctx, wanted.uuid, ping, 1) is None
    node.domains.start(ctx, wanted.uuid)
    assert list(node.domains.addresses(ctx, wanted.uuid)) == []
    assert node.domains.agent_command(ctx, wanted.uuid, ping, 1) is None


def test_the_log_holds_what_the_console_said(node: Node, ctx: Context, pool: str, name: str) -> None:
    wanted = spec(name, disks=(bootable(node, ctx, VolumeRef(pool, "disk")),))
    node.domains.define(ctx, wanted)
    assert node.domains.log_tail(ctx, wanted.uuid, 100) == b""
    console = node.domains.start(ctx, wanted.uuid, with_console=True)
    assert console is not None
    assert heard(ctx, console)
    console.close()
    node.domains.destroy(ctx, wanted.uuid)
    assert b"KILN-PROBE" in node.domains.log_tail(ctx, wanted.uuid, 100)
    assert len(node.domains.log_tail(ctx, wanted.uuid, 3)) == 3


def test_a_recent_reading_shows_every_change_made_through_the_same_node(node: Node, ctx: Context, name: str) -> None:
    made = node.domains.define(ctx, spec(name))
    assert node.domains.get(ctx, made.uuid, recent=True) == node.domains.get(ctx, made.uuid)
    node.domains.set_autostart(ctx, made.uuid, True)
    assert node.domains.get(ctx, made.uuid, recent=True).autostart
    node.domains.undefine(ctx, made.uuid)
    with pytest.raises(NotFound):
        node.domains.get(ctx, made.uuid, recent=True)


def test_the_guests_of_a_recent_list_are_as_this_node_left_them(node: Node, ctx: Context, name: str) -> None:
    def listed() -> Domain | None:
        return next((domain for domain in node.domains.list(ctx, recent=True) if domain.name == name), None)

    assert listed() is None
    made = node.domains.define(ctx, spec(name))
    for _ in range(2):
        assert listed() == made
    node.domains.start(ctx, made.uuid)
    assert (found := listed()) is not None
    assert (found.state, found.live is None) == ("running", False)
    node.domains.undefine(ctx, made.uuid)
    node.domains.destroy(ctx, made.uuid)
    assert listed() is None
