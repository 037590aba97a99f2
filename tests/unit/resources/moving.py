"""What tests of moving disks look at and do: a disk, a guest that may have it, and a process that dies."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from kiln.framework.operations import Outcome
from kiln.ports.domains import Domain
from kiln.ports.volumes import Chunk, VolumeRef

from tests.unit.resources.world import POOL, Steps, World, plain

FAST = "fast"
HOME, AWAY = VolumeRef(POOL, "data"), VolumeRef(FAST, "data")
STEPS = ("copy disk", "verify copy", "announce move", "switch guests", "tell where the disk is", "delete old volume")
KEPT = STEPS.index("switch guests")


def write(world: World, ref: VolumeRef, data: bytes) -> None:
    """What a guest does; the mirror of what it has gets it too."""
    volumes, moves = world.node.volumes, world.node.moves
    path = volumes.get(world.context(), ref).path
    for to in (ref, *(to.ref for to in moves.mirrors.values() if has(world) == path)):
        volumes.upload(world.context(), to, iter([Chunk(data)]))


def content(world: World, ref: VolumeRef) -> bytes:
    return world.node.volumes.download(world.context(), ref, 0, 4)


def volumes_there(world: World) -> set[str]:
    ctx = world.context()
    return {str(each.ref) for pool in (POOL, FAST) for each in world.node.volumes.list(ctx, pool)}


def marks_there(world: World) -> dict[str, str]:
    ctx = world.context()
    return {str(ref): mark.role for pool in (POOL, FAST) for ref, mark in world.node.volumes.marks(ctx, pool)}


def guest(world: World) -> Domain:
    return world.node.domains.by_name(world.context(), "web")


def has(world: World) -> str | None:
    """Where the guest's disk is stored; what runs and what is defined are the same."""
    domain = guest(world)
    defined = domain.disks[0].path
    assert domain.live is None or domain.live.disks[0].path == defined
    return defined


def place(world: World, ref: VolumeRef) -> str:
    return world.node.volumes.get(world.context(), ref).path


def serve(world: World, disk: Outcome, state: str) -> Outcome:
    return world.create("Server", "web", disks=[disk.id], powerState=state, networks=[])


def settled(world: World, disk: Outcome, **inputs: Any) -> bool:
    """Whether a refresh finds the disk, and a preview after it changes nothing."""
    found = world.read("Disk", disk)
    return found is not None and plain(found)["pool"] == FAST and world.diff("Disk", found, **inputs).empty


def whole(world: World, user: str) -> VolumeRef:
    """The disk before it is told to be elsewhere: what the guest has, else the old one."""
    return HOME if user == "no guest" else world.node.volumes.by_path(world.context(), has(world) or "").ref


def whole_after_death(world: World, user: str) -> VolumeRef:
    """What a guest would write to: its disk, or the one that a server of this id would be given."""
    if user != "no guest":
        return world.node.volumes.by_path(world.context(), has(world) or "").ref
    mark = world.node.volumes.read_mark(world.context(), HOME)
    return AWAY if mark is not None and mark.role == "moved" else HOME


class Killed(BaseException):
    """The process is gone: nothing is undone."""


class Kill(Steps):
    """Ends the process before or after a step, as SIGKILL does."""

    def _at(self, when: str, step: str) -> None:
        if self.fail_at == (when, step):
            raise Killed


def die(world: World, disk: Outcome, when: str, step: str, **inputs: Any) -> None:
    """The process that moves the disk, to the other pool if nothing else is said, is killed; the next one knows nothing
    of it."""
    with pytest.MonkeyPatch.context() as dying:
        dying.setattr("kiln.framework.steps.undo", lambda ctx, begun: None)
        with pytest.raises(Killed):
            world.update("Disk", disk, Kill((when, step)), **(inputs or {"pool": FAST}))
    for pool in world.node.volumes.named.values():
        pool.marks = {name: replace(mark, holder=None) for name, mark in pool.marks.items()}
    world.restart()
