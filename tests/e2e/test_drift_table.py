"""All that people do to guests with virsh: a refresh shows just that, the next up repairs it, and nothing is left.

All rows are in one stack, each with a guest of its own, so that a run of the CLI serves all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pulumi_kiln as kiln
import pycdlib
import pytest

from tests.e2e.conftest import TestPool
from tests.e2e.drifts import NOTHING, ROWS, Victim
from tests.e2e.guests import tiny_image, tiny_server
from tests.e2e.inventory import Inventory
from tests.e2e.stacks import Program, Stack
from tools.guests import GuestImage

GUESTS = {f"{row.what}-{power}": (row, power) for row in ROWS for power in row.powers()}
CALLS_FOR_UPDATE = ("unfinished", "transient", "renamed", "stopped", "stoppedPool")


def write_iso(file: Path) -> str:
    """An ISO with nothing in it."""
    made = pycdlib.PyCdlib()
    made.new()
    made.write(str(file))
    made.close()
    return str(file)


@pytest.fixture(scope="module")
def program(prefix: str, tiny_guest: GuestImage, tmp_path_factory: pytest.TempPathFactory) -> Program:
    iso = write_iso(tmp_path_factory.mktemp("iso") / "cd.iso")
    guests = {name: (row.inputs, row.boots, power) for name, (row, power) in GUESTS.items()}

    def program() -> None:
        image = tiny_image(f"{prefix}-image", tiny_guest)
        blank = kiln.Image(f"{prefix}-blank", source=str(tiny_guest.disk))  # the firmware finds nothing, and idles
        kiln.Network(f"{prefix}-net", mode="isolated")
        cds = {name: kiln.Disk(f"{prefix}-{name}", source=iso).id for name in ("cd", "other-cd")}
        for name, (inputs, booted, power) in guests.items():
            given = {"networks": [], "power_state": power, "shutdown_timeout": 3 if booted else 1, **inputs}
            if booted and power == "running":
                given["wait_for"] = "firstBoot"
            if "disks" in inputs:
                given["disks"] = [kiln.Disk(f"{prefix}-{name}-data", size="8MiB").id, cds["cd"]]
            tiny_server(f"{prefix}-{name}", (image if booted else blank).id, **given)
        kiln.Disk(f"{prefix}-deleted", size="8MiB")

    return program


@pytest.fixture(scope="module")
def stack(stacks: Callable[..., Stack], program: Program) -> Stack:
    made = stacks()
    made.up(program)
    return made


def told(before: dict[str, Any] | None, after: dict[str, Any] | None) -> frozenset[str] | None:
    """What a refresh shows of a resource: inputs that differ, and outputs that call for an update, each name of those
    that are lists."""
    if before is None or after is None:
        return None
    inputs, outputs = after["inputs"], after["outputs"]
    keys = {key for key in before["inputs"].keys() | inputs.keys() if before["inputs"].get(key) != inputs.get(key)}
    lists = {key: outputs[key] for key in CALLS_FOR_UPDATE if isinstance(outputs.get(key), list)}
    calls = {key for key in CALLS_FOR_UPDATE if key in outputs and key not in lists}
    return frozenset(keys | calls | {f"{key}: {name}" for key, names in lists.items() for name in names})


def told_of_all(before: dict[str, Any], after: dict[str, Any]) -> dict[str, frozenset[str] | None]:
    """The same of all resources, without those of which there is nothing to tell."""
    shown = {name: told(entry, after.get(name)) for name, entry in before.items()}
    return {name: keys for name, keys in shown.items() if keys != NOTHING}


@contextmanager
def stopped(pool: Any) -> Iterator[None]:
    """A storage pool that somebody has stopped (``virStoragePool``)."""
    pool.destroy()
    try:
        yield
    finally:
        pool.create()


@pytest.mark.requirement("CP-12", "CP-36", "CP-69")
def test_each_change_behind_its_back_is_told_alone_and_repaired(
    stack: Stack, program: Program, prefix: str, inventory: Inventory, pool: TestPool
) -> None:
    for _ in range(3):
        assert stack.refresh().changed == {}, "a stack that nobody touched has not changed"
    before = stack.resources()
    uuids = {name: inventory.uuid(f"{prefix}-{name}") for name in GUESTS}
    for name, (row, power) in GUESTS.items():
        row.happens(Victim(inventory, f"{prefix}-{name}", power, pool.directory, pool.directory / f"{prefix}-other-cd"))
    inventory.connection.networkLookupByName(f"{prefix}-net").destroy()
    inventory.connection.storagePoolLookupByName(pool.name).storageVolLookupByName(f"{prefix}-deleted").delete()
    imposter = inventory.domain(f"{prefix}-imposter-stopped")

    stack.refresh()
    found = stack.resources()
    expected = {f"{prefix}-{name}": row.shown(power) for name, (row, power) in GUESTS.items()}
    expected |= {f"{prefix}-net": frozenset({"stopped"}), f"{prefix}-deleted": None}
    shown = told_of_all(before, found)
    assert shown == {name: keys for name, keys in expected.items() if keys != NOTHING}
    stack.refresh()
    assert told_of_all(before, stack.resources()) == shown, "every refresh tells the same"

    text = stack.preview(program).text
    assert f"{prefix}-saved-running: powerState stopped → running, live: resumed from its saved memory" in text
    assert "replace" not in text
    said = stack.up_fails(program)
    assert f"guest '{prefix}-imposter-stopped' exists already and Kiln did not make it" in " ".join(said.split())
    assert (inventory.uuid(imposter.name()), imposter.isActive()) == (imposter.UUIDString(), 0)
    imposter.undefine()
    stack.up(program)
    assert stack.preview(program).changed == {}
    assert stack.refresh().changed == {}
    assert_as_made(inventory, prefix, uuids)


def assert_as_made(inventory: Inventory, prefix: str, uuids: dict[str, str]) -> None:
    """Everything is on the node as the program says, each guest that was not gone the one that it was."""
    assert inventory.connection.networkLookupByName(f"{prefix}-net").isActive()
    for name, (row, power) in GUESTS.items():
        guest, inputs = f"{prefix}-{name}", row.inputs
        domain, live = inventory.domain(guest), power == "running"
        assert domain.UUIDString() == uuids[name] or row.seen is None, name
        assert (domain.isActive(), domain.autostart(), domain.isPersistent()) == (live, 0, 1), name
        for one in {False, live}:
            xml = inventory.xml(guest, live=one)
            vcpus = xml.find("vcpu")
            assert xml.findtext("currentMemory") == str(128 << 10), name
            assert vcpus.text == str(inputs.get("max_vcpus", inputs.get("vcpus", 1))), name
            assert vcpus.get("current", vcpus.text) == str(inputs.get("vcpus", 1)), name
            assert len(xml.findall("devices/interface")) == len(inputs.get("networks", [])), name
            disks = inventory.disks(guest, live=one)
            assert ("vdb" in disks) == ("disks" in inputs), name
            assert "disks" not in inputs or disks["sdb"]["file"].endswith(f"/{prefix}-cd"), name


def test_a_stopped_pool_is_an_error_with_the_command_and_nothing_in_it_is_gone(
    stack: Stack, program: Program, inventory: Inventory, pool: TestPool
) -> None:
    before = stack.resources()
    with stopped(inventory.connection.storagePoolLookupByName(pool.name)):
        said = " ".join(stack.refresh_fails().split())
    assert f"storage pool '{pool.name}' is not active. Next: start it (virsh -c 'qemu:///system' pool-start" in said
    assert told_of_all(before, stack.resources()) == {}
    assert stack.refresh().changed == {}
    assert stack.preview(program).changed == {}


def test_a_guest_with_snapshots_of_others_is_deleted_and_they_are_told(
    stack: Stack, prefix: str, inventory: Inventory, pool: TestPool
) -> None:
    overlay = pool.directory / f"{prefix}-snapshot-running-root.theirs"
    assert overlay.exists()
    inventory.domain(f"{prefix}-suspended-running").managedSave(0)
    said = " ".join(stack.destroy().text.split())
    assert f"{overlay} stays on" in said
    assert f"with guest '{prefix}-snapshot-stopped' go its snapshots: theirs" in said
    overlay.unlink()
