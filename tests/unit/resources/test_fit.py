"""Servers that their node cannot run: refused before anything is done to them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from kiln.framework import operations
from kiln.framework.context import Context
from kiln.framework.errors import InputError, InputErrors, KilnError, Unreachable
from kiln.framework.model import parse
from kiln.framework.operations import Outcome, Partial
from kiln.framework.values import UNKNOWN
from kiln.ports.volumes import VolumeRef
from kiln.resources.server.model import ServerInputs
from kiln.resources.server.storage import plan_root

from tests.unit.resources.world import POOL, URI, Steps, World

TOO_MUCH = [
    ({"memory": "5GiB"}, "memory"),
    ({"vcpus": 256}, "vcpus"),
    ({"platformConfig": {"machine": "pcx"}}, "platformConfig.machine"),
]
BOOT = {"kernel": "/boot/vmlinuz", "initrd": "/boot/initrd"}


@pytest.fixture
def running(world: World) -> Outcome:
    return world.create("Server", "it", disks=[], networks=[])


@pytest.mark.parametrize(("inputs", "path"), TOO_MUCH)
def test_more_than_the_node_has_is_refused_in_a_check(world: World, inputs: dict[str, Any], path: str) -> None:
    with pytest.raises(InputErrors) as caught:
        world.check("Server", "it", {"disks": [], **inputs})
    assert [error.path for error in caught.value.errors] == [path]


@pytest.mark.parametrize(("inputs", "path"), TOO_MUCH)
def test_more_than_the_node_has_is_refused_before_an_update_touches_the_guest(
    world: World, running: Outcome, inputs: dict[str, Any], path: str
) -> None:
    """Also where the check could not ask the node."""
    before, old = dict(world.node.domains.guests), world.inputs("Server", running)
    with pytest.raises(InputError) as caught:
        operations.update(world.context(), world.resources["Server"], running.id, running.state, old, {**old, **inputs})
    assert caught.value.path == path
    assert world.node.domains.guests == before
    assert world.node.domains.get(world.context(), running.id).state == "running"


def test_an_image_for_another_architecture_is_refused_at_image(world: World, running: Outcome) -> None:
    """Such as one in a pool that nodes of two architectures share."""
    image, ref = world.create("Image", "base", source=world.raw(), architecture="x86_64").id, VolumeRef(POOL, "base")
    server, old = world.resources["Server"], world.inputs("Server", running)
    inputs = world.check("Server", "other", {"image": image})
    mark = world.node.volumes.read_mark(world.context(), ref)
    assert mark is not None
    world.node.volumes.write_mark(world.context(), ref, replace(mark, info={**mark.info, "architecture": "aarch64"}))
    before = world.inventory()
    with pytest.raises(InputErrors, match="is for aarch64 and memory:///node is x86_64") as caught:
        world.check("Server", "other", {"image": image})
    assert [error.path for error in caught.value.errors] == ["image"]
    with pytest.raises(InputError, match="aarch64") as of_create:
        operations.create(world.context(), server, inputs)
    with pytest.raises(InputError, match="aarch64") as of_update:
        operations.update(world.context(), server, running.id, running.state, old, {**old, "image": image})
    assert (of_create.value.path, of_update.value.path) == ("image", "image")
    assert world.inventory() == before


def test_an_image_that_is_not_there_yet_or_states_no_architecture_fits(world: World) -> None:
    world.check("Server", "it", {"image": "kiln/made-in-this-run"})
    world.check("Server", "it", {"image": "nowhere/made-in-this-run"})
    world.check("Server", "it", {"image": world.create("Image", "base", source=world.raw()).id})


def test_several_guests_may_have_more_together_than_the_node_has(world: World) -> None:
    for index in range(3):
        world.create("Server", f"it{index}", disks=[], networks=[], memory="4GiB")


def test_what_a_guest_has_already_is_not_refused(world: World, running: Outcome) -> None:
    """Such as one made before its node lost memory."""
    old = {**world.inputs("Server", running), "memory": "5GiB", "vcpus": 300}
    world.check("Server", "it", {**old, "description": "new"}, old)
    with pytest.raises(InputErrors):
        world.check("Server", "it", {**old, "memory": "6GiB"}, old)


def test_what_is_not_known_is_not_compared(world: World) -> None:
    for unknown in ({"memory": UNKNOWN}, {"vcpus": UNKNOWN}, {"platformConfig": {"machine": UNKNOWN}}):
        world.check("Server", "it", {"disks": [], **unknown})


@pytest.mark.parametrize("error", [Unreachable("could not connect"), KilnError("access denied")], ids=repr)
def test_a_check_passes_without_the_node_and_asks_a_silent_one_once(
    world: World, monkeypatch: pytest.MonkeyPatch, error: KilnError
) -> None:
    asked: list[str] = []

    def silent(_ctx: Context, uri: str) -> None:
        asked.append(uri)
        raise error

    monkeypatch.setattr(world.nodes, "get", silent)
    for name in ("a", "b"):
        world.check("Server", name, {"disks": [], "memory": "5TiB"})
    assert asked == [URI]


def test_a_node_that_answers_half_is_no_reason_to_fail_a_check(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise KilnError("could not read what the node is")

    monkeypatch.setattr(world.node, "facts", broken)
    world.check("Server", "it", {"disks": [], "memory": "5TiB"})


@pytest.mark.parametrize("name", ["kernel", "initrd"])
def test_a_boot_file_that_is_not_there_is_refused_before_anything_is_made_or_changed(
    world: World, running: Outcome, name: str
) -> None:
    world.node.absent_files.add(BOOT[name])
    before = dict(world.node.domains.guests), world.inventory()
    with pytest.raises(InputError) as of_create:
        world.create("Server", "other", disks=[], boot=BOOT)
    with pytest.raises(InputError) as of_update:
        world.update("Server", running, boot=BOOT)
    assert (of_create.value.path, of_update.value.path) == (f"boot.{name}", f"boot.{name}")
    assert (dict(world.node.domains.guests), world.inventory()) == before


def test_a_boot_file_may_be_made_by_the_program_and_so_is_not_looked_for_in_a_check(world: World) -> None:
    world.node.absent_files.add(BOOT["kernel"])
    world.check("Server", "it", {"disks": [], "boot": BOOT})


def test_a_command_line_is_refused_before_anything_is_made_or_changed_where_the_image_has_no_kernel(
    world: World,
) -> None:
    image = world.create("Image", "base", source=world.raw()).id
    running = world.create("Server", "it", image=image)
    before, steps = (dict(world.node.domains.guests), world.inventory()), Steps()
    with pytest.raises(InputError) as of_create:
        world.create("Server", "other", steps, image=image, boot={"cmdline": "quiet"})
    with pytest.raises(InputError) as of_update:
        world.update("Server", running, steps, boot={"cmdline": "quiet"})
    assert (of_create.value.path, of_update.value.path) == ("boot.cmdline", "boot.cmdline")
    assert (dict(world.node.domains.guests), world.inventory()) == before
    assert steps.seen == []


def test_a_command_line_is_taken_by_the_kernel_that_the_image_brings(world: World) -> None:
    image = world.create("Image", "base", source=world.raw(), kernel=world.raw("k"), cmdline="quiet").id
    inputs = parse(ServerInputs, world.check("Server", "it", {"image": image, "boot": {"cmdline": "debug"}}))
    planned = plan_root(world.context(), world.node.volumes, inputs)
    assert planned is not None
    assert planned.boot is not None
    assert (planned.boot.kernel.rpartition("/")[2], planned.boot.cmdline) == ("base.kernel", "debug")


def fails_to_start(world: World, monkeypatch: pytest.MonkeyPatch, error: KilnError) -> None:
    def start(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(world.node.domains, "start", start)


def test_a_guest_that_cannot_boot_from_its_kernel_is_not_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """On another machine only the start tells."""
    image = world.create("Image", "base", source=world.raw())
    before = world.inventory()
    fails_to_start(world, monkeypatch, InputError("boot.kernel", "guest 'it' cannot boot from '/boot/vmlinuz'"))
    with pytest.raises(InputError) as caught:
        world.create("Server", "it", image=image.id, boot=BOOT)
    assert caught.value.path == "boot.kernel"
    assert world.inventory() == before


def test_a_kernel_that_the_image_brought_is_told_at_the_image(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = world.create("Image", "base", source=world.raw(), kernel=world.raw("vmlinuz"))
    fails_to_start(world, monkeypatch, InputError("boot.kernel", "guest 'it' cannot boot from '/pool/base.kernel'"))
    with pytest.raises(InputError) as caught:
        world.create("Server", "it", image=image.id)
    assert caught.value.path == "image"


def test_a_guest_that_does_not_start_for_another_reason_is_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    fails_to_start(world, monkeypatch, KilnError("could not start guest 'it'"))
    with pytest.raises(Partial):
        world.create("Server", "it", disks=[], networks=[], boot=BOOT)
    assert "it" in world.inventory()["guests"]
