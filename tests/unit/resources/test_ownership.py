"""Who owns a name: marks, their holders, and what may be cleared."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from kiln.framework.context import Context
from kiln.framework.errors import Conflict, KilnError, Refused
from kiln.ports.marks import Mark
from kiln.ports.volumes import VolumeRef
from kiln.resources.ownership import Claim, finished, held, new_mark, refuse_overlaid, release_volume
from kiln.transfer.upload import temporary_name

from tests.unit.resources.world import POOL, World

REF = VolumeRef(POOL, "it")


@pytest.fixture
def volumes(world: World) -> Any:
    volumes = world.node.volumes
    volumes.ensure_pool(world.context(), POOL, None)
    return volumes


def dead(mark: Mark) -> Mark:
    """The same mark, held by a process of this machine that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert mark.holder is not None
    return replace(mark, holder=replace(mark.holder, pid=process.pid, started=1))


def test_this_process_holds_the_marks_it_makes(world: World) -> None:
    mark = new_mark(world.context("it"), "disk")
    assert mark.holder is not None
    assert mark.holder.pid == os.getpid()
    assert held(mark)
    assert mark.urn.endswith("it")


def test_a_finished_mark_is_held_by_nobody(world: World) -> None:
    mark = finished(new_mark(world.context(), "image"), "sha256:00")
    assert (mark.phase, mark.holder, mark.digest) == ("done", None, "sha256:00")
    assert not held(mark)


def test_a_mark_of_an_ended_process_is_not_held(world: World) -> None:
    assert not held(dead(new_mark(world.context(), "disk")))


def test_a_process_that_got_the_pid_of_a_dead_one_does_not_hold_its_mark(world: World) -> None:
    mark = new_mark(world.context(), "disk")
    assert mark.holder is not None
    assert not held(replace(mark, holder=replace(mark.holder, started=mark.holder.started + 1)))


def test_a_mark_from_before_the_last_boot_is_not_held(world: World) -> None:
    mark = new_mark(world.context(), "disk")
    assert mark.holder is not None
    assert not held(replace(mark, holder=replace(mark.holder, boot="another boot")))


def test_of_a_holder_elsewhere_only_its_expiry_counts(world: World) -> None:
    mark = new_mark(world.context(), "disk")
    assert mark.holder is not None
    elsewhere = replace(mark.holder, machine="another machine", pid=1, started=0)
    assert held(replace(mark, holder=elsewhere))
    assert not held(replace(mark, holder=replace(elsewhere, expires=0)))


def test_operations_have_different_ids(world: World) -> None:
    assert new_mark(world.context(), "disk").operation != new_mark(world.context(), "disk").operation


def test_a_free_name_is_claimed_once(world: World, volumes: Any) -> None:
    ctx = world.context("it")
    mark = new_mark(ctx, "disk")
    Claim(volumes, REF, mark).take(ctx)
    assert volumes.read_mark(ctx, REF) == mark
    with pytest.raises(Conflict, match="being made by another operation"):
        Claim(volumes, REF, new_mark(ctx, "disk")).take(ctx)


def test_a_volume_without_a_mark_is_not_kilns(world: World, volumes: Any) -> None:
    ctx = world.context()
    volumes.create(ctx, REF, format="raw", virtual_size=1024)
    with pytest.raises(Conflict, match="Kiln did not make it"):
        Claim(volumes, REF, new_mark(ctx, "disk")).take(ctx)
    assert volumes.read_mark(ctx, REF) is None
    assert volumes.get(ctx, REF).virtual_size == 1024


def test_a_finished_volume_is_never_taken(world: World, volumes: Any) -> None:
    ctx = world.context("owner")
    Claim(volumes, REF, mark := new_mark(ctx, "disk")).take(ctx)
    volumes.create(ctx, REF, format="raw", virtual_size=1024)
    volumes.write_mark(ctx, REF, finished(mark))
    with pytest.raises(Conflict, match=r"Kiln made it for .*owner"):
        Claim(volumes, REF, new_mark(ctx, "disk")).take(world.context("other"))
    assert volumes.read_mark(ctx, REF) == finished(mark)


def test_what_a_dead_operation_left_is_cleared(world: World, volumes: Any) -> None:
    ctx = world.context()
    volumes.write_mark(ctx, REF, dead(new_mark(ctx, "disk")))
    volumes.create(ctx, REF, format="raw", virtual_size=1024)
    mark = new_mark(ctx, "disk")
    Claim(volumes, REF, mark).take(ctx)
    assert volumes.read_mark(ctx, REF) == mark
    assert volumes.list(ctx, POOL) == []


def test_the_file_that_a_dead_operation_copied_to_goes_with_its_claim(world: World, volumes: Any) -> None:
    ctx = world.context()
    left, other = dead(new_mark(ctx, "disk")), new_mark(ctx, "disk")
    volumes.write_mark(ctx, REF, left)
    directory = volumes.local_directory(ctx, POOL)
    for mark in (left, other):
        (directory / temporary_name(mark, REF)).write_bytes(b"half of it")
    Claim(volumes, REF, new_mark(ctx, "disk")).take(ctx)
    assert not (directory / temporary_name(left, REF)).exists()
    assert (directory / temporary_name(other, REF)).exists()


def test_the_mark_of_a_volume_that_somebody_deleted_does_not_block_its_name(world: World, volumes: Any) -> None:
    ctx = world.context()
    volumes.write_mark(ctx, REF, finished(new_mark(ctx, "disk")))
    Claim(volumes, REF, mark := new_mark(ctx, "disk")).take(ctx)
    assert volumes.read_mark(ctx, REF) == mark


def test_an_operation_releases_only_what_is_its_own(world: World, volumes: Any) -> None:
    ctx = world.context()
    Claim(volumes, REF, mine := new_mark(ctx, "disk")).take(ctx)
    volumes.create(ctx, REF, format="raw", virtual_size=1024)
    release_volume(ctx, volumes, REF, new_mark(ctx, "disk"))
    assert volumes.read_mark(ctx, REF) == mine
    release_volume(ctx, volumes, REF, mine)
    assert volumes.read_mark(ctx, REF) is None
    assert volumes.list(ctx, POOL) == []
    release_volume(ctx, volumes, REF)


def test_a_volume_that_is_gone_has_no_overlays(world: World, volumes: Any) -> None:
    refuse_overlaid(world.context(), volumes, REF, "image")


def test_overlays_are_named(world: World, volumes: Any) -> None:
    ctx = world.context()
    base = volumes.create(ctx, REF, format="raw", virtual_size=1024)
    for number in range(7):
        volumes.create(ctx, VolumeRef(POOL, f"o{number}"), format="qcow2", virtual_size=1024, backing=base)
    with pytest.raises(Refused, match=r"kiln/o0, .* and 2 more are overlays of it"):
        refuse_overlaid(ctx, volumes, REF, "image")


def test_a_name_that_was_not_taken_is_not_given_back(world: World, volumes: Any) -> None:
    ctx = world.context()
    volumes.write_mark(ctx, REF, theirs := new_mark(ctx, "disk"))
    claim = Claim(volumes, REF, new_mark(ctx, "disk"))
    with pytest.raises(Conflict) as caught:
        claim.take(ctx)
    claim.give_back(ctx)
    assert caught.value.path == "name"
    assert volumes.read_mark(ctx, REF) == theirs


def test_a_pool_that_cannot_be_looked_into_is_told_at_pool_and_not_touched_again(
    world: World, volumes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx, seen = world.context(), []

    def fail(_ctx: Context, ref: VolumeRef) -> None:
        seen.append(ref)
        raise KilnError("could not look", cause="cannot open directory '/gone': No such file or directory")

    monkeypatch.setattr(volumes, "read_mark", fail)
    claim = Claim(volumes, REF, new_mark(ctx, "disk"))
    with pytest.raises(KilnError) as caught:
        claim.take(ctx)
    claim.give_back(ctx)
    assert caught.value.path == "pool"
    assert seen == [REF]
