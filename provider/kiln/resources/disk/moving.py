"""The steps that move a disk to another pool, name or format. One whole copy is the disk's at every moment.

::

    copy ─▶ verify ─▶ mark copy done ─▶ switch guests ─▶ tell where it is ─▶ delete old volume
    └──────────── undone: the old one is the disk ────┘ └── kept: the new one is the disk ───┘

An operation that dies leaves the old volume as the disk until a guest has the new one: then the next run goes on from
there. A copy that no guest has is made again, since the old one may have been written to.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
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
from kiln.resources.ownership import Claim, finished, release_volume
from kiln.transfer.compare import compare
from kiln.transfer.space import available, require_space, told_when_full

Format = Literal["qcow2", "raw"]


@dataclass(frozen=True)
class Hop:
    """Where a disk goes next, and as what."""

    to: VolumeRef
    format: Format


def next_hop(now: Volume, to: VolumeRef, format: Format | None) -> Hop | None:
    """The way to ``to`` and ``format``, None for a disk that is there. Two volumes of one name cannot be: for another
    format alone a disk goes aside and comes back."""
    has: Format = "qcow2" if now.format == "qcow2" else "raw"
    if now.ref != to:
        return Hop(to, format or has)
    if format in (None, has):
        return None
    return Hop(replace(to, name=f"{to.name}.moving"), format or has)


class Move:
    """One hop of the disk known as ``id``, from the volume ``old``; ``mark`` is a new one."""

    def __init__(self, node: Node, id: VolumeRef, old: Volume, hop: Hop, mark: Mark) -> None:
        self._node, self._volumes = node, node.volumes
        self._id, self._old, self._hop = id, old, hop
        self._mark = replace(mark, info=places.told(mark.info, id=id))
        self._claim = Claim(node.volumes, hop.to, self._mark)
        self._new: Volume | None = None
        self._mirrored: list[Use] = []
        self._told: tuple[VolumeRef, Mark | None] | None = None

    def steps(self, ctx: Context) -> list[Step]:
        """The steps, from where an operation that died left it."""
        tell = Step("tell where the disk is", self._tell, self._take_back, keeps=True)
        rest = [tell, Step("delete old volume", self._delete_old)]
        if self._is_switched(ctx):
            return [Step("switch guests", self._repoint), *rest]
        return [
            Step("copy disk", self._copy, self._give_back),
            Step("verify copy", self._verify),
            Step("mark copy done", self._mark_done),
            Step("switch guests", self._switch, self._switch_back),
            *rest,
        ]

    @property
    def new(self) -> Volume:
        """The copy."""
        assert self._new is not None
        return self._new

    def _is_switched(self, ctx: Context) -> bool:
        """Whether a guest has the new volume: only a whole one is ever given to any."""
        if not self._is_ours(ctx):
            return False
        try:
            self._new = self._volumes.get(ctx, self._hop.to)
        except NotFound:
            return False
        return bool(uses(ctx, self._node, self._new.path))

    def _is_ours(self, ctx: Context) -> bool:
        """Whether what is at the new place is there for this disk."""
        try:
            mark = self._volumes.read_mark(ctx, self._hop.to)
        except NotFound:
            return False
        return mark is not None and "id" in mark.info and places.known_as(mark, self._hop.to) == self._id

    def _copy(self, ctx: Context) -> None:
        self._make_room(ctx)
        users = uses(ctx, self._node, self._old.path)
        self._mirrored = [use for use in users if use.runs is not None]
        to, size = self._hop.to, self._old.virtual_size
        with self._filling(ctx):
            if not self._mirrored:
                ctx.log.status(f"copying '{self._old.ref}' to '{to}'")
                self._new = self._volumes.copy(ctx, self._old, to, format=self._hop.format, virtual_size=size)
                return
            self._new = self._volumes.create(ctx, to, format=self._hop.format, virtual_size=size)
            for use in self._mirrored:
                self._node.moves.mirror(ctx, use.uuid, use.runs or "", self._new)

    def _make_room(self, ctx: Context) -> None:
        """Take the new place, from a copy too that an operation which died left there."""
        to = self._hop.to
        if self._is_ours(ctx):
            self._end_mirrors(ctx)
            if to == self._id:  # its mark says where the disk is
                self._volumes.delete(ctx, to)
            else:
                release_volume(ctx, self._volumes, to)
        if to != self._id:
            self._claim.take(ctx)

    def _end_mirrors(self, ctx: Context) -> None:
        try:
            copy = self._volumes.get(ctx, self._hop.to)
        except NotFound:
            return
        for use in uses(ctx, self._node, self._old.path):
            if use.runs is not None:
                self._node.moves.unmirror(ctx, use.uuid, use.runs, copy)

    @contextmanager
    def _filling(self, ctx: Context) -> Iterator[None]:
        place, directory = f"pool '{self._hop.to.pool}'", self._volumes.local_directory(ctx, self._hop.to.pool)
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
            users = uses(ctx, self._node, self._volumes.get(ctx, self._hop.to).path)
        except NotFound:
            users = []
        if users:
            raise KilnError(f"'{users[0].name}' has '{self._hop.to}' already", action="run again to finish the move")
        if self._hop.to == self._id:
            self._volumes.delete(ctx, self._hop.to)
        else:
            self._claim.give_back(ctx)

    def _verify(self, ctx: Context) -> None:
        """See that the copy is whole. One that a running guest writes to is the same by being its mirror; of others the
        content is compared where it can be read from here."""
        new = self._new = self._volumes.get(ctx, self._hop.to)
        flawed = new.virtual_size < self._old.virtual_size or new.format != self._hop.format or new.backing is not None
        files = Path(self._old.path), Path(new.path)
        if not flawed and not self._mirrored and all(os.access(file, os.R_OK) for file in files):
            local = [self._volumes.local_directory(ctx, volume.ref.pool) for volume in (self._old, new)]
            formats: tuple[Format, Format] = "qcow2" if self._old.format == "qcow2" else "raw", self._hop.format
            flawed = None not in local and not compare(ctx, files, formats, f"comparing '{new.ref}'")
        if flawed:
            raise KilnError(
                f"the copy '{new.ref}' is not the same as '{self._old.ref}', which stays the disk",
                action="see that no other program writes to it, and run again",
            )

    def _mark_done(self, ctx: Context) -> None:
        if self._hop.to != self._id:
            self._volumes.write_mark(ctx, self._hop.to, finished(self._mark))

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
        """Give the old volume back to those that did not run with the copy."""
        for use in uses(ctx, self._node, self.new.path):
            if use.runs is None and use.defined is not None:
                self._node.moves.repoint(ctx, use.uuid, use.defined, self._old)

    def _disturbed(self, cause: str) -> KilnError:
        return Refused(f"disk '{self._old.ref}' was not moved", cause=cause, action="run again")

    def _tell(self, ctx: Context) -> None:
        """From here on the new volume is the disk."""
        mark, old = finished(self._mark), self._old.ref
        if self._hop.to == self._id:
            told = replace(mark, info=places.told(mark.info, id=self._id, old=old))
        else:
            told = replace(mark, role=places.MOVED, info=places.told({}, id=self._id, to=self._hop.to, old=old))
        # Where the pool that the disk was made in is gone, the mark beside the volume tells.
        at = self._id if self._home_is_there(ctx) else old
        self._told = at, self._volumes.read_mark(ctx, at)
        if at == self._id:
            self._volumes.write_mark(ctx, at, told)
        else:
            self._volumes.delete_mark(ctx, at)

    def _take_back(self, ctx: Context) -> None:
        """Let the old volume be the disk again."""
        if self._told is None:
            return
        at, before = self._told
        if before is None:
            self._volumes.delete_mark(ctx, at)
        else:
            self._volumes.write_mark(ctx, at, before)

    def _home_is_there(self, ctx: Context) -> bool:
        try:
            self._volumes.read_mark(ctx, self._id)
        except NotFound:
            return False
        return True

    def _delete_old(self, ctx: Context) -> None:
        delete_old(ctx, self._node, self._id, self._old.ref)
        finish(ctx, self._node, self._id)
