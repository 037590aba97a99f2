"""What only a guest on libvirt can show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import libvirt
import libvirt_qemu
import pytest
from kiln.framework.context import Context, SilentLog
from kiln.framework.errors import InputError, KilnError, Refused
from kiln.platforms.libvirt import devices
from kiln.platforms.libvirt.xml.text import parse
from kiln.ports.domains import DiskSpec, NicSpec
from kiln.ports.nodes import Node
from kiln.ports.volumes import VolumeRef

from tests.contract.conftest import DRIVERS, SYSTEM
from tests.contract.guests import spec

pytestmark = pytest.mark.parametrize("node", [DRIVERS[2]], indirect=True)


@pytest.fixture(autouse=True)
def clean(no_guest_is_left: None) -> None:
    """Every test here makes guests."""


@pytest.fixture
def connection() -> Iterator[libvirt.virConnect]:
    """Somebody else on the node."""
    opened = libvirt.open(SYSTEM)
    yield opened
    opened.close()


def test_a_removed_guest_leaves_no_log(node: Node, ctx: Context, name: str) -> None:
    wanted = spec(name)
    log = node.domains.define(ctx, wanted).console_log
    assert log is not None
    node.domains.start(ctx, wanted.uuid)
    assert Path(log).exists()
    node.domains.destroy(ctx, wanted.uuid)
    node.domains.undefine(ctx, wanted.uuid)
    assert not Path(log).exists()


def test_the_log_of_a_guest_that_somebody_undefined_is_told_and_can_be_deleted(
    node: Node, ctx: Context, name: str, connection: libvirt.virConnect
) -> None:
    wanted = spec(name)
    node.domains.define(ctx, wanted)
    node.domains.start(ctx, wanted.uuid)
    (log,) = [each for each in node.domains.logs(ctx) if each.uuid == wanted.uuid]
    assert log.name == name
    with pytest.raises(Refused, match="a guest writes to"):
        node.domains.delete_log(ctx, log)
    domain = connection.lookupByName(name)
    domain.destroy()
    domain.undefine()
    assert log.path in [each.path for each in node.domains.logs(ctx)]
    node.domains.delete_log(ctx, log)
    assert not Path(log.path).exists()


def test_a_graphical_console_listens_on_the_loopback_alone(node: Node, ctx: Context, name: str) -> None:
    wanted = spec(name, graphics="vnc", graphics_password="geheim01")
    assert node.domains.define(ctx, wanted).graphics == "vnc"
    node.domains.start(ctx, wanted.uuid)
    port = node.domains.get(ctx, wanted.uuid).vnc_port
    assert port is not None
    listening = [line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    assert [address for address in listening if address.endswith(f":{port:04X}")] == [f"0100007F:{port:04X}"]


def test_an_unknown_platform_setting_is_refused_with_those_that_are_known(node: Node, ctx: Context, name: str) -> None:
    with pytest.raises(InputError) as caught:
        node.domains.define(ctx, spec(name, platform_config={"machin": "pc"}))
    assert caught.value.path == "platformConfig.machin"
    assert "machine" in str(caught.value)


def test_at_least_sixteen_root_ports_are_free(
    node: Node, ctx: Context, pool: str, name: str, connection: libvirt.virConnect
) -> None:
    disks = [node.volumes.create(ctx, VolumeRef(pool, f"d{i}"), format="raw", virtual_size=512) for i in range(3)]
    wanted = spec(
        name,
        disks=tuple(DiskSpec((disk,), f"vd{'abc'[i]}") for i, disk in enumerate(disks)),
        nics=(NicSpec("52:54:00:00:00:04", network="default"),),
        graphics="vnc",
        graphics_password="geheim01",
    )
    node.domains.define(ctx, wanted)
    root = parse(connection.lookupByUUIDString(wanted.uuid).XMLDesc(0))
    ports = {found.get("index") for found in root.findall("devices/controller[@model='pcie-root-port']")}
    used = {str(int(found.get("bus") or "0", 16)) for found in root.findall(".//address[@type='pci']")}
    assert len(ports - used) >= 16


def test_free_slots_are_counted_and_a_network_is_changed_while_the_guest_runs(
    node: Node, ctx: Context, name: str
) -> None:
    wanted = spec(name, nics=(NicSpec("52:54:00:00:00:08", network="default"),))
    node.domains.define(ctx, wanted)
    node.domains.start(ctx, wanted.uuid)
    live = node.domains.get(ctx, wanted.uuid).live
    assert live is not None
    assert live.free_slots == 16
    node.domains.plug(ctx, wanted.uuid, NicSpec("52:54:00:00:00:09", network="default"), {})
    bridged = NicSpec("52:54:00:00:00:08", bridge="virbr0")
    node.domains.replug(ctx, wanted.uuid, bridged, {})
    live = node.domains.get(ctx, wanted.uuid).live
    assert live is not None
    assert live.free_slots == 15
    assert [(nic.network, nic.bridge) for nic in live.nics] == [(None, "virbr0"), ("default", None)]


def test_a_device_that_the_guest_does_not_let_go_of_is_told_and_stays(
    node: Node, ctx: Context, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "UNPLUG_SECONDS", 0.5)
    wanted = spec(name, nics=(NicSpec("52:54:00:00:00:0a", network="default"),))
    node.domains.define(ctx, wanted)
    node.domains.start(ctx, wanted.uuid)
    live = node.domains.get(ctx, wanted.uuid).live
    assert live is not None
    with pytest.raises(KilnError, match="does not let go of the device"):
        node.domains.unplug(ctx, wanted.uuid, live.nics[0])
    again = node.domains.get(ctx, wanted.uuid).live
    assert again is not None
    assert list(again.nics) == list(live.nics)


def test_an_efi_guest_runs_and_its_variables_go_with_it(node: Node, ctx: Context, name: str) -> None:
    wanted = spec(name, firmware="efi", memory=128 << 10)
    assert node.domains.define(ctx, wanted).firmware == "efi"
    node.domains.start(ctx, wanted.uuid)
    assert node.domains.get(ctx, wanted.uuid).firmware == "efi"
    variables = Path("/var/lib/libvirt/qemu/nvram") / f"{name}_VARS.fd"
    assert variables.exists()
    node.domains.destroy(ctx, wanted.uuid)
    node.domains.undefine(ctx, wanted.uuid)
    assert not variables.exists()


def test_snapshots_and_a_saved_memory_are_in_the_way_of_moving_disks(
    node: Node, ctx: Context, pool: str, name: str, connection: libvirt.virConnect
) -> None:
    disk = node.volumes.create(ctx, VolumeRef(pool, "disk"), format="qcow2", virtual_size=1 << 20)
    wanted = spec(name, disks=(DiskSpec((disk,), "vda"),))
    node.domains.define(ctx, wanted)
    domain = connection.lookupByName(name)
    domain.snapshotCreateXML("<domainsnapshot/>", 0)
    assert "snapshots" in (node.moves.obstacle(ctx, wanted.uuid) or "")
    domain.snapshotCurrent().delete()
    assert node.moves.obstacle(ctx, wanted.uuid) is None
    domain.create()
    domain.managedSave()
    assert "saved" in (node.moves.obstacle(ctx, wanted.uuid) or "")


def test_what_a_guest_writes_while_its_disk_is_copied_is_in_the_copy(
    node: Node, ctx: Context, pool: str, name: str, connection: libvirt.virConnect
) -> None:
    old, new = (
        node.volumes.create(ctx, VolumeRef(pool, each), format="raw", virtual_size=1 << 20) for each in ("old", "new")
    )
    wanted = spec(name, disks=(DiskSpec((old,), "vda"),))
    node.domains.define(ctx, wanted)
    node.domains.start(ctx, wanted.uuid)
    node.moves.mirror(ctx, wanted.uuid, "vda", new)
    write = 'qemu-io -d /machine/peripheral/virtio-disk0/virtio-backend "write -P 7 4096 512"'
    domain = connection.lookupByName(name)
    libvirt_qemu.qemuMonitorCommand(domain, write, libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP)
    node.moves.pivot(ctx, wanted.uuid, "vda", new)
    node.domains.destroy(ctx, wanted.uuid)
    assert node.volumes.download(ctx, new.ref, 4096, 1024) == bytes([7]) * 512 + bytes(512)


@pytest.mark.requirement("CP-61")
def test_a_saved_guest_is_resumed_as_it_was_whatever_its_definition_says_now(
    node: Node, ctx: Context, name: str, connection: libvirt.virConnect
) -> None:
    wanted = spec(name)
    node.domains.define(ctx, wanted)
    node.domains.start(ctx, wanted.uuid)
    connection.lookupByName(name).managedSave(0)
    assert node.domains.get(ctx, wanted.uuid).state == "saved"
    assert node.domains.define(ctx, replace(wanted, memory=96 << 10)).state == "saved"
    node.domains.start(ctx, wanted.uuid)
    found = node.domains.get(ctx, wanted.uuid)
    assert (found.state, found.memory) == ("running", 96 << 10)
    assert found.live is not None
    assert found.live.memory == 64 << 10
    connection.lookupByName(name).managedSave(0)
    node.domains.undefine(ctx, wanted.uuid)
    assert name not in [domain.name for domain in node.domains.list(ctx)]


@pytest.mark.parametrize("running", [True, False])
def test_snapshots_and_checkpoints_of_others_do_not_keep_a_guest_and_are_told(
    node: Node, name: str, pool: str, connection: libvirt.virConnect, running: bool
) -> None:
    log = Warnings()
    ctx = Context(log=log).limited(120)
    disk = node.volumes.create(ctx, VolumeRef(pool, "disk"), format="qcow2", virtual_size=1 << 20)
    wanted = spec(name, disks=(DiskSpec((disk,), "vda"),))
    node.domains.define(ctx, wanted)
    node.domains.start(ctx, wanted.uuid)
    domain = connection.lookupByName(name)
    if running:
        domain.checkpointCreateXML("<domaincheckpoint><name>theirs</name></domaincheckpoint>", 0)
    else:
        node.domains.destroy(ctx, wanted.uuid)
        domain.snapshotCreateXML("<domainsnapshot><name>theirs</name></domainsnapshot>", 0)
    node.domains.destroy(ctx, wanted.uuid)
    node.domains.undefine(ctx, wanted.uuid)
    assert name not in [domain.name for domain in node.domains.list(ctx)]
    assert log.warnings == ([] if running else [f"with guest '{name}' go its snapshots: theirs"])


def test_a_disk_tells_what_it_is_an_overlay_of_also_with_a_snapshot_in_a_file_of_its_own(
    node: Node, ctx: Context, name: str, pool: str, connection: libvirt.virConnect
) -> None:
    base = node.volumes.create(ctx, VolumeRef(pool, "base"), format="qcow2", virtual_size=1 << 20)
    ref = VolumeRef(pool, "disk")
    top = node.volumes.create(ctx, ref, format="qcow2", virtual_size=1 << 20, backing=base)
    wanted = spec(name, disks=(DiskSpec(node.volumes.chain(ctx, ref), "vda"),))
    node.domains.define(ctx, wanted)
    node.domains.start(ctx, wanted.uuid)
    assert [disk.backing for disk in node.domains.get(ctx, wanted.uuid).disks] == [(base.path,)]
    document = "<domainsnapshot><name>theirs</name></domainsnapshot>"
    connection.lookupByName(name).snapshotCreateXML(document, libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY)
    found = node.domains.get(ctx, wanted.uuid)
    assert found.live is not None
    for disk in (*found.disks, *found.live.disks):
        assert disk.path is not None
        assert (disk.path, disk.backing) == (f"{top.path}.theirs", (top.path, base.path))
    Path(f"{top.path}.theirs").unlink()


class Warnings(SilentLog):
    """Keeps what the user would be warned of."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warning(self, message: str) -> None:
        self.warnings.append(message)


def test_a_guest_started_or_removed_behind_the_node_is_so_in_its_recent_list(
    node: Node, ctx: Context, name: str, connection: libvirt.virConnect
) -> None:
    made = node.domains.define(ctx, spec(name))
    assert made in node.domains.list(ctx, recent=True)
    domain = connection.lookupByName(name)
    domain.create()
    (found,) = [domain for domain in node.domains.list(ctx, recent=True) if domain.name == name]
    assert found.state == "running"
    domain.destroy()
    domain.undefine()
    assert all(domain.name != name for domain in node.domains.list(ctx, recent=True))
