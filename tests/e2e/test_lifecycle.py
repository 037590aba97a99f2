"""A stack's life: nothing changes when nothing changed, a preview changes nothing, a destroy leaves nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pulumi_kiln as kiln
import pytest

from tests.e2e.conftest import TestPool
from tests.e2e.guests import tiny_image, tiny_server
from tests.e2e.inventory import URI, Inventory
from tests.e2e.stacks import Program, Stack
from tools.guests import GuestImage

FEATURES: dict[str, Any] = {
    "vcpus": 2,
    "description": "a <b> & 'c' \"d\"",
    "graphics": "vnc",
    "networks": [{"network": "default"}, {"network": "default", "model": "e1000", "mac": "52:54:00:AB:00:01"}],
    "boot": {"order": ["hd", "network"]},
    "platform_config": {},
}


def everything(prefix: str, guest: GuestImage) -> Program:
    """One of each resource; one server of few words, and a stopped one that states all it can."""

    def program() -> None:
        host = kiln.Node(f"{prefix}-host", group="test", accelerator="tcg", storage_pool={"name": prefix})
        image = tiny_image(f"{prefix}-image", guest, node=host.uri, version="1")
        data = kiln.Disk(f"{prefix}-data", node=host.uri, size="64MiB")
        cd = kiln.Disk(f"{prefix}-cd", node=host.uri, source=str(guest.iso))
        tiny_server(f"{prefix}-plain", image.id, node=host.uri)
        tiny_server(
            f"{prefix}-full", image.id, node=host.uri, power_state="stopped", disks=[data.id, cd.id], **FEATURES
        )

    return program


@pytest.fixture(scope="module")
def stack(stacks: Callable[..., Stack], prefix: str, tiny_guest: GuestImage) -> Stack:
    made = stacks()
    made.up(everything(prefix, tiny_guest))
    return made


def snapshot(inventory: Inventory, pool: TestPool) -> dict[str, Any]:
    """All that a run could change: definitions, power, files with their times."""
    domains = sorted(name for name in inventory.domains() if pool.name in name)
    return {
        "definitions": {name: inventory.text(name) for name in domains},
        "live": {name: inventory.text(name, live=True) for name in domains},
        "running": {name: inventory.running(name) for name in domains},
        # A running guest may write to its disk, so only the names and the files it has no hand in are compared.
        "files": pool.files(),
        "sidecars": {file.name: file.read_bytes() for file in pool.directory.glob(".*")},
    }


def test_a_second_up_changes_nothing(stack: Stack, prefix: str, tiny_guest: GuestImage) -> None:
    assert stack.up(everything(prefix, tiny_guest)).changed == {}


def test_three_refreshes_show_nothing(stack: Stack) -> None:
    for _ in range(3):
        assert stack.refresh().changed == {}


def test_a_preview_of_many_changes_touches_nothing_on_the_node(
    stack: Stack, prefix: str, tiny_guest: GuestImage, pool: TestPool, inventory: Inventory
) -> None:
    def changed() -> None:
        image = tiny_image(f"{prefix}-image", tiny_guest, version="2")
        kiln.Disk(f"{prefix}-data", size="128MiB")
        kiln.Disk(f"{prefix}-new", size="1MiB")
        tiny_server(f"{prefix}-plain", image.id, vcpus=2, description="changed", autostart=True)
        tiny_server(f"{prefix}-another", image.id)

    before = snapshot(inventory, pool)
    changes = stack.preview(changed).changed
    assert changes.keys() >= {"create", "update", "delete"}
    assert snapshot(inventory, pool) == before


def test_what_a_program_leaves_out_is_told_in_the_outputs(stack: Stack, prefix: str) -> None:
    outputs = stack.resources()[f"{prefix}-plain"]["outputs"]
    assert outputs["node"] == URI
    assert outputs["name"] == f"{prefix}-plain"
    assert (outputs["state"], outputs["accelerator"], outputs["bootOrder"]) == ("running", "tcg", ["vda"])
    assert outputs["console"]["command"] == f"virsh -c '{URI}' console {prefix}-plain"


@pytest.mark.requirement("CP-62", "CP-63", "CP-64")
def test_a_graphical_console_is_told_with_its_port_while_there_is_one(
    stack: Stack, prefix: str, inventory: Inventory
) -> None:
    name = f"{prefix}-full"

    def told() -> Any:
        stack.refresh()
        return stack.resources()[name]["outputs"]["console"]

    assert (told()["graphical"], told().get("vncPort")) == (True, None)
    inventory.domain(name).create()
    try:
        port = inventory.xml(name, live=True).find("devices/graphics").get("port")
        assert told()["vncPort"] == int(port)
    finally:
        inventory.domain(name).destroy()
    assert told().get("vncPort") is None
    assert stack.resources()[f"{prefix}-plain"]["outputs"]["console"]["graphical"] is False


@pytest.mark.requirement("CP-56", "CP-66")
def test_a_node_tells_what_it_is(stack: Stack, prefix: str) -> None:
    outputs = stack.resources()[f"{prefix}-host"]["outputs"]
    assert (outputs["platform"].lower(), outputs["effectiveAccelerator"]) == ("qemu", "tcg")
    assert outputs["cpus"] > 0
    assert outputs["hostname"]
    assert outputs["platformInfo"]
    assert not set(outputs["platformInfo"]) & set(outputs)
    assert {item["status"] for item in outputs["prerequisites"]} <= {"ok", "warn"}


def test_a_guest_is_defined_as_the_program_says(stack: Stack, prefix: str, inventory: Inventory) -> None:
    xml = inventory.xml(f"{prefix}-full")
    assert xml.findtext("vcpu") == "2"
    assert xml.findtext("memory") == str(128 * 1024)
    assert xml.findtext("description") == FEATURES["description"]
    assert inventory.macs(f"{prefix}-full")[1] == "52:54:00:ab:00:01"
    graphics = xml.find("devices/graphics")
    assert (graphics.get("type"), graphics.get("listen")) == ("vnc", "127.0.0.1")
    assert len(graphics.get("passwd")) == 8
    assert graphics.get("passwd") not in stack.export()


def test_a_guest_has_what_virt_install_would_give_it(prefix: str, stack: Stack, inventory: Inventory) -> None:
    xml = inventory.xml(f"{prefix}-plain")
    assert "q35" in xml.find("os/type").get("machine")
    assert xml.find("features/acpi") is not None
    assert xml.find("devices/rng/backend") is not None
    assert xml.find("devices/channel/target[@name='org.qemu.guest_agent.0']") is not None
    assert xml.find("devices/serial/log") is not None or xml.find("devices/console/log") is not None
    ports = xml.findall("devices/controller[@model='pcie-root-port']")
    assert len(ports) >= 16


def files_of(pool: TestPool, *names: str) -> set[str]:
    """The files of the objects that are called so."""
    return {file for file in pool.files() if any(name in file for name in names)}


@pytest.mark.requirement("FX-58")
def test_a_destroy_removes_everything(
    stacks: Callable[..., Stack], prefix: str, pool: TestPool, inventory: Inventory, tiny_guest: GuestImage
) -> None:
    stack, names = stacks(), [f"{prefix}-i2", f"{prefix}-d2", f"{prefix}-s2"]

    def program() -> None:
        image = tiny_image(names[0], tiny_guest)
        disk = kiln.Disk(names[1], image=image.id)
        tiny_server(names[2], image.id, disks=[disk.id], power_state="stopped")

    stack.up(program)
    assert names[2] in inventory.domains()
    assert {*names[:2], f"{names[2]}-root", f"{names[2]}-seed"} <= files_of(pool, *names)
    stack.destroy()
    assert names[2] not in inventory.domains()
    assert files_of(pool, *names) == set()


def test_deleting_what_is_gone_already_is_a_success(
    stacks: Callable[..., Stack], prefix: str, pool: TestPool, inventory: Inventory, tiny_guest: GuestImage
) -> None:
    stack, names = stacks(), [f"{prefix}-i3", f"{prefix}-d3", f"{prefix}-s3"]

    def program() -> None:
        image = tiny_image(names[0], tiny_guest)
        kiln.Disk(names[1], size="1MiB")
        tiny_server(names[2], image.id, power_state="stopped")

    stack.up(program)
    inventory.domain(names[2]).undefine()
    (pool.directory / names[1]).unlink()
    stack.destroy()
    assert files_of(pool, *names) == set()


def test_a_guest_that_somebody_suspended_shuts_down_by_itself(
    stacks: Callable[..., Stack], prefix: str, tiny_guest: GuestImage, inventory: Inventory
) -> None:
    stack, name = stacks(), f"{prefix}-suspended"

    def powered(state: str) -> Program:
        def program() -> None:
            image = tiny_image(f"{prefix}-image-s", tiny_guest)
            server = tiny_server(name, image.id, networks=[], wait_for="firstBoot", power_state=state)
            pulumi.export("log", server.console.log_path)

        return program

    log = Path(stack.up(powered("running")).outputs["log"])
    inventory.domain(name).suspend()
    stack.up(powered("stopped"))
    assert not inventory.running(name)
    assert "Power down" in log.read_text(errors="replace")
