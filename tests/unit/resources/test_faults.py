"""A fault at every step of every create: nothing is left, or what is left is told; and the next run converges."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kiln.firstboot.metadata import TOKEN
from kiln.framework.operations import Partial
from kiln.resources.server.storage import instance_id

from tests.fakes.memory_domains import MemoryGuest
from tests.unit.resources.world import Injected, Steps, World

Scenario = tuple[str, Callable[[World], dict[str, Any]]]


def server_with_everything(world: World) -> dict[str, Any]:
    image = world.create("Image", "base", source=world.raw(), kernel=world.raw("k"), initrd=world.raw("i"))
    disk = world.create("Disk", "data", size="1MiB")
    cd = world.create("Disk", "cd", source=world.iso())
    return {"image": image.id, "disks": [disk.id, cd.id], "autostart": True, "graphics": "vnc", "diskSize": "8MiB"}


def server_without_image(world: World) -> dict[str, Any]:
    return {"disks": [world.create("Disk", "data", size="1MiB").id]}


SCENARIOS: dict[str, Scenario] = {
    "node": ("Node", lambda world: {"storagePool": {"name": "kiln"}}),
    "image": ("Image", lambda world: {"source": world.raw()}),
    "image_with_kernel": (
        "Image",
        lambda world: {"source": world.raw(), "kernel": world.raw("k"), "initrd": world.raw("i")},
    ),
    "blank_disk": ("Disk", lambda world: {"size": "1MiB"}),
    "disk_from_source": ("Disk", lambda world: {"source": world.raw(), "size": "2MiB"}),
    "cd": ("Disk", lambda world: {"source": world.iso()}),
    "linked_disk": ("Disk", lambda world: {"image": world.create("Image", "base", source=world.raw()).id}),
    "full_disk": ("Disk", lambda world: {"image": world.create("Image", "b", source=world.raw()).id, "clone": "full"}),
    "network": ("Network", lambda world: {"addresses": ["10.17.3.0/24"], "autostart": False}),
    "snapshot": ("Snapshot", lambda world: {"server": world.create("Server", "web", **server_without_image(world)).id}),
    "server": ("Server", server_with_everything),
    "server_stopped": ("Server", lambda world: {**server_with_everything(world), "powerState": "stopped"}),
    "server_waited_for": ("Server", lambda world: {**server_with_everything(world), "waitFor": "firstBoot"}),
    "server_without_image": ("Server", server_without_image),
}


def fresh(tmp_path: Path, number: int, local: bool = True) -> World:
    files = tmp_path / str(number)
    files.mkdir()
    world = World(files, local=local)
    world.node.domains.newborn = boots
    return world


def boots(guest: MemoryGuest) -> None:
    """Every guest says that its first boot has ended."""
    guest.says = f"\r\n{TOKEN} {instance_id(guest.domain.uuid)} done\r\n".encode()


def told(world: World, kind: str, fault: tuple[str, str], inputs: dict[str, Any]) -> Injected | Partial:
    """The error of a create in which ``fault`` was injected."""
    with pytest.raises((Injected, Partial)) as caught:
        world.create(kind, "it", Steps(fault), **inputs)
    error = caught.value
    assert isinstance(error, Injected | Partial)
    return error


@pytest.mark.parametrize("local", [True, False], ids=["local_pool", "remote_pool"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_fault_at_any_step_of_a_create_leaves_nothing_or_tells_what_is_left(
    tmp_path: Path, scenario: str, local: bool
) -> None:
    kind, inputs_of = SCENARIOS[scenario]
    world = fresh(tmp_path, 0, local)
    seen = Steps()
    world.create(kind, "it", seen, **inputs_of(world))
    assert len(seen.seen) >= 2

    for number, fault in enumerate(seen.seen, start=1):
        world = fresh(tmp_path, number, local)
        inputs = inputs_of(world)
        before = world.inventory()
        error = told(world, kind, fault, inputs)
        if isinstance(error, Partial):
            assert "a fault was injected" in " ".join(error.reasons)
            assert world.read(kind, error.outcome) is not None
            assert "creating" not in world.inventory()["marks"].values()
            world.restart()
            made = world.update(kind, error.outcome)
            assert made.id == error.outcome.id
        else:
            assert error.step == fault[1]
            assert world.inventory() == before, f"left after a fault {fault}"
            world.restart()
            made = world.create(kind, "it", **inputs)
        found = world.read(kind, made)
        assert found is not None
        assert found.inputs == world.inputs(kind, made)
        assert set(world.inventory()["marks"].values()) <= {"done"}
        world.delete(kind, made)
        assert world.inventory() == before


def test_only_the_define_step_and_what_follows_make_a_partial_create(tmp_path: Path) -> None:
    kind, inputs_of = SCENARIOS["server"]
    world = fresh(tmp_path, 0)
    seen = Steps()
    world.create(kind, "it", seen, **inputs_of(world))
    names = [step for when, step in seen.seen if when == "after"]
    kept = names.index("define domain")
    for number, step in enumerate(names, start=1):
        world = fresh(tmp_path, number)
        inputs = inputs_of(world)
        expected: type[Exception] = Partial if number - 1 > kept else Injected
        with pytest.raises(expected):
            world.create(kind, "it", Steps(("before", step)), **inputs)
