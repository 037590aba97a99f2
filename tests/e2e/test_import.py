"""Taking what is on a node into a stack."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pulumi
import pulumi_kiln as kiln

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
