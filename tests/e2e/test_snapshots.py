"""Snapshots of real guests: taken with memory and without, gone back to, left alone when they are others', and gone."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import libvirt
import pulumi_kiln as kiln
import pytest

from tests.e2e.conftest import TestPool
from tests.e2e.guests import tiny_image, tiny_server
from tests.e2e.inventory import Inventory
from tests.e2e.stacks import Program, Stack
from tools.guests import GuestImage

BOOTED = "Cloud-init v. tiny finished"

Make = Callable[..., Program]


@pytest.fixture(scope="module")
def make(prefix: str, tiny_guest: GuestImage) -> Make:
    def make(*snapshots: str, power: str = "running", firmware: str = "bios", **inputs: Any) -> Program:
        """A guest with a disk of its own, and snapshots of it, the last of which is given the inputs."""

        def program() -> None:
            image = tiny_image(f"{prefix}-image", tiny_guest)
            data = kiln.Disk(f"{prefix}-data", size="8MiB")
            given: dict[str, Any] = {"disks": [data.id], "wait_for": "firstBoot"}
            web = tiny_server(f"{prefix}-web", image.id, power_state=power, firmware=firmware, **given)
            for name in snapshots:
                given = inputs if name == snapshots[-1] else {}
                kiln.Snapshot(f"{prefix}-{name}", name=name, server=web.id, **given)

        return program

    return make


@pytest.fixture(scope="module")
def stack(stacks: Callable[..., Stack]) -> Stack:
    return stacks()


@pytest.fixture(scope="module")
def data(pool: TestPool, prefix: str) -> Path:
    return pool.directory / f"{prefix}-data"


def write(data: Path, byte: int) -> None:
    """What a guest that is off now has written."""
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", f"write -P {byte} 0 512", data], capture_output=True, check=True)


def holds(data: Path, byte: int) -> bool:
    command = ["qemu-io", "-U", "-r", "-f", "qcow2", "-c", f"read -P {byte} 0 512", str(data)]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    assert "read 512/512" in told
    return "verification failed" not in told


def tags(file: Path) -> set[str]:
    command = ["qemu-img", "snapshot", "-U", "-l", str(file)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[2:]
    return {line.split()[1] for line in lines}


def boots(stack: Stack, prefix: str) -> int:
    """How often the guest has booted."""
    log = Path(stack.resources()[f"{prefix}-web"]["outputs"]["console"]["logPath"])
    return log.read_text(errors="replace").count(BOOTED)


def test_a_snapshot_is_previewed_and_made_with_its_server(
    stack: Stack, make: Make, prefix: str, inventory: Inventory
) -> None:
    assert stack.preview(make("fresh", description="one")).changed == {"create": 5}
    assert inventory.named(prefix)["domains"] == set()
    stack.up(make("fresh", description="one"))
    domain = inventory.domain(f"{prefix}-web")
    assert domain.snapshotListNames() == ["fresh"]
    assert "<state>running</state>" in domain.snapshotLookupByName("fresh").getXMLDesc()
    made = stack.resources()[f"{prefix}-fresh"]
    assert made["id"] == f"{inventory.uuid(f'{prefix}-web')}/fresh"
    assert made["outputs"]["state"] == "running"
    for _ in range(2):
        assert stack.refresh().changed == {}
    assert stack.preview(make("fresh", description="one")).changed == {}


def test_a_description_changes_under_the_guest(stack: Stack, make: Make, prefix: str, inventory: Inventory) -> None:
    ran = inventory.domain(f"{prefix}-web").ID()
    assert stack.up(make("fresh", description="two")).changed == {"update": 1}
    domain = inventory.domain(f"{prefix}-web")
    assert "<description>two</description>" in domain.snapshotLookupByName("fresh").getXMLDesc()
    assert domain.ID() == ran


def test_going_back_says_what_it_discards_and_the_guest_runs_on_from_then(
    stack: Stack, make: Make, prefix: str, inventory: Inventory, data: Path, pool: TestPool
) -> None:
    changed = make("fresh", description="two", revert="after the bad import")
    booted = boots(stack, prefix)
    created = stack.resources()[f"{prefix}-fresh"]["outputs"]["created"]
    disks = f"'{pool.name}/{prefix}-web-root', '{pool.name}/{prefix}-data'"
    preview = stack.preview(changed)
    assert preview.changed == {"update": 1}
    assert f"discards what the guest '{prefix}-web' wrote to {disks} since {created}" in preview.text
    assert "and what is in its memory; it runs on from then" in preview.text
    inventory.domain(f"{prefix}-web").destroy()
    write(data, 7)
    stack.up(changed)
    assert inventory.running(f"{prefix}-web")
    assert not holds(data, 7)
    assert boots(stack, prefix) == booted
    for _ in range(2):
        assert stack.refresh().changed == {}
    assert stack.preview(changed).changed == {}


def test_a_snapshot_that_cannot_be_kept_is_refused_with_what_to_do(stack: Stack, make: Make, prefix: str) -> None:
    told = stack.up_fails(make("fresh", "cold", memory=False))
    assert f"the guest '{prefix}-web' runs, and a snapshot of it holds its memory" in told
    assert "shut the guest down first" in told


def test_a_guest_is_started_again_from_disks_that_were_kept_while_it_was_off(
    stack: Stack, make: Make, prefix: str, inventory: Inventory, data: Path
) -> None:
    stack.up(make("fresh", power="stopped"))
    write(data, 1)
    stack.up(make("fresh", "cold", power="stopped", memory=False))
    write(data, 2)
    stack.up(make("fresh", "cold", memory=False))
    assert holds(data, 2)
    booted = boots(stack, prefix)
    assert "it is started again" in stack.preview(make("fresh", "cold", memory=False, revert="once")).text
    stack.up(make("fresh", "cold", memory=False, revert="once"))
    assert holds(data, 1)
    assert inventory.running(f"{prefix}-web")
    assert boots(stack, prefix) >= booted
    assert stack.refresh().changed == {}


def test_a_snapshot_of_others_is_no_drift_and_stays_when_kilns_is_deleted(
    stack: Stack, make: Make, prefix: str, inventory: Inventory, data: Path
) -> None:
    domain = inventory.domain(f"{prefix}-web")
    domain.snapshotCreateXML("<domainsnapshot><name>theirs</name></domainsnapshot>", 0)
    assert stack.refresh().changed == {}
    assert stack.up(make("fresh")).changed == {"delete": 1}
    assert sorted(domain.snapshotListNames()) == ["fresh", "theirs"]
    domain.snapshotLookupByName("fresh").delete(0)
    assert stack.refresh().changed == {"delete": 1}
    assert stack.up(make("fresh")).changed == {"create": 1}
    assert stack.up(make()).changed == {"delete": 1}
    assert domain.snapshotListNames() == ["theirs"]
    assert tags(data) == {"theirs"}
    domain.snapshotLookupByName("theirs").delete(0)


def test_a_snapshot_whose_guest_was_undefined_is_gone_and_what_its_disks_hold_is_not_mistaken_for_a_new_one(
    stack: Stack, make: Make, prefix: str, inventory: Inventory, data: Path, pool: TestPool
) -> None:
    stack.up(make("fresh"))
    domain = inventory.domain(f"{prefix}-web")
    domain.destroy()
    domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA)
    stack.refresh()
    assert not {f"{prefix}-web", f"{prefix}-fresh"} & stack.resources().keys()
    told = stack.up_fails(make("fresh"))
    assert f"the disk '{pool.name}/{prefix}-web-root' holds a snapshot 'fresh' already" in told
    assert tags(data) == {"fresh"}
    stack.up(make("again"))
    assert inventory.domain(f"{prefix}-web").snapshotListNames() == ["again"]


def test_a_server_is_replaced_after_its_snapshot_and_the_new_one_gets_its_own(
    stack: Stack, make: Make, prefix: str, inventory: Inventory, data: Path
) -> None:
    before = inventory.uuid(f"{prefix}-web")
    assert stack.up(make("again", firmware="efi", power="stopped")).changed == {"replace": 2}
    assert inventory.uuid(f"{prefix}-web") != before
    assert inventory.domain(f"{prefix}-web").snapshotListNames() == ["again"]
    assert tags(data) == {"again", "fresh"}


def test_a_destroy_leaves_nothing(stack: Stack, prefix: str, inventory: Inventory, pool: TestPool) -> None:
    stack.destroy()
    assert inventory.named(prefix)["domains"] == set()
    assert not [file for file in pool.files() if prefix in file]
