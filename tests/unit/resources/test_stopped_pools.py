"""A storage pool that somebody stopped, or that is gone: what is in it is not told to be gone, and `up` starts it."""

from __future__ import annotations

import pytest
from kiln.framework.errors import KilnError, NotFound
from kiln.framework.operations import Outcome
from kiln.ports.volumes import VolumeRef

from tests.unit.resources.world import POOL, World


@pytest.fixture
def made(world: World) -> dict[str, Outcome]:
    """A node, an image, a disk and two servers that have them."""
    host, image = world.create("Node", "host"), world.create("Image", "base", source=world.raw())
    disk = world.create("Disk", "data", size="1MiB")
    web = world.create("Server", "web", image=image.id, disks=[disk.id])
    off = world.create("Server", "off", image=image.id, powerState="stopped")
    return {"Node": host, "Image": image, "Disk": disk, "Server": web, "off": off}


def stop(world: World) -> None:
    world.node.volumes.named[POOL].active = False


@pytest.mark.parametrize("kind", ["Image", "Disk"])
def test_an_image_or_disk_in_a_stopped_pool_is_an_error_and_not_gone(
    world: World, made: dict[str, Outcome], kind: str
) -> None:
    stop(world)
    with pytest.raises(KilnError, match="is not active") as caught:
        world.read(kind, made[kind])
    assert not isinstance(caught.value, NotFound)


@pytest.mark.parametrize("which", ["Server", "off"])
def test_a_server_whose_disks_are_in_a_stopped_pool_has_not_drifted(
    world: World, made: dict[str, Outcome], which: str
) -> None:
    stop(world)
    found = world.read("Server", made[which])
    assert found is not None
    assert found.state == made[which].state


def test_a_root_disk_under_another_name_in_a_stopped_pool_is_not_told_to_be_lost(
    world: World, made: dict[str, Outcome]
) -> None:
    """It is found by its mark, which nobody can read now: a replacement would delete it."""
    web = made["Server"]
    taken = Outcome(web.id, {**web.state, "name": "other"})
    stop(world)
    with pytest.raises(KilnError, match="does not run, so nothing is known") as caught:
        world.read("Server", taken)
    assert f"pool-start {POOL})" in str(caught.value)


def test_a_stopped_pool_is_told_of_the_node_and_started_by_the_next_run(world: World, made: dict[str, Outcome]) -> None:
    stop(world)
    found = world.read("Node", made["Node"])
    assert found is not None
    assert found.state == {**made["Node"].state, "stoppedPool": POOL}
    (change,) = world.diff("Node", found).changes
    assert str(change) == f"stoppedPool {POOL} → none, live: the storage pool was stopped, and is started again"
    updated = world.update("Node", found)
    assert world.node.volumes.pool(world.context(), POOL).active
    assert updated.state == made["Node"].state


def test_a_disk_that_is_deleted_is_drift_of_the_disk_alone(world: World, made: dict[str, Outcome]) -> None:
    """The guest still has its name: made anew it is found where it was."""
    world.node.volumes.delete(world.context(), VolumeRef(POOL, "data"))
    assert world.read("Disk", made["Disk"]) is None
    found = world.read("Server", made["Server"])
    assert found is not None
    assert found.state == made["Server"].state
