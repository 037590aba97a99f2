"""Taking what is on a node into a stack."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pulumi
import pulumi_kiln as kiln
import pytest

from tests.e2e.conftest import TestPool
from tests.e2e.guests import tiny_image, tiny_server
from tests.e2e.inventory import Inventory
from tests.e2e.stacks import Stack
from tools.guests import GuestImage


def test_a_server_that_a_state_lost_is_imported_with_its_root_disk_and_is_not_touched(
    stacks: Callable[..., Stack], prefix: str, tiny_guest: GuestImage, inventory: Inventory, pool: TestPool
) -> None:
    name = f"{prefix}-web"
    kept: dict[str, Any] = {"cpu_mode": "maximum", "platform_config": {"machine": "pc-q35-6.2", "clock": "localtime"}}

    def lost() -> None:
        image = tiny_image(f"{prefix}-image", tiny_guest)
        data = kiln.Disk(f"{prefix}-data", size="8MiB")
        tiny_server(name, image.id, disks=[data.id], **kept)

    first = stacks()
    first.up(lost)
    state = first.resources()
    uuid, before = str(state[name]["id"]), inventory.text(name)
    inputs: dict[str, Any] = {"image": f"{pool.name}/{prefix}-image", "disks": [f"{pool.name}/{prefix}-data"]}

    def program() -> None:
        kiln.Server(
            name,
            memory=state[name]["inputs"]["memory"],
            networks=state[name]["inputs"].get("networks"),
            boot=state[name]["inputs"].get("boot"),
            **inputs,
            **kept,
            opts=pulumi.ResourceOptions(import_=uuid),
        )

    second = stacks()
    run = second.up(program)
    assert "update" not in run.changed
    assert second.resources()[name]["inputs"]["image"] == inputs["image"]
    assert second.preview(program).changed == {}
    assert inventory.running(name)
    assert inventory.text(name) == before


FOREIGN = """
<domain type='qemu'>
  <name>{name}</name><title>theirs</title>
  <metadata><theirs:it xmlns:theirs='https://example.org/theirs'>kept</theirs:it></metadata>
  <memory unit='KiB'>131075</memory><currentMemory unit='KiB'>131075</currentMemory><vcpu placement='static'>2</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type><boot dev='cdrom'/><boot dev='hd'/></os>
  <features><acpi/><apic/><pae/></features>
  <cpu mode='host-model'><topology sockets='1' cores='2' threads='1'/></cpu>
  <clock offset='localtime'><timer name='rtc' tickpolicy='catchup'/></clock>
  <devices>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2' discard='unmap'/><source file='{one}'/>
      <target dev='vda' bus='virtio'/></disk>
    <disk type='file' device='cdrom'><driver name='qemu' type='raw'/><source file='{cd}'/>
      <target dev='hda' bus='ide'/><readonly/></disk>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{two}'/>
      <target dev='sda' bus='scsi'/></disk>
    <disk type='file' device='cdrom'><target dev='hdb' bus='ide'/><readonly/></disk>
    <controller type='scsi' model='virtio-scsi'/><controller type='usb' model='ich9-ehci1'/>
    <interface type='network'><mac address='52:54:00:0a:0b:0c'/><source network='default'/>
      <model type='e1000'/></interface>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    <input type='tablet' bus='usb'/>
    <graphics type='{graphics}' autoport='yes'/><video><model type='vga'/></video>
    <memballoon model='virtio'/><rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
  </devices>
</domain>
"""


@pytest.fixture
def foreign(prefix: str, pool: TestPool, inventory: Inventory) -> Iterator[dict[str, str]]:
    """The UUIDs of guests such as virt-install makes, one that runs and one that is off."""
    files = {name: pool.directory / name for name in ("one", "two", "cd.iso", "off-one", "off-two")}
    for name, file in files.items():
        if name == "cd.iso":
            file.write_bytes(bytes(0x8000) + b"\1CD001\1".ljust(0x1000, b"\0"))
        else:
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", file, "1M"], check=True)
    inventory.connection.storagePoolLookupByName(pool.name).refresh()
    uuids = {}
    for power, start in (("running", ""), ("stopped", "off-")):
        paths = {"one": files[f"{start}one"], "two": files[f"{start}two"], "cd": files["cd.iso"]}
        name = f"{prefix}-{power}"
        inventory.connection.defineXML(FOREIGN.format(name=name, graphics="vnc", **paths))
        uuids[power] = inventory.uuid(name)
    inventory.domain(f"{prefix}-running").create()
    yield uuids
    for file in files.values():
        file.unlink()


@pytest.mark.requirement("CP-57", "FX-56")
def test_guests_that_kiln_did_not_make_are_imported_and_are_not_touched(
    stacks: Callable[..., Stack], prefix: str, foreign: dict[str, str], inventory: Inventory, pool: TestPool
) -> None:
    names = {power: f"{prefix}-{power}" for power in foreign}
    before = {name: inventory.text(name) for name in names.values()}
    live, ran = inventory.text(names["running"], live=True), inventory.domain(names["running"]).ID()
    volumes = pool.name

    def program() -> None:
        for power, uuid in foreign.items():
            start = "" if power == "running" else "off-"
            kiln.Server(
                names[power],
                memory="131075KiB",
                vcpus=2,
                cpu_mode="host-model",
                disks=[f"{volumes}/{start}one", f"{volumes}/cd.iso", f"{volumes}/{start}two"],
                networks=[{"network": "default", "mac": "52:54:00:0a:0b:0c", "model": "e1000"}],
                graphics="vnc",
                platform_config={"machine": "pc", "clock": "localtime"},
                power_state=power,
                opts=pulumi.ResourceOptions(import_=uuid),
            )

    stack = stacks()
    assert "update" not in stack.up(program).changed
    assert stack.preview(program).changed == {}
    assert stack.refresh().changed == {}
    assert {name: inventory.text(name) for name in names.values()} == before
    assert (inventory.text(names["running"], live=True), inventory.domain(names["running"]).ID()) == (live, ran)
    stack.destroy()
