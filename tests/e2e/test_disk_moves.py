"""A disk moves between pools and formats through the real CLI, under a guest that runs and one that is off."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pulumi_kiln as kiln
import pytest

from tests.e2e.conftest import POOLS, TestPool
from tests.e2e.guests import tiny_image, tiny_server
from tests.e2e.inventory import Inventory, image_info
from tests.e2e.stacks import Program, Stack
from tools.guests import GuestImage

Make = Callable[..., Program]
MIB = 1 << 20


@pytest.fixture(scope="module")
def fast(prefix: str, inventory: Inventory) -> Iterator[TestPool]:
    """A second pool, which must be empty when the module is done."""
    directory = POOLS / f"{prefix}-fast"
    directory.mkdir(mode=0o711)
    document = f"<pool type='dir'><name>{prefix}-fast</name><target><path>{directory}</path></target></pool>"
    defined = inventory.connection.storagePoolDefineXML(document)
    defined.create()
    made = TestPool(f"{prefix}-fast", directory)
    yield made
    left = made.files()
    defined.destroy()
    defined.undefine()
    shutil.rmtree(directory)
    assert left == set(), "volumes, sidecars or temporary files were left in the pool"


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """8 MiB of which half are random."""
    file = tmp_path_factory.mktemp("content") / "data.raw"
    file.write_bytes(os.urandom(4 * MIB).ljust(8 * MIB, b"\0"))
    return file


@pytest.fixture(scope="module")
def make(prefix: str, tiny_guest: GuestImage, content: Path) -> Make:
    def make(power_state: str = "running", **inputs: Any) -> Program:
        def program() -> None:
            image = tiny_image(f"{prefix}-image", tiny_guest)
            disk = kiln.Disk(f"{prefix}-data", source=str(content), **inputs)
            given: dict[str, Any] = {"power_state": power_state, "wait_for": "none"}
            tiny_server(f"{prefix}-web", image.id, disks=[disk.id], **given)

        return program

    return make


@pytest.fixture(scope="module")
def stack(fast: TestPool, stacks: Callable[..., Stack], make: Make) -> Stack:
    made = stacks()
    made.up(make())
    return made


def held(file: Path) -> bytes:
    """What a guest would read from a disk, which one may have."""
    raw = file.with_name("for-test.raw")
    try:
        subprocess.run(["qemu-img", "convert", "-U", "-O", "raw", str(file), str(raw)], check=True)
        return raw.read_bytes()
    finally:
        raw.unlink(missing_ok=True)


def at(inventory: Inventory, name: str, *, live: bool) -> Path:
    return Path(inventory.disks(name, live=live)["vdb"]["file"])


def test_a_disk_moves_to_another_pool_while_its_guest_runs(
    stack: Stack, make: Make, prefix: str, inventory: Inventory, pool: TestPool, fast: TestPool, content: Path
) -> None:
    name, disk = f"{prefix}-web", f"{prefix}-data"
    ran, id = inventory.domain(name).ID(), stack.resources()[disk]["id"]
    program = make(pool=fast.name)

    preview = stack.preview(program)
    assert preview.changed == {"update": 1}
    assert f"pool {pool.name} → {fast.name}, live: copied, then switched, while '{name}' runs on" in preview.text
    assert at(inventory, name, live=True).parent == pool.directory

    assert stack.up(program).changed == {"update": 1}
    file = fast.directory / disk
    assert inventory.domain(name).ID() == ran
    assert at(inventory, name, live=True) == at(inventory, name, live=False) == file
    assert held(file) == content.read_bytes()
    assert not (pool.directory / disk).exists()
    moved = stack.resources()[disk]
    assert (moved["id"], moved["outputs"]["path"]) == (id, str(file))

    assert stack.refresh().changed == {}
    assert stack.preview(program).changed == {}
    inventory.domain(name).destroy()
    assert stack.refresh().changed == {"update": 1}
    assert stack.up(program).changed == {"update": 1}
    assert at(inventory, name, live=True) == file


def test_another_format_alone_converts_the_disk_of_a_running_guest_under_its_name(
    stack: Stack, make: Make, prefix: str, inventory: Inventory, fast: TestPool, content: Path
) -> None:
    name, disk = f"{prefix}-web", f"{prefix}-data"
    ran = inventory.domain(name).ID()
    program = make(pool=fast.name, format="qcow2")
    assert stack.up(program).changed == {"update": 1}
    file = fast.directory / disk
    assert (inventory.domain(name).ID(), at(inventory, name, live=True)) == (ran, file)
    assert image_info(file)["format"] == "qcow2"
    assert held(file) == content.read_bytes()
    assert fast.files() == {disk, f".{disk}.kiln"}
    assert stack.refresh().changed == {}
    assert stack.preview(program).changed == {}


def test_a_disk_goes_back_as_another_format_while_its_guest_is_off(
    stack: Stack, make: Make, prefix: str, inventory: Inventory, pool: TestPool, fast: TestPool, content: Path
) -> None:
    name, disk = f"{prefix}-web", f"{prefix}-data"
    stack.up(make("stopped", pool=fast.name, format="qcow2"))
    program = make("stopped", pool=pool.name, format="raw")
    preview = stack.preview(program)
    assert f"pool {fast.name} → {pool.name}, live: copied, then switched; what is on it stays" in preview.text
    assert stack.up(program).changed == {"update": 1}
    file = pool.directory / disk
    assert at(inventory, name, live=False) == file
    assert file.read_bytes() == content.read_bytes()
    assert fast.files() == set()
    assert stack.refresh().changed == {}
    assert stack.preview(program).changed == {}
    assert stack.up(make(pool=pool.name, format="raw")).changed == {"update": 1}
    assert inventory.running(name)


def test_a_snapshot_is_in_the_way_and_the_preview_says_so(
    stack: Stack, make: Make, prefix: str, inventory: Inventory, pool: TestPool, fast: TestPool
) -> None:
    name, disk = f"{prefix}-web", f"{prefix}-data"
    stack.up(make("stopped", pool=pool.name, format="qcow2"))
    snapshot = inventory.domain(name).snapshotCreateXML("<domainsnapshot/>", 0)
    said = stack.preview_fails(make("stopped", pool=fast.name, format="qcow2"))
    assert f"disk '{pool.name}/{disk}' cannot be moved under guest '{name}'" in said
    assert "snapshots" in said
    snapshot.delete()
    assert stack.up(make("stopped", pool=fast.name, format="qcow2")).changed == {"update": 1}
    assert (fast.directory / disk).exists()
