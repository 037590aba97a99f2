"""Changes of a server: those that need no restart make none, the others restart the guest and keep what it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pulumi_kiln as kiln
import pytest

from tests.e2e.conftest import TestPool
from tests.e2e.guests import tiny_image, tiny_server
from tests.e2e.inventory import Inventory
from tests.e2e.stacks import Program, Stack
from tools.guests import GuestImage

Make = Callable[..., Program]


@pytest.fixture(scope="module")
def make(prefix: str, tiny_guest: GuestImage) -> Make:
    def make(**inputs: Any) -> Program:
        def program() -> None:
            image = tiny_image(f"{prefix}-image", tiny_guest)
            disk = kiln.Disk(f"{prefix}-data", size="8MiB")
            given = {"disks": [disk.id], "wait_for": "firstBoot", **inputs}
            tiny_server(f"{prefix}-web", image.id, **given)

        return program

    return make


@pytest.fixture(scope="module")
def stack(stacks: Callable[..., Stack], make: Make) -> Stack:
    made = stacks()
    made.up(make())
    return made


def identity(inventory: Inventory, name: str) -> dict[str, Any]:
    """What a guest keeps through every change that is not a replacement."""
    disks = {target: disk["file"] for target, disk in inventory.disks(name).items()}
    return {"uuid": inventory.uuid(name), "macs": inventory.macs(name), "disks": disks}


def process(inventory: Inventory, name: str) -> int:
    """The libvirt id of a running guest, a new one for each start."""
    return int(inventory.domain(name).ID())


def test_description_and_autostart_change_without_a_restart(
    stack: Stack, make: Make, prefix: str, inventory: Inventory
) -> None:
    name = f"{prefix}-web"
    before, ran = identity(inventory, name), process(inventory, name)
    assert stack.up(make(description="<new>", autostart=True)).changed == {"update": 1}
    assert process(inventory, name) == ran
    assert identity(inventory, name) == before
    assert inventory.domain(name).autostart() == 1
    assert inventory.xml(name).findtext("description") == "<new>"
    assert inventory.xml(name, live=True).findtext("description") == "<new>"
    assert stack.up(make()).changed == {"update": 1}
    assert inventory.domain(name).autostart() == 0
    assert inventory.xml(name).find("description") is None


def test_a_preview_names_the_restart_and_the_up_does_it_and_keeps_the_guest(
    stack: Stack, make: Make, prefix: str, inventory: Inventory
) -> None:
    name = f"{prefix}-web"
    before, ran = identity(inventory, name), process(inventory, name)
    bigger = make(memory="160MiB", vcpus=2, shutdown_timeout=60)
    preview = stack.preview(bigger)
    assert preview.changed == {"update": 1}
    assert "memory 128MiB → 160MiB, restart" in preview.text
    assert "vcpus 1 → 2, restart" in preview.text
    assert process(inventory, name) == ran

    run = stack.up(bigger)
    assert run.changed == {"update": 1}
    assert "forced off" not in run.text
    assert process(inventory, name) != ran
    assert identity(inventory, name) == before
    assert inventory.xml(name, live=True).findtext("memory") == str(160 * 1024)
    assert inventory.xml(name, live=True).findtext("vcpu") == "2"
    assert stack.refresh().changed == {}


def test_a_preview_names_a_replacement(stack: Stack, make: Make, prefix: str, inventory: Inventory) -> None:
    uuid = inventory.uuid(f"{prefix}-web")
    preview = stack.preview(make(firmware="efi"))
    assert preview.changed.keys() & {"replace", "create-replacement", "delete-replaced"}
    assert "firmware bios → efi, replace" in preview.text
    assert inventory.uuid(f"{prefix}-web") == uuid


@pytest.mark.requirement("FX-58")
def test_a_guest_is_stopped_and_started_in_place(stack: Stack, make: Make, prefix: str, inventory: Inventory) -> None:
    name = f"{prefix}-web"
    before = identity(inventory, name)
    stack.up(make(power_state="stopped"))
    assert not inventory.running(name)
    assert stack.resources()[name]["outputs"]["state"] == "stopped"
    stack.up(make(power_state="running"))
    assert inventory.running(name)
    assert identity(inventory, name) == before


@pytest.mark.requirement("FX-58")
def test_disks_come_and_go_while_the_guest_runs_and_keep_their_names(
    stack: Stack, make: Make, prefix: str, inventory: Inventory, tiny_guest: GuestImage, pool: TestPool
) -> None:
    name = f"{prefix}-web"
    ran = process(inventory, name)

    def program() -> None:
        image = tiny_image(f"{prefix}-image", tiny_guest)
        ids = [kiln.Disk(f"{prefix}-{disk}", size="8MiB").id for disk in ("data", "two", "three")]
        cd = kiln.Disk(f"{prefix}-cd", source=str(tiny_guest.iso))
        tiny_server(name, image.id, disks=[*ids, cd.id], wait_for="firstBoot")

    preview = stack.preview(program)
    assert f"none → {pool.name}/{prefix}-three, live" in preview.text
    assert "restart" not in preview.text
    stack.up(program)
    assert on_node(inventory, name) == {"vda": "web-root", "vdb": "data", "vdc": "two", "vdd": "three", "sdb": "cd"}
    assert stack.refresh().changed == {}
    assert stack.preview(program).changed == {}

    def fewer() -> None:
        image = tiny_image(f"{prefix}-image", tiny_guest)
        kiln.Disk(f"{prefix}-data", size="8MiB")
        three = kiln.Disk(f"{prefix}-three", size="8MiB")
        tiny_server(name, image.id, disks=[three.id], wait_for="firstBoot")

    stack.up(fewer)
    assert on_node(inventory, name) == {"vda": "web-root", "vdd": "three"}
    assert process(inventory, name) == ran
    assert stack.refresh().changed == {}
    stack.up(make())
    assert on_node(inventory, name) == {"vda": "web-root", "vdb": "data"}
    assert process(inventory, name) == ran


def on_node(inventory: Inventory, name: str) -> dict[str, str]:
    """The running guest's disks, which its definition must have too: the ends of their names by device name."""
    live, defined = inventory.disks(name, live=True), inventory.disks(name)
    assert {target: disk["file"] for target, disk in live.items()} == {t: disk["file"] for t, disk in defined.items()}
    prefix = name.rpartition("-")[0]
    return {target: disk["file"].rpartition(f"/{prefix}-")[2] for target, disk in live.items()}


def test_interfaces_are_changed_while_the_guest_runs(
    stack: Stack, make: Make, prefix: str, inventory: Inventory
) -> None:
    name = f"{prefix}-web"
    ran = process(inventory, name)
    steps: list[list[dict[str, str]]] = [
        [{"bridge": "virbr0"}],
        [{"bridge": "virbr0"}, {"network": "default", "mac": "52:54:00:00:00:0a"}],
        [{"bridge": "virbr0"}, {"network": "default", "mac": "52:54:00:00:00:0a", "linkState": "down"}],
        [{"network": "default", "mac": "52:54:00:00:00:0b", "model": "e1000e"}],
        [],
    ]
    for networks in steps:
        stack.up(make(networks=networks))
        live = inventory.xml(name, live=True).findall("devices/interface")
        assert [nic.get("type") for nic in live] == ["bridge" if "bridge" in nic else "network" for nic in networks]
        macs = [nic.find("mac").get("address") for nic in live]
        assert macs == inventory.macs(name)
        links = [nic.find("link") for nic in live]
        cables = [link is None or link.get("state") == "up" for link in links]
        assert cables == [nic.get("linkState") != "down" for nic in networks]
        assert stack.refresh().changed == {}
    stack.up(make())
    assert len(inventory.macs(name)) == 1
    assert process(inventory, name) == ran
