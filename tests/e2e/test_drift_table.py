"""All that people do to guests with virsh: a refresh shows just that, the next up repairs it, and nothing is left.

All rows are in one stack, each with a guest of its own, so that a run of the CLI serves all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi_kiln as kiln
import pytest

from tests.e2e.conftest import TestPool
from tests.e2e.drifts import NOTHING, ROWS, Row, Victim
from tests.e2e.guests import tiny_image, tiny_server
from tests.e2e.inventory import Inventory
from tests.e2e.stacks import Program, Stack
from tools.guests import GuestImage

GUESTS = {f"{row.what}-{power}": (row, power) for row in ROWS for power in row.powers()}
CALLS_FOR_UPDATE = ("pendingRestart", "transient", "renamed", "stopped", "stoppedPool")


def write_iso(file: Path) -> str:
    """An ISO with nothing in it."""
    import pycdlib

    made = pycdlib.PyCdlib()
    made.new()
    made.write(str(file))
    made.close()
    return str(file)


@pytest.fixture(scope="module")
def program(prefix: str, tiny_guest: GuestImage, tmp_path_factory: pytest.TempPathFactory) -> Program:
    iso = write_iso(tmp_path_factory.mktemp("iso") / "cd.iso")
    guests = {name: (row.inputs, power) for name, (row, power) in GUESTS.items()}

    def program() -> None:
        image = tiny_image(f"{prefix}-image", tiny_guest)
        network = kiln.Network(f"{prefix}-net", mode="isolated")
        cds = {name: kiln.Disk(f"{prefix}-{name}", source=iso).id for name in ("cd", "other-cd")}
        for name, (inputs, power) in guests.items():
            given = {"networks": [], "power_state": power, **inputs}
            if "disks" in inputs:
                given["disks"] = [kiln.Disk(f"{prefix}-{name}-data", size="8MiB").id, cds["cd"]]
            tiny_server(f"{prefix}-{name}", image.id, **given)
        tiny_server(f"{prefix}-cut", image.id, networks=[{"network": network.name}])
        kiln.Disk(f"{prefix}-deleted", size="8MiB")

    return program


@pytest.fixture(scope="module")
def stack(stacks: Callable[..., Stack], program: Program) -> Stack:
    made = stacks()
    made.up(program)
    return made


def told(before: dict[str, Any] | None, after: dict[str, Any] | None) -> frozenset[str] | None:
    """What a refresh shows of a resource: inputs that differ, and outputs that call for an update."""
    if before is None or after is None:
        return None
    inputs, outputs = after["inputs"], after["outputs"]
    keys = {key for key in before["inputs"].keys() | inputs.keys() if before["inputs"].get(key) != inputs.get(key)}
    return frozenset(keys | {key for key in CALLS_FOR_UPDATE if key in outputs})


def expected(row: Row, power: str) -> frozenset[str] | None:
    """What is to be told. What a guest has otherwise than its definition is told of both: it is given the device back,
    and the definition, which the next start would take, is looked at too."""
    if power == "running" and row.seen is not None and row.seen & {"disks", "networks"}:
        return row.seen | {"pendingRestart"}
    return row.seen


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
    shown = {name: told(before[f"{prefix}-{name}"], found.get(f"{prefix}-{name}")) for name in GUESTS}
    assert shown == {name: expected(row, power) for name, (row, power) in GUESTS.items()}
    others = {
        name: told(before[name], found.get(name)) for name in before if name.removeprefix(f"{prefix}-") not in GUESTS
    }
    assert {name: shown for name, shown in others.items() if shown != NOTHING} == {
        f"{prefix}-net": frozenset({"stopped"}),
        f"{prefix}-deleted": None,
    }
    stack.refresh()
    assert stack.resources().keys() == found.keys()
    assert {name: told(found[name], now) for name, now in stack.resources().items()} == {
        name: frozenset(key for key in CALLS_FOR_UPDATE if key in entry["outputs"]) for name, entry in found.items()
    }, "every refresh tells the same"

    text = stack.preview(program).text
    assert f"{prefix}-managedsave-running: powerState stopped → running, live: resumed from its saved memory" in text
    assert "replace" not in text
    said = stack.up_fails(program)
    assert f"guest '{prefix}-imposter-stopped' exists already and Kiln did not make it" in " ".join(said.split())
    assert (inventory.uuid(imposter.name()), imposter.isActive()) == (imposter.UUIDString(), 0)
    imposter.undefine()
    stack.up(program)
    assert stack.preview(program).changed == {}
    assert stack.refresh().changed == {}
    _assert_as_made(inventory, prefix, uuids)


def _assert_as_made(inventory: Inventory, prefix: str, uuids: dict[str, str]) -> None:
    for name, (row, power) in GUESTS.items():
        guest = f"{prefix}-{name}"
        domain, live = inventory.domain(guest), power == "running"
        assert domain.UUIDString() == uuids[name] or row.seen is None, name
        assert (domain.isActive(), domain.autostart(), domain.isPersistent()) == (live, 0, 1), name
        for one in {False, live}:
            xml = inventory.xml(guest, live=one)
            assert xml.findtext("memory") == str(128 << 10), name
            assert xml.findtext("vcpu") == str(row.inputs.get("vcpus", 1)), name
            assert len(xml.findall("devices/interface")) == len(row.inputs.get("networks", [])), name
            disks = inventory.disks(guest, live=one)
            assert ("vdb" in disks) == ("disks" in row.inputs), name
            assert "disks" not in row.inputs or disks["sdb"]["file"].endswith(f"/{prefix}-cd"), name


def test_a_guest_starts_with_a_root_disk_that_nobody_was_let_read(
    stack: Stack, program: Program, prefix: str, inventory: Inventory
) -> None:
    """libvirt labels disks itself, so no mode of a volume is anything that Kiln manages."""
    inventory.domain(f"{prefix}-chmod-running").destroy()
    stack.refresh()
    assert stack.up(program).changed == {"update": 1}
    assert inventory.running(f"{prefix}-chmod-running")


def test_a_stopped_pool_is_an_error_with_the_command_and_nothing_in_it_is_gone(
    stack: Stack, program: Program, prefix: str, inventory: Inventory, pool: TestPool
) -> None:
    before = stack.resources()
    inventory.connection.storagePoolLookupByName(pool.name).destroy()
    said = " ".join(stack.refresh_fails().split())
    assert f"storage pool '{pool.name}' is not active. Next: start it (virsh -c 'qemu:///system' pool-start" in said
    after = stack.resources()
    assert {name: told(before[name], after.get(name)) for name in before} == dict.fromkeys(before, NOTHING)
    inventory.connection.storagePoolLookupByName(pool.name).create()
    assert stack.refresh().changed == {}
    assert stack.preview(program).changed == {}


def test_a_guest_with_snapshots_of_others_is_deleted_and_they_are_told(
    stack: Stack, program: Program, prefix: str, inventory: Inventory, pool: TestPool
) -> None:
    overlay = pool.directory / f"{prefix}-snapshot-running-root.theirs"
    assert overlay.exists()
    inventory.domain(f"{prefix}-suspend-running").managedSave(0)
    said = " ".join(stack.destroy().text.split())
    assert f"{overlay} stays on" in said
    assert f"with guest '{prefix}-snapshot-stopped' go its snapshots: theirs" in said
    overlay.unlink()
