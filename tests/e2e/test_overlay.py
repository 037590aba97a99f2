"""xmlOverlay through the real CLI: what a guest gets, what a refresh finds gone, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pulumi
import pytest

from tests.e2e.guests import one_server
from tests.e2e.inventory import Inventory
from tests.e2e.stacks import Program, Stack
from tools.guests import GuestImage

SECRET = "open-sesame-42"
QEMU = "{http://libvirt.org/schemas/domain/qemu/1.0}"
POLICY = {"xpath": "/domain/clock/timer[@name='rtc']", "attribute": {"name": "tickpolicy", "value": "delay"}}
REMOVAL = {"xpath": "/domain/features/vmport", "remove": True}

Make = Callable[..., Program]


def arguments(secret: str) -> dict[str, Any]:
    """An entry that gives QEMU an argument with a secret in it."""
    value = f"name=opt/org.example,string={secret}"
    return {
        "xpath": "/domain",
        "xml": pulumi.Output.secret(
            f"<qemu:commandline><qemu:arg value='-fw_cfg'/><qemu:arg value='{value}'/></qemu:commandline>"
        ),
    }


@pytest.fixture(scope="module")
def make(prefix: str, tiny_guest: GuestImage) -> Make:
    def make(*more: dict[str, Any], secret: str = SECRET) -> Program:
        def program() -> None:
            overlay = [arguments(secret), POLICY, REMOVAL, *more]
            one_server(prefix, tiny_guest, networks=[], xml_overlay=overlay)()

        return program

    return make


@pytest.fixture(scope="module")
def stack(stacks: Callable[..., Stack], make: Make) -> Stack:
    made = stacks()
    run = made.up(make())
    assert SECRET not in run.text
    return made


def given(inventory: Inventory, name: str) -> list[str]:
    """The arguments that an overlay gives QEMU, by the definition."""
    return [str(arg.get("value")) for arg in inventory.xml(name).findall(f"{QEMU}commandline/{QEMU}arg")]


def test_a_guest_runs_with_what_the_overlay_asks_for_and_a_refresh_finds_nothing_to_do(
    stack: Stack, make: Make, prefix: str, inventory: Inventory
) -> None:
    name = f"{prefix}-web"
    assert given(inventory, name) == ["-fw_cfg", f"name=opt/org.example,string={SECRET}"]
    root = inventory.xml(name)
    assert root.find("clock/timer[@name='rtc']").get("tickpolicy") == "delay"
    assert root.find("features/vmport") is None
    process = Path(f"/run/libvirt/qemu/{name}.pid").read_text().strip()
    assert SECRET.encode() in Path(f"/proc/{process}/cmdline").read_bytes()
    for _ in range(3):
        assert stack.refresh().changed == {}
        assert stack.preview(make()).changed == {}
    assert SECRET not in stack.export()


def test_what_somebody_takes_out_of_the_definition_is_seen_alone_and_put_back(
    stack: Stack, make: Make, prefix: str, inventory: Inventory
) -> None:
    name = f"{prefix}-web"
    root = inventory.xml(name)
    root.remove(root.find(f"{QEMU}commandline"))
    ElementTree.SubElement(root, "title").text = "of somebody else"
    inventory.connection.defineXML(ElementTree.tostring(root, encoding="unicode"))
    ran = inventory.domain(name).ID()

    assert stack.refresh().changed == {"update": 1}
    assert stack.refresh().changed == {}
    entries = stack.resources()[name]["inputs"]["xmlOverlay"]
    assert [sorted(entry) for entry in entries] == [["xpath"], ["attribute", "xpath"], ["remove", "xpath"]]
    preview = stack.preview(make())
    assert f"{name}: xmlOverlay[0].xml, restart" in preview.text
    assert "xmlOverlay[1]" not in preview.text
    run = stack.up(make())
    assert run.changed == {"update": 1}
    assert SECRET not in preview.text + run.text
    assert given(inventory, name) == ["-fw_cfg", f"name=opt/org.example,string={SECRET}"]
    assert inventory.running(name)
    assert inventory.domain(name).ID() != ran
    assert stack.refresh().changed == {}
    assert stack.preview(make()).changed == {}


def test_what_cannot_be_is_told_at_its_entry_and_the_guest_runs_on(
    stack: Stack, make: Make, prefix: str, inventory: Inventory
) -> None:
    name = f"{prefix}-web"
    ran, before = inventory.domain(name).ID(), inventory.text(name)
    owned = stack.preview_fails(make({"xpath": "/domain/memory", "attribute": {"name": "unit", "value": "GiB"}}))
    assert "xmlOverlay[3]" in owned
    assert "state 'memory'" in " ".join(owned.split())
    nothing = stack.up_fails(make({"xpath": "/domain/iothreads", "remove": True}))
    assert "xmlOverlay[3].xpath: this selects nothing in the guest's definition" in " ".join(nothing.split())
    unknown = stack.up_fails(make({"xpath": "/domain", "xml": "<nonsense/>"}))
    assert "xmlOverlay: " in unknown
    assert "extra content: nonsense" in unknown
    assert (inventory.domain(name).ID(), inventory.text(name)) == (ran, before)
    stack.up(make())
    assert stack.preview(make()).changed == {}


def test_a_guest_that_does_not_start_with_it_runs_again_as_it_was(
    stack: Stack, make: Make, prefix: str, inventory: Inventory
) -> None:
    name = f"{prefix}-web"
    failed = stack.up_fails(make(secret="another-secret,nonsense=on"))
    assert "another-secret" not in failed
    assert "xmlOverlay: " in failed
    assert inventory.running(name)
    assert given(inventory, name) == ["-fw_cfg", f"name=opt/org.example,string={SECRET}"]
    assert stack.up(make()).changed.keys() <= {"update"}
    assert stack.preview(make()).changed == {}
