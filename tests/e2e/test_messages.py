"""How errors reach the user through the CLI, and that a node which does not answer takes nothing out of a state."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pulumi_kiln as kiln
import pytest

from tests.e2e.conftest import TestPool
from tests.e2e.inventory import Inventory
from tests.e2e.stacks import Stack
from tests.e2e.webserver import serving
from tools.guests import GuestImage

SOCKETS = [Path("/run/libvirt/libvirt-sock"), Path("/run/libvirt/virtqemud-sock")]


@pytest.fixture
def stack(stacks: Callable[..., Stack]) -> Stack:
    return stacks()


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    """A way to the node that can be cut."""
    link = tmp_path / "libvirt-sock"
    link.symlink_to(next(one for one in SOCKETS if one.exists()))
    return link


def test_a_failed_check_names_the_property_in_a_preview(stack: Stack, prefix: str) -> None:
    def program() -> None:
        kiln.Server(f"{prefix}-b", disks=[], networks=[{}, {"mac": "nonsense"}])

    text = stack.preview_fails(program)
    assert "networks[1].mac" in text
    assert "'nonsense' is not a MAC address; use six hexadecimal pairs" in text
    assert "Traceback" not in text


def test_a_failed_create_is_one_paragraph_and_leaves_nothing(
    stack: Stack, prefix: str, tiny_guest: GuestImage, pool: TestPool
) -> None:
    zeros = "sha256:" + "0" * 64
    with serving(tiny_guest.disk.read_bytes()) as url:

        def program() -> None:
            kiln.Image(f"{prefix}-image", source=url, checksum=zeros)

        text = stack.up_fails(program)
    line = next(line for line in text.splitlines() if "checksum: " in line)
    assert "Next: " in line
    assert zeros.removeprefix("sha256:") in line
    assert "Traceback" not in text
    assert pool.files() == set()


def test_a_refresh_of_a_node_that_does_not_answer_keeps_the_state(
    stack: Stack, prefix: str, socket: Path, inventory: Inventory
) -> None:
    uri = f"qemu+unix:///system?socket={socket}"

    def program() -> None:
        disk = kiln.Disk(f"{prefix}-disk", node=uri, size="1MiB")
        kiln.Server(f"{prefix}-server", node=uri, disks=[disk.id], networks=[], power_state="stopped")

    stack.up(program)
    before = stack.resources()
    away = socket.with_name("away")
    shutil.move(socket, away)
    try:
        text = stack.refresh_fails()
        assert uri in text
        assert "libvirtd" in text
        assert stack.resources().keys() == before.keys()
        assert {name: entry["outputs"] for name, entry in stack.resources().items()} == {
            name: entry["outputs"] for name, entry in before.items()
        }
        stack.destroy_fails()
        assert stack.resources().keys() == before.keys()
    finally:
        shutil.move(away, socket)
    assert f"{prefix}-server" in inventory.domains()
    assert stack.refresh().changed == {}
    assert stack.up(program).changed == {}
    stack.destroy()
