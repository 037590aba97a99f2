"""Disk: what a move that was interrupted left, told by a refresh and put right by the next `up`."""

from __future__ import annotations

from typing import Any

import pytest
from kiln.framework.context import Context
from kiln.framework.operations import Outcome
from kiln.resources import leftovers

from tests.unit.resources.moving import FAST, HOME, content, die, has, marks_there, place, serve, volumes_there
from tests.unit.resources.world import POOL, World, plain


def seen(world: World, made: Outcome) -> Outcome:
    found = world.read("Disk", made)
    assert found is not None
    return found


def changes(world: World, made: Outcome, **inputs: Any) -> set[str]:
    return {change.field for change in world.diff("Disk", made, **inputs).changes}


@pytest.mark.parametrize("step", ["switch guests", "tell where the disk is"])
def test_a_refresh_shows_a_move_that_was_interrupted_and_an_up_that_wants_it_no_more_ends_it(
    world: World, disk: Outcome, user: str, step: str
) -> None:
    die(world, disk, "before", step)
    found = seen(world, disk)
    assert plain(found)["moving"] in {"kiln/data", "fast/data"}
    ended = world.update("Disk", found, pool=POOL)
    assert (volumes_there(world), marks_there(world)) == ({"kiln/data"}, {"kiln/data": "disk"})
    assert content(world, HOME) == b"data"
    assert "moving" not in plain(ended)
    assert "moving" not in plain(seen(world, ended))


def test_a_refresh_shows_the_old_volume_that_a_move_left(world: World, disk: Outcome) -> None:
    die(world, disk, "before", "delete old volume")
    found = seen(world, disk)
    assert (plain(found)["pool"], plain(found)["moving"]) == (FAST, "kiln/data")
    world.update("Disk", found)
    assert (volumes_there(world), marks_there(world)) == ({"fast/data"}, {"kiln/data": "moved", "fast/data": "disk"})


def test_a_refresh_shows_the_copy_that_a_move_back_left(world: World, disk: Outcome) -> None:
    there = world.update("Disk", disk, pool=FAST)
    die(world, there, "after", "copy disk", pool=POOL)
    assert volumes_there(world) == {"kiln/data", "fast/data"}
    found = seen(world, there)
    assert (plain(found)["pool"], plain(found)["moving"]) == (FAST, "kiln/data")
    world.update("Disk", found)
    assert volumes_there(world) == {"fast/data"}


@pytest.mark.parametrize("step", ["tell where the disk is", "delete old volume"])
def test_a_disk_that_was_left_aside_on_its_way_to_another_format_comes_back(
    world: World, disk: Outcome, step: str
) -> None:
    serve(world, disk, "running")
    die(world, disk, "after", step, format="qcow2")
    found = seen(world, disk)
    assert (plain(found)["name"], plain(found)["moving"]) == ("data", "kiln/data.moving")
    done = world.update("Disk", found, format="qcow2")
    assert (volumes_there(world), has(world)) == ({"kiln/data"}, place(world, HOME))
    assert plain(done)["storedFormat"] == "qcow2"


def test_a_refresh_shows_the_format_that_a_disk_has_when_it_did_not_get_to_the_other(
    world: World, disk: Outcome
) -> None:
    stated = Outcome(disk.id, {**disk.state, "format": "qcow2"})
    found = seen(world, stated)
    assert plain(found)["format"] == "raw"
    assert changes(world, found, format="qcow2") == {"format"}


def test_gc_finds_the_copy_of_a_move_that_died_and_not_the_disk(world: World, disk: Outcome) -> None:
    die(world, disk, "after", "verify copy")
    found = leftovers.find(Context(), world.node, None, {disk.id})
    assert [item.id for item in found if item.kind == "volume"] == ["fast/data"]
