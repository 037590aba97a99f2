"""Taking guests into a stack that Kiln did not make: by `pulumi import`, whose program then shows nothing to do."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pulumi_kiln as kiln
import pycdlib
import pytest

from tests.e2e.conftest import TestPool
from tests.e2e.inventory import URI, Inventory
from tests.e2e.stacks import Program, Stack

DEFINITIONS = Path(__file__).parent / "foreign"
"""``cloud-image`` and ``cdrom`` are what virt-install 4.1 wrote on Debian 12, ``old-pc`` is from older tutorials."""
GUESTS = {"cloud-image": "running", "cdrom": "stopped", "old-pc": "running"}


@pytest.fixture(scope="module")
def files(pool: TestPool) -> Iterator[dict[str, Path]]:
    """The files of the guests: a disk for each, that of the cloud image an overlay, two more disks, and a CD."""
    found = {name: pool.directory / name for name in ("base", *GUESTS, "data", "more", "cidata.iso")}
    for name in ("base", "cdrom", "old-pc", "data", "more"):
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", found[name], "1M"], check=True)
    overlay = [
        "qemu-img",
        "create",
        "-q",
        "-f",
        "qcow2",
        "-F",
        "qcow2",
        "-b",
        str(found["base"]),
        str(found["cloud-image"]),
    ]
    subprocess.run(overlay, check=True)
    made = pycdlib.PyCdlib()
    made.new(vol_ident="cidata")
    made.write(str(found["cidata.iso"]))
    made.close()
    yield found
    for file in found.values():
        file.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def foreign(prefix: str, pool: TestPool, inventory: Inventory, files: dict[str, Path]) -> dict[str, str]:
    """The names of the guests by what they are; those that run have been started."""
    inventory.connection.storagePoolLookupByName(pool.name).refresh()
    names = {guest: f"{prefix}-{guest}" for guest in GUESTS}
    for guest, name in names.items():
        document = (DEFINITIONS / f"{guest}.xml").read_text()
        paths = {"disk": files[guest], "data": files["data"], "cd": files["cidata.iso"]}
        inventory.connection.defineXML(document.format(name=name, **paths))
        if GUESTS[guest] == "running":
            inventory.domain(name).create()
    return names


def seen(inventory: Inventory, names: dict[str, str]) -> dict[str, tuple[int, str, str]]:
    """All that can be seen of the guests: their process, and what they have and are to have."""
    return {
        guest: (inventory.process(name), inventory.text(name), inventory.text(name, live=GUESTS[guest] == "running"))
        for guest, name in names.items()
    }


@pytest.fixture(scope="module")
def imported(stacks: Callable[..., Stack], foreign: dict[str, str], inventory: Inventory, pool: TestPool) -> Stack:
    """A stack with the guests and a disk of theirs, by ids of every kind."""
    before = seen(inventory, foreign)
    stack: Stack = stacks()
    run = stack.imports(
        ("Server", "cloud-image", foreign["cloud-image"]),
        ("Server", "cdrom", f"{inventory.uuid(foreign['cdrom'])}@{URI}"),
        ("Server", "old-pc", inventory.uuid(foreign["old-pc"])),
        ("Disk", "data", f"{pool.name}/data@{URI}"),
    )
    assert run.changed["import"] == 4
    assert seen(inventory, foreign) == before
    return stack


def program_of(stack: Stack, **changes: list[str]) -> Program:
    """What a user writes who has imported these: what the import told of each, and ``changes`` of the old PC."""
    told = {name: (entry["type"].rpartition(":")[2], entry["inputs"]) for name, entry in stack.resources().items()}
    told["old-pc"][1].update(changes)

    def program() -> None:
        for name, (kind, inputs) in told.items():
            given = {re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", key): inputs[key] for key in inputs}
            getattr(kiln, kind)(name, **given)

    return program


@pytest.mark.requirement("CP-57", "FX-56")
def test_the_program_of_an_import_shows_nothing_to_do_and_nobody_is_restarted(
    imported: Stack, foreign: dict[str, str], inventory: Inventory, pool: TestPool
) -> None:
    stack, before = imported, seen(inventory, foreign)
    disks = {name: entry["inputs"].get("disks") for name, entry in stack.resources().items() if name != "data"}
    assert disks == {
        "cloud-image": [f"{pool.name}/cloud-image", f"{pool.name}/cidata.iso"],
        "cdrom": [f"{pool.name}/cdrom", f"{pool.name}/cidata.iso"],
        "old-pc": [f"{pool.name}/old-pc", f"{pool.name}/data", f"{pool.name}/cidata.iso"],
    }
    program = program_of(stack)
    assert stack.preview(program).changed == {}
    assert stack.up(program).changed == {}
    assert stack.refresh().changed == {}
    assert seen(inventory, foreign) == before


def test_an_imported_guest_is_given_a_disk_while_it_runs_and_its_others_stay_on_their_buses(
    imported: Stack, foreign: dict[str, str], inventory: Inventory, pool: TestPool
) -> None:
    stack, name = imported, foreign["old-pc"]
    ran, had = inventory.process(name), buses(inventory, name)
    disks = [f"{pool.name}/old-pc", f"{pool.name}/data", f"{pool.name}/more"]
    assert stack.up(program_of(stack, disks=[*disks, f"{pool.name}/cidata.iso"])).changed == {"update": 1}
    assert inventory.process(name) == ran
    assert buses(inventory, name) == {**had, "vdb": "virtio"}
    assert stack.refresh().changed == {}
    told = stack.preview(program_of(stack, disks=disks)).text
    assert "restart: a running guest does not let go of hda, graceful shutdown" in told


def buses(inventory: Inventory, name: str) -> dict[str, str]:
    """The buses of a running guest's disks by their targets."""
    return {target: disk["bus"] for target, disk in inventory.disks(name, live=True).items()}


def test_with_the_guests_go_their_definitions_and_no_disk_that_is_no_resource(
    imported: Stack, foreign: dict[str, str], inventory: Inventory, pool: TestPool
) -> None:
    for guest, power in GUESTS.items():
        if power == "running":
            inventory.domain(foreign[guest]).destroy()
    imported.destroy()
    assert not inventory.domains().intersection(foreign.values())
    assert pool.files() == {"base", *GUESTS, "more", "cidata.iso"}
