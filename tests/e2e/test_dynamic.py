"""The same resources with no plugin, through ``pulumi.dynamic``."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pulumi
import pytest

from tests.e2e.conftest import TestPool
from tests.e2e.inventory import Inventory
from tests.e2e.stacks import Program, Stack
from tools.guests import GuestImage

CHOSEN = "chosen-by-the-user-1"
USER_DATA = "#cloud-config\nwrite_files: [{path: /token, content: token-in-user-data}]\n"


@pytest.fixture(scope="module")
def program(prefix: str, tiny_guest: GuestImage) -> Program:
    def program() -> None:
        from kiln.dynamic import Disk, Image, Network, Node, Server

        host = Node(f"{prefix}-host", accelerator="tcg", storage_pool={"name": prefix})
        image = Image(
            f"{prefix}-image",
            node=host.uri,
            source=str(tiny_guest.disk),
            kernel=str(tiny_guest.kernel),
            initrd=str(tiny_guest.initrd),
            cmdline=tiny_guest.cmdline,
        )
        lab = Network(f"{prefix}-lab", node=host.uri, mode="isolated")
        data = Disk(f"{prefix}-data", node=host.uri, size="8MiB")
        common: dict[str, Any] = {"node": host.uri, "image": image.id, "memory": "128MiB", "power_state": "stopped"}
        generated = Server(f"{prefix}-generated", disks=[data.id], networks=[{"network": lab.name}], **common)
        Server(f"{prefix}-chosen", first_boot={"password": CHOSEN, "user_data": USER_DATA}, graphics="vnc", **common)
        pulumi.export("password", generated.initial_password)
        pulumi.export("uuid", generated.uuid)

    return program


@pytest.fixture(scope="module")
def stack(stacks: Callable[..., Stack]) -> Stack:
    return stacks()


@pytest.fixture(scope="module")
def outputs(stack: Stack, program: Program) -> dict[str, Any]:
    return dict(stack.up(program).outputs)


def test_all_resources_are_made_with_no_plugin(
    outputs: dict[str, Any], stack: Stack, prefix: str, inventory: Inventory, pool: TestPool
) -> None:
    assert outputs["uuid"] == inventory.uuid(f"{prefix}-generated")
    assert set(inventory.disks(f"{prefix}-generated")) == {"vda", "vdb", "sda"}
    assert inventory.connection.networkLookupByName(f"{prefix}-lab").isActive()
    assert {f"{prefix}-image", f"{prefix}-data", f"{prefix}-chosen-root"} <= pool.files()
    entries = json.loads(stack.export())["deployment"]["resources"]
    assert not [entry for entry in entries if entry["type"].startswith("kiln:")]
    assert not [entry for entry in entries if entry["type"] == "pulumi:providers:kiln"]


@pytest.mark.usefixtures("outputs")
def test_a_second_up_and_a_refresh_change_nothing(stack: Stack, program: Program) -> None:
    assert stack.refresh().changed == {}
    assert stack.up(program).changed == {}


@pytest.mark.requirement("CI-38")
def test_secrets_are_secret_in_the_state(outputs: dict[str, Any], stack: Stack, prefix: str) -> None:
    export = stack.export()
    assert len(outputs["password"]) == 20
    assert outputs["password"] not in export
    assert CHOSEN not in export
    assert "token-in-user-data" not in export
    entries = {entry["urn"].rpartition("::")[2]: entry for entry in json.loads(export)["deployment"]["resources"]}
    assert "ciphertext" in json.dumps(entries[f"{prefix}-generated"]["outputs"]["initialPassword"])
    # The stub that is pickled holds nothing of the user's.
    assert len(entries[f"{prefix}-generated"]["inputs"]["__provider"]) < 1000


def test_a_destroy_removes_everything(
    outputs: dict[str, Any], stack: Stack, prefix: str, inventory: Inventory, pool: TestPool
) -> None:
    assert outputs
    stack.destroy()
    assert pool.files() == set()
    assert not [name for name in (*inventory.domains(), *inventory.networks()) if prefix in name]
