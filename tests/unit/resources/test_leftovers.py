"""What gc finds, and what it never touches."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from kiln.framework.operations import Outcome
from kiln.ports.marks import Mark
from kiln.ports.volumes import VolumeRef
from kiln.resources import leftovers
from kiln.resources.ownership import new_mark
from kiln.transfer.upload import temporary_name

from tests.unit.resources.world import POOL, World


def found(world: World, known: set[str] | None = None) -> dict[str, str]:
    items = leftovers.find(world.context(), world.node, POOL, known)
    return {item.id: item.why for item in items}


def remove_all(world: World, known: set[str] | None = None) -> None:
    for item in leftovers.find(world.context(), world.node, POOL, known):
        item.remove(world.context())


def unfinished(mark: Mark | None) -> Mark:
    """The mark as an operation that died long ago would have left it."""
    assert mark is not None
    return replace(mark, phase="creating", holder=None)


@pytest.fixture
def full(world: World) -> dict[str, Outcome]:
    image = world.create("Image", "base", source=world.raw(), kernel=world.raw("k"))
    disk = world.create("Disk", "data", size="1MiB")
    server = world.create("Server", "web", image=image.id, disks=[disk.id], powerState="stopped")
    return {"image": image, "disk": disk, "server": server}


def test_on_a_node_in_use_nothing_is_left_over(world: World, full: dict[str, Outcome]) -> None:
    assert found(world) == {}
    assert found(world, {made.id for made in full.values()}) == {}


def test_what_a_living_operation_makes_is_not_left_over(world: World, full: dict[str, Outcome]) -> None:
    ref = VolumeRef(POOL, "data")
    world.node.volumes.write_mark(world.context(), ref, new_mark(world.context(), "disk"))
    assert found(world) == {}


def test_what_a_dead_operation_left_is_found_and_removed(world: World, full: dict[str, Outcome]) -> None:
    ctx, volumes = world.context(), world.node.volumes
    ref = VolumeRef(POOL, "lost")
    volumes.create(ctx, ref, format="raw", virtual_size=1024)
    mark = replace(new_mark(ctx, "disk"), holder=None)
    volumes.write_mark(ctx, ref, mark)
    directory = volumes.local_directory(ctx, POOL)
    assert directory is not None
    (half := directory / temporary_name(mark, ref)).write_bytes(b"half of it")
    assert found(world) == {"kiln/lost": "an operation that died left it unfinished"}
    before = world.inventory()["volumes"]
    remove_all(world)
    assert world.inventory()["volumes"] == before - {"kiln/lost"}
    assert not half.exists()
    assert found(world) == {}


def test_an_unfinished_guest_goes_with_its_own_volumes(world: World, full: dict[str, Outcome]) -> None:
    ctx = world.context()
    server = full["server"]
    domain = world.node.domains.get(ctx, server.id)
    world.node.domains.set_mark(ctx, server.id, unfinished(domain.mark))
    assert set(found(world)) == {server.id}
    remove_all(world)
    assert world.inventory()["guests"] == {}
    assert world.inventory()["volumes"] == {"kiln/base", "kiln/base.kernel", "kiln/data"}


def test_finished_objects_are_left_over_only_when_no_given_stack_holds_them(
    world: World, full: dict[str, Outcome]
) -> None:
    known = {full["image"].id}
    assert set(found(world, known)) == {full["server"].id}, "a disk that a guest uses goes with the guest"
    remove_all(world, known)
    assert set(found(world, known)) == {"kiln/data"}
    remove_all(world, known)
    assert world.inventory()["volumes"] == {"kiln/base", "kiln/base.kernel"}


def test_an_image_takes_its_kernel_with_it(world: World) -> None:
    world.create("Image", "base", source=world.raw(), kernel=world.raw("k"))
    remove_all(world, set())
    assert world.inventory() == {"guests": {}, "volumes": set(), "marks": {}}


def test_a_seed_without_its_guest_and_a_kernel_without_its_image_are_found(
    world: World, full: dict[str, Outcome]
) -> None:
    ctx = world.context()
    world.node.domains.undefine(ctx, full["server"].id)
    assert found(world) == {"kiln/web-seed": "no guest reads this seed"}
    remove_all(world)
    world.node.volumes.delete(ctx, VolumeRef(POOL, "web-root"))
    world.node.volumes.delete_mark(ctx, VolumeRef(POOL, "web-root"))
    world.node.volumes.delete(ctx, VolumeRef(POOL, "base"))
    world.node.volumes.delete_mark(ctx, VolumeRef(POOL, "base"))
    assert found(world) == {"kiln/base.kernel": "its image is gone"}


def test_a_mark_without_its_volume_is_found(world: World, full: dict[str, Outcome]) -> None:
    world.node.volumes.write_mark(world.context(), VolumeRef(POOL, "ghost"), Mark("op", "done", role="disk"))
    assert found(world) == {"kiln/ghost": "a mark without its volume"}
    remove_all(world)
    assert found(world) == {}


def test_what_kiln_did_not_make_is_never_found(world: World, full: dict[str, Outcome]) -> None:
    world.node.volumes.create(world.context(), VolumeRef(POOL, "theirs"), format="raw", virtual_size=1024)
    held: set[str] = {made.id for made in full.values()}
    assert found(world, held) == {}


def test_an_image_that_others_are_built_on_is_not_removed(world: World) -> None:
    image = world.create("Image", "base", source=world.raw())
    disk = world.create("Disk", "over", image=image.id)
    items: list[Any] = leftovers.find(world.context(), world.node, POOL, {disk.id})
    (item,) = items
    with pytest.raises(Exception, match="kiln/over is an overlay"):
        item.remove(world.context())


def test_a_pool_that_is_not_there_holds_nothing(world: World) -> None:
    assert leftovers.find(world.context(), world.node, "no-such-pool", None) == []
