"""The steps that move a disk to another pool, name or format. One whole copy is the disk's at every moment.

::

    copy ─▶ verify ─▶ announce ─▶ switch guests ─▶ tell where it is ─▶ delete old volume
    └───── undone: the old one is the disk ────┘ └── kept: the new one is the disk ────┘

From the announcement on the guest tells which volume is the disk. An operation that dies before a guest has the copy
leaves the old one: the copy is made again, since the old one may have been written to. After that the next run goes on.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from kiln.framework.context import Context
from kiln.framework.errors import KilnError, NotFound, Refused
from kiln.framework.steps import Step
from kiln.ports.marks import Mark
from kiln.ports.nodes import Node
from kiln.ports.volumes import Volume, VolumeRef
from kiln.resources import places
from kiln.resources.disk.releasing import delete_old, finish
from kiln.resources.disk.uses import Use, uses
from kiln.resources.ownership import Claim, finished
from kiln.transfer.compare import compare
from kiln.transfer.space import available, require_space, told_when_full

Format = Literal["qcow2", "raw"]


@dataclass(frozen=True)
class Hop:
    """Where a disk goes next, and as what; None: as what it is."""

    to: VolumeRef
    format: Format | None = None


def next_hop(now: Volume, to: VolumeRef, format: Format | None) -> Hop | None:
    """The way to ``to`` and ``format``, None for a disk that is there. Two volumes of one name cannot be: for another
    format alone a disk goes aside and comes back."""
    if now.ref != to:
        return Hop(to, format)
    if format in (None, _format(now)):
        return None
    return Hop(aside(to), format)


def aside(ref: VolumeRef) -> VolumeRef:
    """Where a disk is on its way to another format in the same place."""
    return replace(ref, name=f"{ref.name}.moving")


def _format(volume: Volume) -> Format:
    return "qcow2" if volume.format == "qcow2" else "raw"


class Move:
    """One hop of the disk known as ``id``, from the volume ``old``; ``mark`` is a new one."""

    def __init__(self, node: Node, id: VolumeRef, old: Volume, hop: Hop, mark: Mark) -> None:
        self._node, self._volumes = node, node.volumes
        self._id, self._old, self._to = id, old, hop.to
        self._formats = _format(old), hop.format or _format(old)
        self._mark = replace(mark, info=places.told(mark.info, id=id))
        self._claim = Claim(node.volumes, hop.to, self._mark)
        self._new: Volume | None = None
        self._mirrored: list[Use] = []
        self._before: list[Mark | None] = []

    def steps(self) -> list[Step]:
        """All steps."""
        return [
            Step("copy disk", self._copy, self._give_back),
            Step("verify copy", self._verify),
            Step("announce move", self._announce, self._recall),
            Step("switch guests", self._switch, self._switch_back, keeps=True),
            *self._settling(),
        ]

    def rest(self, ctx: Context) -> list[Step]:
        """The steps of a move that died after a guest got the copy."""
        self._new = self._volumes.get(ctx, self._to)
        return [Step("switch guests", self._repoint), *self._settling()]

    def _settling(self) -> list[Step]:
        return [Step("tell where the disk is", self._tell), Step("delete old volume", self._delete_old)]

    @property
    def new(self) -> Volume:
        """The copy."""
        assert self._new is not None
        return self._new

    def _is_ours(self, ctx: Context) -> bool:
        """Whether what is at the new place is there for this disk."""
        try:
            mark = self._volumes.read_mark(ctx, self._to)
        except NotFound:
            return False
        return mark is not None and "id" in mark.info and places.known_as(mark, self._to) == self._id

    def _copy(self, ctx: Context) -> None:
        self._make_room(ctx)
        users = uses(ctx, self._node, self._old.path)
        self._mirrored = [use for use in users if use.runs is not None]
        to, size = self._to, self._old.virtual_size
        with self._filling(ctx):
            if not self._mirrored:
                ctx.log.status(f"copying '{self._old.ref}' to '{to}'")
                self._new = self._volumes.copy(ctx, self._old, to, format=self._formats[1], virtual_size=size)
                return
            self._new = self._volumes.create(ctx, to, format=self._formats[1], virtual_size=size)
            for use in self._mirrored:
                self._node.moves.mirror(ctx, use.uuid, use.runs or "", self._new)

    def _make_room(self, ctx: Context) -> None:
        """Take the new place, from a copy too that an operation which died left there."""
        self.discard(ctx)
        if self._to != self._id:  # its mark says where the disk is
            self._claim.take(ctx)

    def discard(self, ctx: Context) -> None:
        """Delete a copy that an operation which died left, and that no guest runs with."""
        if not self._is_ours(ctx):
            return
        self._end_mirrors(ctx)
        with suppress(NotFound):
            self._point_back(ctx, self._volumes.get(ctx, self._to))
        self._volumes.delete(ctx, self._to)
        if self._to != self._id:
            self._volumes.delete_mark(ctx, self._to)

    def _point_back(self, ctx: Context, copy: Volume) -> None:
        """Give the old volume back to those that never ran with the copy."""
        mirrored = {use.uuid for use in self._mirrored}
        for use in uses(ctx, self._node, copy.path):
            if use.runs is None and use.defined is not None and use.uuid not in mirrored:
                self._node.moves.repoint(ctx, use.uuid, use.defined, self._old)

    def _end_mirrors(self, ctx: Context) -> None:
        try:
            copy = self._volumes.get(ctx, self._to)
        except NotFound:
            return
        for use in uses(ctx, self._node, self._old.path):
            if use.runs is not None:
                self._node.moves.unmirror(ctx, use.uuid, use.runs, copy)

    @contextmanager
    def _filling(self, ctx: Context) -> Iterator[None]:
        place, directory = f"pool '{self._to.pool}'", self._volumes.local_directory(ctx, self._to.pool)
        needed = self._old.allocation
        require_space(place, needed, available(directory) if directory is not None else None)
        with told_when_full(place, needed, directory):
            yield

    def _give_back(self, ctx: Context) -> None:
        """Delete the copy, unless a guest got it after all: the next run goes on with that."""
        if not self._is_ours(ctx):
            return
        self._end_mirrors(ctx)
        try:
            users = uses(ctx, self._node, self._volumes.get(ctx, self._to).path)
        except NotFound:
            users = []
        if users:
            raise KilnError(f"'{users[0].name}' has '{self._to}' already", action="run again to finish the move")
        if self._to == self._id:
            self._volumes.delete(ctx, self._to)
        else:
            self._claim.give_back(ctx)

    def _verify(self, ctx: Context) -> None:
        """See that the copy is whole. One that a running guest writes to is the same by being its mirror; of others the
        content is compared where it can be read from here."""
        new = self._new = self._volumes.get(ctx, self._to)
        flawed = new.virtual_size < self._old.virtual_size or new.format != self._formats[1] or new.backing is not None
        files = Path(self._old.path), Path(new.path)
        if not flawed and not self._mirrored and all(os.access(file, os.R_OK) for file in files):
            local = [self._volumes.local_directory(ctx, volume.ref.pool) for volume in (self._old, new)]
            flawed = None not in local and not compare(ctx, files, self._formats, f"comparing '{new.ref}'")
        if flawed:
            raise KilnError(
                f"the copy '{new.ref}' is not the same as '{self._old.ref}', which stays the disk",
                action="see that no other program writes to it, and run again",
            )

    def _announce(self, ctx: Context) -> None:
        """Say beside the old volume that the guest may have another by now: nobody may go by the old one any more."""
        at = self._old.ref
        self._before = [self._volumes.read_mark(ctx, at)]
        mark = self._before[0] or finished(replace(self._mark, info={}))  # one that Kiln did not make has none
        self._volumes.write_mark(ctx, at, replace(mark, info=places.told(mark.info, id=self._id, next=self._to)))

    def _recall(self, ctx: Context) -> None:
        if not self._before or uses(ctx, self._node, self.new.path):
            return  # nothing was said, or a guest got it after all
        (before,) = self._before
        if before is None:
            self._volumes.delete_mark(ctx, self._old.ref)
        else:
            self._volumes.write_mark(ctx, self._old.ref, before)

    def _switch(self, ctx: Context) -> None:
        """Let the guests have the copy: those that run by pivoting, the definitions of all."""
        running = {use.uuid for use in uses(ctx, self._node, self._old.path) if use.runs is not None}
        if running != {use.uuid for use in self._mirrored}:
            raise self._disturbed("a guest that has it was started or stopped meanwhile")
        for use in self._mirrored:
            self._node.moves.pivot(ctx, use.uuid, use.runs or "", self.new)
        self._repoint(ctx)
        if started := self._node.domains.users(ctx, self._old.path):
            raise self._disturbed(f"'{started[0]}' was started with it meanwhile")

    def _repoint(self, ctx: Context) -> None:
        for use in uses(ctx, self._node, self._old.path):
            if use.defined is not None:
                self._node.moves.repoint(ctx, use.uuid, use.defined, self.new)

    def _switch_back(self, ctx: Context) -> None:
        self._point_back(ctx, self.new)

    def _disturbed(self, cause: str) -> KilnError:
        return Refused(f"disk '{self._old.ref}' was not moved", cause=cause, action="run again")

    def _tell(self, ctx: Context) -> None:
        """From here on the new volume is the disk, whoever has it."""
        mark, old, to = finished(self._mark), self._old.ref, self._to
        if to == self._id:
            self._volumes.write_mark(ctx, to, replace(mark, info=places.told(mark.info, id=self._id, old=old)))
            return
        self._volumes.write_mark(ctx, to, mark)
        moved = replace(mark, role=places.MOVED, info=places.told({}, id=self._id, to=to, old=old))
        try:
            self._volumes.read_mark(ctx, self._id)
        except NotFound:  # the pool that the disk was made in is gone: the mark beside the volume tells
            self._volumes.delete_mark(ctx, old)
        else:
            self._volumes.write_mark(ctx, self._id, moved)

    def _delete_old(self, ctx: Context) -> None:
        delete_old(ctx, self._node, self._id, self._old.ref)
        finish(ctx, self._node, self._id)
