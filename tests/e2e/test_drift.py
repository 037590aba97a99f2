"""What a refresh sees of changes that were made behind Kiln's back, and that the next up puts them right."""

from __future__ import annotations

from collections.abc import Callable
from xml.etree import ElementTree

import libvirt
import pulumi_kiln as kiln
import pytest

from tests.e2e.conftest import TestPool
from tests.e2e.guests import tiny_image, tiny_server
from tests.e2e.inventory import Inventory
from tests.e2e.stacks import Program, Stack
from tests.e2e.waiting import until
from tools.guests import GuestImage

CONFIG, LIVE = libvirt.VIR_DOMAIN_AFFECT_CONFIG, libvirt.VIR_DOMAIN_AFFECT_LIVE


def drifting(prefix: str, guest: GuestImage) -> Program:
    """Stopped guests to drift from, and one that runs."""

    def program() -> None:
        image = tiny_image(f"{prefix}-image", guest)
        disk = kiln.Disk(f"{prefix}-data", size="8MiB")
        stopped = {"power_state": "stopped", "networks": [{"network": "default"}]}
        tiny_server(f"{prefix}-changed", image.id, disks=[disk.id], **stopped)
        tiny_server(f"{prefix}-gone", image.id, **stopped)
        tiny_server(f"{prefix}-off", image.id, networks=[])

    return program


@pytest.fixture(scope="module")
def program(prefix: str, tiny_guest: GuestImage) -> Program:
    return drifting(prefix, tiny_guest)


@pytest.fixture(scope="module")
def stack(stacks: Callable[..., Stack], program: Program) -> Stack:
    made = stacks()
    made.up(program)
    return made


@pytest.fixture
def refreshed(stack: Stack, prefix: str, inventory: Inventory) -> Stack:
    """The stack after everything was changed on the node and a refresh looked."""
    changed = inventory.domain(f"{prefix}-changed")
    changed.setMaxMemory(256 * 1024)
    changed.setMemoryFlags(256 * 1024, CONFIG)
    changed.setVcpusFlags(2, CONFIG | libvirt.VIR_DOMAIN_VCPU_MAXIMUM)
    changed.setVcpusFlags(2, CONFIG)
    xml = inventory.xml(f"{prefix}-changed")
    for device in (xml.find("devices/interface"), xml.find("devices/disk/target[@dev='vdb']/..")):
        changed.detachDeviceFlags(ElementTree.tostring(device).decode(), CONFIG)
    inventory.domain(f"{prefix}-gone").undefine()
    inventory.domain(f"{prefix}-off").destroy()
    stack.refresh()
    return stack


@pytest.mark.requirement("CP-12")
def test_a_refresh_sees_all_that_changed_and_the_next_up_mends_it(
    refreshed: Stack, prefix: str, program: Program, inventory: Inventory
) -> None:
    seen = refreshed.resources()
    assert f"{prefix}-gone" not in seen
    outputs = seen[f"{prefix}-changed"]["outputs"]
    assert (outputs["memory"], outputs["vcpus"]) == ("256MiB", 2)
    assert not outputs.get("disks")
    assert not outputs.get("networks")
    assert seen[f"{prefix}-off"]["outputs"]["state"] == "stopped"
    assert seen[f"{prefix}-off"]["outputs"]["powerState"] == "stopped"

    assert refreshed.up(program).changed == {"create": 1, "update": 2}
    assert inventory.running(f"{prefix}-off")
    assert not inventory.running(f"{prefix}-gone")
    mended = inventory.xml(f"{prefix}-changed")
    assert mended.findtext("memory") == str(128 * 1024)
    assert mended.findtext("vcpu") == "1"
    assert mended.find("devices/interface") is not None
    assert inventory.disks(f"{prefix}-changed")["vdb"]["file"].endswith(f"/{prefix}-data")

    assert refreshed.preview(program).changed == {}
    assert refreshed.refresh().changed == {}


def test_what_was_done_to_running_guests_is_seen_and_mended(
    stack: Stack, prefix: str, tiny_guest: GuestImage, inventory: Inventory
) -> None:
    robbed, undefined, plain = f"{prefix}-robbed", f"{prefix}-undefined", drifting(prefix, tiny_guest)

    def program() -> None:
        plain()
        data = kiln.Disk(f"{prefix}-more", size="8MiB")
        image = tiny_image(f"{prefix}-image-2", tiny_guest)
        tiny_server(robbed, image.id, disks=[data.id], wait_for="firstBoot")
        tiny_server(undefined, image.id, networks=[], autostart=True)

    stack.up(program)
    for _ in range(3):
        assert stack.refresh().changed == {}
    vdb = inventory.xml(robbed, live=True).find("devices/disk/target[@dev='vdb']/..")
    inventory.domain(robbed).detachDeviceFlags(ElementTree.tostring(vdb).decode(), LIVE)
    until(lambda: "vdb" not in inventory.disks(robbed, live=True))
    inventory.domain(undefined).undefine()
    ran = inventory.domain(undefined).ID()

    assert stack.refresh().changed == {"update": 2}
    seen = stack.resources()
    assert not seen[robbed]["outputs"].get("disks")
    assert seen[undefined]["outputs"]["transient"] is True
    preview = stack.preview(program)
    assert f"{undefined}: transient true → none, live: the guest was undefined while it ran" in preview.text
    assert stack.up(program).changed == {"update": 2}
    assert "vdb" in inventory.disks(robbed, live=True)
    assert (inventory.domain(undefined).ID(), inventory.domain(undefined).isPersistent()) == (ran, 1)
    assert inventory.domain(undefined).autostart()
    assert stack.preview(program).changed == {}
    assert stack.up(plain).changed == {"delete": 4}


def test_what_a_guest_would_get_at_its_next_start_is_seen_and_mended(
    stack: Stack, prefix: str, program: Program, inventory: Inventory
) -> None:
    changed = inventory.domain(f"{prefix}-changed")
    changed.setMemoryFlags(96 * 1024, CONFIG)
    assert stack.refresh().changed == {"update": 1}
    assert stack.resources()[f"{prefix}-changed"]["outputs"]["memory"] == "96MiB"
    assert stack.up(program).changed == {"update": 1}
    assert inventory.xml(f"{prefix}-changed").findtext("currentMemory") == str(128 * 1024)
    assert stack.preview(program).changed == {}


def test_a_guest_whose_root_disk_is_gone_is_made_anew(
    stack: Stack, prefix: str, program: Program, inventory: Inventory, pool: TestPool
) -> None:
    name = f"{prefix}-changed"
    (pool.directory / f"{name}-root").unlink()
    stack.refresh()
    stack.up(program)
    assert f"{name}-root" in pool.files()
    assert stack.preview(program).changed == {}


def test_an_image_whose_volume_is_gone_is_made_again_as_the_preview_says_and_its_guests_stay(
    stack: Stack, prefix: str, program: Program, inventory: Inventory, pool: TestPool
) -> None:
    ran = inventory.domain(f"{prefix}-off").ID()
    (pool.directory / f"{prefix}-image").unlink()
    stack.refresh()
    assert f"{prefix}-image" not in stack.resources()
    assert stack.preview(program).changed == {"create": 1}
    assert stack.up(program).changed == {"create": 1}
    assert inventory.domain(f"{prefix}-off").ID() == ran
    assert stack.preview(program).changed == {}


def test_a_root_disk_grown_on_the_node_is_seen_and_never_shrunk(
    stacks: Callable[..., Stack], prefix: str, tiny_guest: GuestImage, inventory: Inventory, pool: TestPool
) -> None:
    stack, name = stacks(), f"{prefix}-grown"

    def sized(size: str) -> Program:
        def program() -> None:
            image = tiny_image(f"{prefix}-image-3", tiny_guest)
            tiny_server(name, image.id, networks=[], disk_size=size)

        return program

    stack.up(sized("64MiB"))
    ran = inventory.domain(name).ID()
    inventory.domain(name).blockResize("vda", 96 << 20, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)
    assert stack.refresh().changed == {"update": 1}
    outputs = stack.resources()[name]["outputs"]
    assert (outputs["diskSize"], outputs["rootDiskSize"]) == ("96MiB", "96MiB")
    assert "the root disk cannot shrink from 96MiB to 64MiB" in " ".join(stack.preview_fails(sized("64MiB")).split())
    assert stack.up(sized("96MiB")).changed == {}
    assert stack.refresh().changed == {}
    assert inventory.domain(name).ID() == ran
