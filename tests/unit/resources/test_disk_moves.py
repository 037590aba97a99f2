"""A disk moves to another pool, name or format: what is on it stays, the guest goes on, and nothing is ever lost."""

from __future__ import annotations

import pytest
from kiln.framework.errors import Conflict, InputError, KilnError, NotFound
from kiln.framework.model import Impact
from kiln.framework.operations import Outcome
from kiln.ports.volumes import VolumeRef
from kiln.resources import leftovers

from tests.unit.resources.moving import (
    AWAY,
    FAST,
    HOME,
    content,
    die,
    guest,
    has,
    marks_there,
    place,
    serve,
    settled,
    volumes_there,
    write,
)
from tests.unit.resources.world import POOL, World, plain


def test_a_moved_disk_has_what_was_on_it_and_keeps_its_id(world: World, disk: Outcome, user: str) -> None:
    before = place(world, HOME)
    moved = world.update("Disk", disk, pool=FAST)
    assert (moved.id, content(world, AWAY)) == (disk.id, b"data")
    assert plain(moved)["path"] == place(world, AWAY) != before
    assert volumes_there(world) == {"fast/data"}
    assert marks_there(world) == {"kiln/data": "moved", "fast/data": "disk"}
    if user != "no guest":
        assert has(world) == place(world, AWAY)
    assert settled(world, moved)


def test_a_guest_runs_on_while_its_disk_moves(world: World, disk: Outcome) -> None:
    serve(world, disk, "running")
    starts = world.node.domains.guests[guest(world).uuid].starts
    world.update("Disk", disk, pool=FAST)
    assert world.node.domains.guests[guest(world).uuid].starts == starts
    assert world.node.moves.mirrors == {}


@pytest.mark.parametrize(
    ("user", "said"),
    [
        ("no guest", "pool kiln → fast, live: copied, then switched; what is on it stays"),
        ("stopped", "pool kiln → fast, live: copied, then switched; what is on it stays"),
        ("running", "pool kiln → fast, live: copied, then switched, while 'web' runs on"),
    ],
    indirect=["user"],
)
def test_a_preview_says_how_a_disk_is_moved_and_moves_nothing(
    world: World, disk: Outcome, user: str, said: str
) -> None:
    assert [str(one) for one in world.diff("Disk", disk, pool=FAST).changes] == [said]
    assert volumes_there(world) == {"kiln/data"}


def test_a_server_knows_its_moved_disk_by_the_id_that_it_has(world: World, disk: Outcome) -> None:
    server = serve(world, disk, "running")
    moved = world.update("Disk", disk, pool=FAST)
    found = world.read("Server", server)
    assert found is not None
    assert plain(found)["disks"] == [moved.id]
    assert world.diff("Server", found).empty
    world.update("Server", found, memory="1GiB")
    assert has(world) == place(world, AWAY)
    assert plain(world.imported("Server", "web"))["disks"] == [moved.id]


def test_a_disk_is_renamed_and_converted_in_place_and_comes_back(world: World, disk: Outcome, user: str) -> None:
    moved = world.update("Disk", disk, pool=FAST, name="other")
    assert volumes_there(world) == {"fast/other"}
    again = world.update("Disk", moved, format="qcow2")
    assert (plain(again)["storedFormat"], volumes_there(world)) == ("qcow2", {"fast/other"})
    back = world.update("Disk", again, pool=POOL, name="data", format="raw")
    assert (volumes_there(world), marks_there(world)) == ({"kiln/data"}, {"kiln/data": "disk"})
    assert content(world, HOME) == b"data"
    if user != "no guest":
        assert has(world) == place(world, HOME)
    found = world.read("Disk", back)
    assert found is not None
    assert world.diff("Disk", found).empty


def test_another_format_alone_converts_the_disk_under_its_name(world: World, disk: Outcome, user: str) -> None:
    converted = world.update("Disk", disk, format="qcow2")
    assert (converted.id, plain(converted)["storedFormat"]) == (disk.id, "qcow2")
    assert (volumes_there(world), marks_there(world)) == ({"kiln/data"}, {"kiln/data": "disk"})
    assert content(world, HOME) == b"data"


def test_a_disk_moves_and_grows_in_one_update(world: World, disk: Outcome, user: str) -> None:
    moved = world.update("Disk", disk, pool=FAST, size="4MiB")
    assert plain(moved)["virtualSize"] == "4MiB"
    assert world.node.volumes.get(world.context(), AWAY).virtual_size == 4 << 20


def test_a_moved_clone_is_whole_and_the_preview_says_so(world: World, disk: Outcome) -> None:
    image = world.create("Image", "base", source=world.raw())
    clone = world.create("Disk", "clone", image=image.id)
    (change,) = world.diff("Disk", clone, pool=FAST).changes
    assert "whole and no overlay any more" in change.reason
    moved = world.update("Disk", clone, pool=FAST)
    assert (plain(moved).get("backing"), plain(moved)["cloneMethod"]) == (None, "full: it was moved")
    world.delete("Image", image)
    assert content(world, VolumeRef(FAST, "clone")) == b"disk"
    imported = world.imported("Disk", moved.id)
    assert {key: plain(imported)[key] for key in ("pool", "name", "image")} == {
        "pool": FAST, "name": "clone", "image": image.id,
    }  # fmt: skip


# --- what is in the way ----------------------------------------------------------------------------------------------


def test_a_pool_without_room_is_told_with_what_is_needed(
    world: World, disk: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kiln.resources.disk.moving.available", lambda directory: 3)
    with pytest.raises(KilnError, match=r"pool 'fast' has no room: .* \(4 bytes\) are needed and .* \(3 bytes\)"):
        world.update("Disk", disk, pool=FAST)
    assert (volumes_there(world), marks_there(world)) == ({"kiln/data"}, {"kiln/data": "disk"})


def test_a_name_that_is_taken_is_refused_and_what_has_it_stays(world: World, disk: Outcome) -> None:
    other = world.create("Disk", "data", pool=FAST, size="1MiB", format="raw")
    write(world, AWAY, b"else")
    with pytest.raises(Conflict, match="'fast/data' exists already"):
        world.update("Disk", disk, pool=FAST)
    assert (content(world, HOME), content(world, AWAY)) == (b"data", b"else")
    assert world.read("Disk", other) is not None


def test_snapshots_and_overlays_are_in_the_way_in_the_preview_already(world: World, disk: Outcome) -> None:
    serve(world, disk, "stopped")
    world.node.moves.obstacles[guest(world).uuid] = "it has snapshots"
    with pytest.raises(InputError, match=r"under guest 'web'.*it has snapshots") as caught:
        world.diff("Disk", disk, pool=FAST)
    assert caught.value.path == "pool"
    with pytest.raises(InputError):
        world.update("Disk", disk, pool=FAST)
    world.node.moves.obstacles.clear()
    volumes = world.node.volumes
    below = volumes.get(world.context(), HOME)
    volumes.create(world.context(), VolumeRef(POOL, "top"), format="qcow2", virtual_size=1 << 20, backing=below)
    with pytest.raises(KilnError, match="kiln/top is an overlay of it"):
        world.update("Disk", disk, pool=FAST)
    assert volumes_there(world) == {"kiln/data", "kiln/top"}


def test_a_cd_moves_while_no_guest_runs_with_it(world: World, disk: Outcome) -> None:
    cd = world.create("Disk", "cd", source=world.iso())
    server = serve(world, cd, "running")
    with pytest.raises(InputError, match="drive of the running guest 'web'"):
        world.diff("Disk", cd, pool=FAST)
    stopped = world.update("Server", server, powerState="stopped")
    world.update("Disk", cd, pool=FAST)
    assert has(world) == place(world, VolumeRef(FAST, "cd"))
    found = world.read("Server", stopped)
    assert found is not None
    assert plain(found)["disks"] == [cd.id]


# --- the id ----------------------------------------------------------------------------------------------------------


def test_the_id_of_a_moved_disk_is_no_name_for_another(world: World, disk: Outcome) -> None:
    moved = world.update("Disk", disk, pool=FAST)
    with pytest.raises(Conflict, match=r"is the id of a disk, and taken.*moved that disk to 'fast/data'"):
        world.create("Disk", "data", size="1MiB")
    world.delete("Disk", moved)
    assert (volumes_there(world), marks_there(world)) == (set(), {})
    world.create("Disk", "data", size="1MiB")


def test_the_name_of_a_moved_disk_that_somebody_deleted_is_free_again(world: World, disk: Outcome) -> None:
    moved = world.update("Disk", disk, pool=FAST)
    world.node.volumes.delete(world.context(), AWAY)
    assert world.read("Disk", moved) is None
    again = world.create("Disk", "data", pool=FAST, size="1MiB")
    assert again.id == "fast/data"
    assert world.create("Disk", "data", size="1MiB").id == "kiln/data"
    with pytest.raises(NotFound):
        world.node.volumes.get(world.context(), VolumeRef("none", "x"))


def test_a_disk_is_found_when_the_pool_it_was_made_in_is_gone(world: World, disk: Outcome) -> None:
    server = serve(world, disk, "running")
    moved = world.update("Disk", disk, pool=FAST)
    world.node.volumes.ensure_pool(world.context(), "slow", None)
    del world.node.volumes.named[POOL]
    assert settled(world, moved)
    found = world.read("Server", server)
    assert found is not None
    assert plain(found)["disks"] == [disk.id]
    slow = world.update("Disk", moved, pool="slow")
    assert content(world, VolumeRef("slow", "data")) == b"data"
    assert not world.node.volumes.named[FAST].volumes
    assert not world.node.volumes.named[FAST].marks
    world.update("Server", found, disks=[])
    world.delete("Disk", slow)
    assert not world.node.volumes.named["slow"].volumes
    assert not world.node.volumes.named["slow"].marks


def test_a_disk_that_is_kept_keeps_no_mark_anywhere(world: World, disk: Outcome) -> None:
    moved = world.update("Disk", disk, pool=FAST, deletionPolicy="retain")
    world.delete("Disk", moved)
    assert (volumes_there(world), marks_there(world)) == ({"fast/data"}, {})
    assert world.imported("Disk", "fast/data").id == "fast/data"


def test_a_disk_imported_from_where_it_is_takes_its_first_name_with_it(world: World, disk: Outcome) -> None:
    world.update("Disk", disk, pool=FAST)
    found = world.imported("Disk", "fast/data")
    world.delete("Disk", found)
    assert (volumes_there(world), marks_there(world)) == (set(), {})


def test_a_volume_that_kiln_did_not_make_moves_once_it_is_imported(world: World, disk: Outcome) -> None:
    world.node.volumes.delete_mark(world.context(), HOME)
    moved = world.update("Disk", world.imported("Disk", "kiln/data"), pool=FAST)
    assert (volumes_there(world), content(world, AWAY)) == ({"fast/data"}, b"data")
    assert settled(world, moved)


def test_a_moved_disk_is_no_leftover_while_a_stack_holds_its_id(world: World, disk: Outcome) -> None:
    moved = world.update("Disk", disk, pool=FAST)

    def found(known: set[str] | None) -> set[str]:
        return {item.id for item in leftovers.find(world.context(), world.node, None, known)}

    assert found(None) == set()
    assert found({moved.id}) == set()
    assert found({"urn", world.node.identity(world.context())}) == {"fast/data", "kiln/data"}
    for item in leftovers.find(world.context(), world.node, None, {world.node.identity(world.context())}):
        item.remove(world.context())
    assert (volumes_there(world), marks_there(world)) == (set(), {})


def test_a_copy_that_a_dead_move_left_is_found_by_gc(world: World, disk: Outcome) -> None:
    die(world, disk, "after", "announce move")
    found = leftovers.find(world.context(), world.node, None, None)
    assert {item.id: item.why for item in found} == {"fast/data": "an operation that died left it unfinished"}
    for item in found:
        item.remove(world.context())
    assert (volumes_there(world), marks_there(world)) == ({"kiln/data"}, {"kiln/data": "disk"})


def test_a_move_weighs_as_live_only_where_nothing_else_replaces_the_disk(world: World, disk: Outcome) -> None:
    plan = world.diff("Disk", disk, pool=FAST, source=world.raw(), size=None)
    assert plan.replaces
    assert {one.impact for one in plan.changes if one.field == "source"} == {Impact.REPLACE}
