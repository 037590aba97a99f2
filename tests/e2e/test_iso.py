"""ISOs: recognised by their bytes, attached as CDs, booted before the hard disks."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi_kiln as kiln
import pytest

from tests.e2e.inventory import Inventory
from tests.e2e.stacks import Stack
from tests.e2e.waiting import wait_for_line
from tools.guests import GuestImage


@pytest.fixture(scope="module")
def stack(
    stacks: Callable[..., Stack], prefix: str, tiny_guest: GuestImage, tmp_path_factory: pytest.TempPathFactory
) -> Stack:
    """A guest with a CD between its disks, and one with the same disks and no CD; both have nothing else to boot."""
    assert tiny_guest.iso is not None
    misnamed: Path = tmp_path_factory.mktemp("iso") / "not-called-iso.img"
    shutil.copy(tiny_guest.iso, misnamed)

    def program() -> None:
        first = kiln.Disk(f"{prefix}-first", source=str(tiny_guest.disk))
        installer = kiln.Disk(f"{prefix}-cd", source=str(misnamed))
        second = kiln.Disk(f"{prefix}-second", size="8MiB")
        other = kiln.Disk(f"{prefix}-other", source=str(tiny_guest.disk))
        third = kiln.Disk(f"{prefix}-third", size="8MiB")
        small: dict[str, Any] = {"memory": "64MiB", "networks": [], "shutdown_timeout": 1}
        kiln.Server(f"{prefix}-with", disks=[first.id, installer.id, second.id], **small)
        kiln.Server(f"{prefix}-without", disks=[other.id, third.id], **small)

    made = stacks()
    made.up(program)
    return made


@pytest.mark.requirement("FX-54", "FX-55")
def test_an_iso_is_recognised_by_its_bytes_and_becomes_a_read_only_cd(
    stack: Stack, prefix: str, inventory: Inventory
) -> None:
    assert stack.resources()[f"{prefix}-cd"]["outputs"]["kind"] == "iso"
    (cd,) = [disk for disk in inventory.xml(f"{prefix}-with").findall("devices/disk") if disk.get("device") == "cdrom"]
    assert cd.find("source").get("file").endswith(f"/{prefix}-cd")
    assert cd.find("target").get("bus") == "scsi"
    assert cd.find("readonly") is not None


@pytest.mark.requirement("FX-47", "FX-56")
def test_the_other_disks_keep_their_order(stack: Stack, prefix: str, inventory: Inventory) -> None:
    hard = {
        target: (disk["file"] or "").rpartition("/")[2]
        for target, disk in inventory.disks(f"{prefix}-with", live=True).items()
        if disk["device"] == "disk"
    }
    assert hard == {"vda": f"{prefix}-first", "vdb": f"{prefix}-second"}


@pytest.mark.requirement("FX-57")
def test_the_boot_order_is_the_cd_and_then_the_disks_in_order(stack: Stack, prefix: str, inventory: Inventory) -> None:
    disks = inventory.disks(f"{prefix}-with")
    ordered = sorted(disks, key=lambda target: int(disks[target]["order"]))
    assert [disks[target]["device"] for target in ordered] == ["cdrom", "disk", "disk"]
    assert ordered[1:] == ["vda", "vdb"]
    assert stack.resources()[f"{prefix}-with"]["outputs"]["bootOrder"] == ordered


@pytest.mark.requirement("FX-57")
def test_the_guest_really_boots_the_cd(stack: Stack, prefix: str) -> None:
    console = stack.resources()[f"{prefix}-with"]["outputs"]["console"]
    assert "KILN ISO" in wait_for_line(Path(console["logPath"]), "KILN")


@pytest.mark.requirement("FX-24", "FX-27", "FX-57")
def test_without_an_iso_there_is_no_cd_and_the_first_disk_boots(
    stack: Stack, prefix: str, inventory: Inventory
) -> None:
    disks = inventory.disks(f"{prefix}-without")
    assert {disk["device"] for disk in disks.values()} == {"disk"}
    outputs = stack.resources()[f"{prefix}-without"]["outputs"]
    assert outputs["bootOrder"] == ["vda", "vdb"]
    assert "KILN DISK" in wait_for_line(Path(outputs["console"]["logPath"]), "KILN")


def test_an_iso_cannot_be_a_root_disk(stacks: Callable[..., Stack], prefix: str, tiny_guest: GuestImage) -> None:
    def program() -> None:
        image = kiln.Image(f"{prefix}-iso-image", source=str(tiny_guest.iso))
        kiln.Server(f"{prefix}-root", image=image.id)

    stack = stacks()
    text = stack.up_fails(program)
    assert "holds an ISO" in text
    assert "make a Disk from it" in text
