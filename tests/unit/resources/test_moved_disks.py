"""What a refresh makes of disks that have moved, and guests that run with others than their definition has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from kiln.framework.context import Context
from kiln.framework.operations import Outcome
from kiln.ports.domains import DomainDisk
from kiln.ports.marks import Mark
from kiln.ports.volumes import VolumeRef

from tests.unit.resources.moving import FAST, guest, place
from tests.unit.resources.world import POOL, World, plain, play, seen, start_again, steady


@pytest.fixture
def reads(world: World, monkeypatch: pytest.MonkeyPatch) -> Counter[VolumeRef]:
    """How often each mark is read from here on."""
    volumes, found = world.node.volumes, Counter[VolumeRef]()
    read, all_of = volumes.read_mark, volumes.marks

    def one(ctx: Context, ref: VolumeRef) -> Mark | None:
        mark = read(ctx, ref)
        found[ref] += 1
        return mark

    def many(ctx: Context, pool: str) -> Sequence[tuple[VolumeRef, Mark]]:
        marks = all_of(ctx, pool)
        found.update(ref for ref, _ in marks)
        return marks

    monkeypatch.setattr(volumes, "read_mark", one)
    monkeypatch.setattr(volumes, "marks", many)
    return found


@pytest.mark.parametrize("moved", ["nowhere", "to another pool", "out of a pool that is gone"])
def test_a_refresh_of_many_disks_reads_each_mark_once(world: World, reads: Counter[VolumeRef], moved: str) -> None:
    world.node.volumes.ensure_pool(world.context(), FAST, None)
    disks = [world.create("Disk", f"data{number}", size="1MiB") for number in range(5)]
    if moved != "nowhere":
        disks = [world.update("Disk", disk, pool=FAST) for disk in disks]
    if moved == "out of a pool that is gone":
        del world.node.volumes.named[POOL]
    reads.clear()
    assert all(world.read("Disk", disk) is not None for disk in disks)
    pools = {"nowhere": [POOL], "to another pool": [POOL, FAST]}.get(moved, [FAST])
    assert reads == {VolumeRef(pool, f"data{number}"): 1 for pool in pools for number in range(5)}


def test_a_disk_that_went_on_from_where_it_was_seen_is_found(world: World, disk: Outcome) -> None:
    world.node.volumes.ensure_pool(world.context(), "slow", None)
    seen = world.update("Disk", disk, pool=FAST)
    del world.node.volumes.named[POOL]
    world.update("Disk", seen, pool="slow")
    found = world.read("Disk", seen)
    assert found is not None
    assert plain(found)["pool"] == "slow"


def deferred(world: World, *disks: Outcome) -> Outcome:
    """A running guest that is not to be restarted and has no room for more disks."""
    made = world.create("Server", "web", disks=[disk.id for disk in disks], networks=[], restartPolicy="deferred")
    play(world, made, free_slots=0)
    return made


def paths(disks: Sequence[DomainDisk]) -> list[str | None]:
    return [disk.path for disk in disks]


def live(world: World) -> list[str | None]:
    running = guest(world).live
    assert running is not None
    return paths(running.disks)


def test_a_disk_moves_that_a_guest_gets_when_it_starts_again(world: World, disk: Outcome) -> None:
    made = world.update("Server", deferred(world), disks=[disk.id])
    assert (made.state["pendingRestart"], live(world)) == (["disks"], [])
    world.update("Disk", disk, pool=FAST)
    there = place(world, VolumeRef(FAST, "data"))
    assert (paths(guest(world).disks), live(world)) == ([there], [])
    assert steady(world, made)
    start_again(world, made)
    assert live(world) == [there]
    assert steady(world, seen(world, made))


def test_a_disk_moves_that_a_guest_has_until_it_starts_again(world: World, disk: Outcome) -> None:
    others = [world.create("Disk", name, size="1MiB") for name in ("one", "two")]
    made = deferred(world, disk)
    wanted: dict[str, Any] = {"disks": [other.id for other in others]}
    made = world.update("Server", made, **wanted)
    defined = paths(guest(world).disks)
    assert (len(defined), made.state["pendingRestart"]) == (2, ["disks"])
    world.update("Disk", disk, pool=FAST)
    assert (paths(guest(world).disks), live(world)) == (defined, [place(world, VolumeRef(FAST, "data"))])
    assert steady(world, made)
    start_again(world, made)
    assert live(world) == defined
    assert steady(world, seen(world, made))
