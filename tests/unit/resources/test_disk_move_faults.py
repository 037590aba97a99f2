"""A fault, a kill or a cancellation at any step of moving a disk: nothing is lost, and the next run finishes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from kiln.framework import operations
from kiln.framework.context import Context
from kiln.framework.errors import Cancelled, KilnError, Refused
from kiln.framework.operations import Outcome, Partial
from kiln.ports.volumes import Chunk

from tests.unit.resources.moving import (
    AWAY,
    FAST,
    HOME,
    KEPT,
    STEPS,
    content,
    die,
    guest,
    has,
    marks_there,
    place,
    serve,
    settled,
    volumes_there,
    whole,
    whole_after_death,
    write,
)
from tests.unit.resources.world import POOL, Injected, Steps, World, plain


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_a_fault_at_any_step_loses_nothing_and_the_next_run_finishes(
    world: World, disk: Outcome, user: str, step: str, when: str
) -> None:
    kept = STEPS.index(step) > KEPT
    steps = Steps((when, step))
    with pytest.raises((Injected, Partial)) as caught:
        world.update("Disk", disk, steps, pool=FAST)
    assert isinstance(caught.value, Partial) == kept
    assert content(world, AWAY if kept else whole(world, user)) == b"data"
    if user != "no guest":
        assert world.node.volumes.by_path(world.context(), has(world) or "")
    # the state that the engine has now, and its next run
    state = caught.value.outcome.state if isinstance(caught.value, Partial) else disk.state
    moved = world.update("Disk", Outcome(disk.id, state), pool=FAST)
    assert volumes_there(world) == {"fast/data"}
    assert marks_there(world) == {"kiln/data": "moved", "fast/data": "disk"}
    assert content(world, AWAY) == b"data"
    if user != "no guest":
        assert has(world) == place(world, AWAY)
    assert settled(world, moved)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("refreshed", [False, True], ids=["up", "refresh and up"])
def test_a_process_that_dies_at_any_step_loses_nothing_and_the_next_run_finishes(
    world: World, disk: Outcome, user: str, step: str, when: str, refreshed: bool
) -> None:
    die(world, disk, when, step)
    write(world, whole_after_death(world, user), b"more")
    known = disk
    if refreshed:
        found = world.read("Disk", disk)
        assert found is not None
        known = found
    moved = world.update("Disk", known, pool=FAST)
    assert volumes_there(world) == {"fast/data"}
    assert marks_there(world) == {"kiln/data": "moved", "fast/data": "disk"}
    assert content(world, AWAY) == b"more"
    assert world.node.moves.mirrors == {}
    if user != "no guest":
        assert has(world) == place(world, AWAY)
    assert settled(world, moved)


def test_a_copy_that_no_guest_got_is_made_again_since_the_old_one_may_have_changed(world: World, disk: Outcome) -> None:
    die(world, disk, "after", "announce move")
    write(world, HOME, b"more")
    world.update("Disk", disk, pool=FAST)
    assert content(world, AWAY) == b"more"


@pytest.mark.parametrize("step", ["copy disk", "switch guests"])
def test_a_guest_that_starts_while_its_disk_is_copied_keeps_the_old_one(world: World, disk: Outcome, step: str) -> None:
    serve(world, disk, "stopped")

    class Starts(Steps):
        def after(self, done: str) -> None:
            if done == "verify copy":
                world.node.domains.start(world.context(), guest(world).uuid)

    with pytest.raises(Refused, match="started or stopped meanwhile"):
        world.update("Disk", disk, Starts(), pool=FAST)
    assert (volumes_there(world), has(world)) == ({"kiln/data"}, place(world, HOME))
    world.update("Disk", disk, pool=FAST)
    assert has(world) == place(world, AWAY)


def test_a_guest_that_stops_while_its_disk_is_copied_keeps_the_old_one(world: World, disk: Outcome) -> None:
    serve(world, disk, "running")

    class Stops(Steps):
        def after(self, done: str) -> None:
            if done == "verify copy":
                world.node.domains.destroy(world.context(), guest(world).uuid)

    with pytest.raises(Refused, match="started or stopped meanwhile"):
        world.update("Disk", disk, Stops(), pool=FAST)
    assert (volumes_there(world), has(world)) == ({"kiln/data"}, place(world, HOME))


def test_a_copy_that_is_not_whole_is_never_switched_to(
    world: World, disk: Outcome, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    volumes = world.node.volumes

    class Cuts(Steps):
        def after(self, done: str) -> None:
            if done == "copy disk":
                volumes._put(replace(volumes.get(world.context(), AWAY), virtual_size=512))

    with pytest.raises(KilnError, match="is not the same as 'kiln/data', which stays the disk"):
        world.update("Disk", disk, Cuts(), pool=FAST)
    assert (volumes_there(world), marks_there(world)) == ({"kiln/data"}, {"kiln/data": "disk"})


def test_a_cancelled_move_leaves_the_disk_where_it_is(world: World, disk: Outcome, user: str) -> None:
    old = world.inputs("Disk", disk)
    new = world.check("Disk", "data", {**old, "pool": FAST}, old)

    class Cancels(Steps):
        def after(self, done: str) -> None:
            if done == "copy disk":
                ctx.cancellation.cancel()

    ctx = Context(observer=Cancels())
    with pytest.raises(Cancelled):
        operations.update(ctx, world.resources["Disk"], disk.id, disk.state, old, new)
    assert (volumes_there(world), marks_there(world)) == ({"kiln/data"}, {"kiln/data": "disk"})
    assert world.node.moves.mirrors == {}


def test_nothing_goes_by_a_disk_whose_move_died_until_the_next_run(world: World, disk: Outcome) -> None:
    """The guest has the copy by then; to define it with the old volume again would lose what it wrote since."""
    server = serve(world, disk, "running")
    die(world, disk, "after", "switch guests")
    write(world, AWAY, b"more")
    with pytest.raises(Refused, match=r"'kiln/data' is being moved.*pulumi refresh"):
        world.update("Server", server, memory="1GiB")
    seen = world.read("Server", server)
    assert seen is not None
    assert world.diff("Server", seen, disks=[disk.id]).empty
    found = world.read("Disk", disk)
    assert found is not None
    assert plain(found)["path"] == place(world, AWAY)
    world.update("Disk", found, pool=POOL)
    assert (volumes_there(world), marks_there(world)) == ({"kiln/data"}, {"kiln/data": "disk"})
    assert (has(world), content(world, HOME)) == (place(world, HOME), b"more")
    world.update("Server", server, memory="1GiB")


def test_a_disk_whose_move_died_is_deleted_with_all_that_it_left(world: World, disk: Outcome) -> None:
    die(world, disk, "before", "switch guests")
    world.delete("Disk", disk)
    assert (volumes_there(world), marks_there(world)) == (set(), {})


def test_a_move_that_died_and_is_wanted_no_more_leaves_nothing(world: World, disk: Outcome, user: str) -> None:
    die(world, disk, "before", "switch guests")
    world.update("Disk", disk, size="2MiB")
    assert (volumes_there(world), marks_there(world)) == ({"kiln/data"}, {"kiln/data": "disk"})
    assert world.node.moves.mirrors == {}


def test_a_guest_that_runs_with_the_old_disk_keeps_it_whatever_its_definition_says(world: World, disk: Outcome) -> None:
    """It was started between the copy and the switch, and then the process died."""
    serve(world, disk, "stopped")
    uuid = guest(world).uuid
    die(world, disk, "after", "announce move")
    world.node.domains.start(world.context(), uuid)
    world.node.moves.repoint(world.context(), uuid, "vda", world.node.volumes.get(world.context(), AWAY))
    write_old(world)
    found = world.read("Disk", disk)
    assert found is not None
    assert plain(found)["path"] == place(world, HOME)
    moved = world.update("Disk", found, pool=FAST)
    assert (has(world), content(world, AWAY)) == (place(world, AWAY), b"more")
    assert settled(world, moved)


def write_old(world: World) -> None:
    world.node.volumes.upload(world.context(), HOME, iter([Chunk(b"more")]))


def test_a_guest_that_stops_after_it_got_the_copy_keeps_that(world: World, disk: Outcome) -> None:
    serve(world, disk, "running")
    uuid = guest(world).uuid

    class Stops(Steps):
        def after(self, done: str) -> None:
            if done == "switch guests":
                write(world, AWAY, b"more")
                world.node.domains.destroy(world.context(), uuid)
                raise Injected("a fault")

    with pytest.raises(Injected):
        world.update("Disk", disk, Stops(), pool=FAST)
    assert has(world) == place(world, AWAY)
    world.update("Disk", disk, pool=FAST)
    assert (volumes_there(world), content(world, AWAY)) == ({"fast/data"}, b"more")
