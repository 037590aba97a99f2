"""Ownership on a node: claiming a name with a mark, telling whether a claim is still held, clearing what was left.

::

    (nothing) ──claim──▶ creating ──finished──▶ done
                            │ its holder died
                            ▼
                     debris: removed by the next run that wants the name

Only ``creating`` marks without a live holder are ever cleared by a run; a ``done`` one is somebody's object.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Collection
from dataclasses import replace

from kiln.framework.context import Context
from kiln.framework.errors import Cancelled, Conflict, KilnError, NotFound, Refused, Unreachable
from kiln.framework.process import Process, this_process
from kiln.ports.domains import Domains
from kiln.ports.marks import Holder, Mark
from kiln.ports.volumes import Volume, VolumeRef, Volumes
from kiln.resources.names import listed
from kiln.resources.places import find, moved_to
from kiln.transfer.upload import discard_temporaries

GRACE_SECONDS = 300


def new_mark(ctx: Context, role: str, *, seconds: float = 3600.0, info: dict[str, str] | None = None) -> Mark:
    """A ``creating`` mark held by this process; ``seconds`` is the longest the operation may take."""
    now, me = time.time(), this_process()
    expires = int(now + ctx.remaining(seconds)) + GRACE_SECONDS
    holder = Holder(me.machine, me.boot, me.pid, me.started, expires)
    return Mark(secrets.token_hex(8), "creating", ctx.urn, role, holder=holder, info=info or {}, made=int(now))


def finished(mark: Mark, digest: str = "") -> Mark:
    """The same mark, done."""
    return replace(mark, phase="done", holder=None, digest=digest or mark.digest)


def held(mark: Mark) -> bool:
    """Whether a ``creating`` mark's operation may still be running.

    On this machine and boot the process is looked up; for a holder elsewhere only its expiry is known.
    """
    holder = mark.holder
    if mark.phase != "creating" or holder is None:
        return False
    runs = Process(holder.machine, holder.boot, holder.pid, holder.started).runs()
    return time.time() < holder.expires if runs is None else runs


def _make_room(ctx: Context, volumes: Volumes, ref: VolumeRef) -> bool:
    """Clear the name of debris. That is also the mark of a volume that was deleted behind Kiln's back, since there is
    nothing left that it could own; True where it was such a one. Raises Conflict."""
    old = volumes.read_mark(ctx, ref)
    there = (old is not None and old.phase == "creating") or _exists(ctx, volumes, ref)
    there = there or (moved_to(old) is not None and find(ctx, volumes, ref).ref != ref)
    if there:
        refuse_taken("volume", str(ref), old)
    if old is None:
        return False
    ctx.log.debug(f"removing what a dead operation left of volume '{ref}'")
    volumes.delete(ctx, ref)
    discard_temporaries(ctx, volumes, ref.pool, old.operation)
    volumes.delete_mark(ctx, ref)
    return not there


def refuse_taken(kind: str, name: str, mark: Mark | None, *, import_it: str = "import it") -> None:
    """Refuse the name of an object with this mark, unless a dead operation left it unfinished. Raises Conflict at
    ``name``."""
    if mark is None:
        raise Conflict(
            f"{kind} '{name}' exists already and Kiln did not make it", action=f"choose another name, or {import_it}"
        ).at(path="name")
    if (place := moved_to(mark)) is not None:
        raise Conflict(
            f"{kind} '{name}' is the id of a disk, and taken",
            cause=f"Kiln moved that disk to '{place}'" + (f" for {mark.urn}" if mark.urn else ""),
            action="choose another name",
        ).at(path="name")
    if mark.phase == "done":
        owner = f" for {mark.urn}" if mark.urn else ""
        raise Conflict(
            f"{kind} '{name}' exists already",
            cause=f"Kiln made it{owner} (operation {mark.operation})",
            action="choose another name, `pulumi import` it, or, when no stack holds it, remove it with "
            "`kiln gc --state EXPORT --yes`, given the exports of all stacks",
        ).at(path="name")
    if held(mark):
        raise Conflict(
            f"{kind} '{name}' is being made by another operation",
            cause=f"its mark belongs to {mark.urn or 'a running operation'}",
            action="wait for that run to end, then run again",
        ).at(path="name")


class Claim:
    """A name for a volume about to be made: taken with a mark, and given back with all that was made under it.

    ``again`` says that the name was that of a volume of Kiln's which somebody deleted. Nothing is given back before the
    mark began to be written, so that a pool that cannot be used is told once.
    """

    def __init__(self, volumes: Volumes, ref: VolumeRef, mark: Mark) -> None:
        self.mark, self.again = mark, False
        self._volumes, self._ref = volumes, ref
        self._begun = False

    def take(self, ctx: Context) -> None:
        """Write the mark, clearing debris of a dead operation first.

        Raises:
            Conflict: at ``name``: it is taken, by something that is not Kiln's, by another resource or by a running
                operation.
            KilnError: at ``pool``: it cannot be looked into or written to.
        """
        try:
            self.again = _make_room(ctx, self._volumes, self._ref)
            self._begun = True
            self._volumes.write_mark(ctx, self._ref, self.mark, new=True)
        except (Unreachable, Cancelled):
            raise
        except Conflict as error:  # also of somebody who was faster
            error.at(path="name")
            raise
        except KilnError as error:
            error.at(path="pool")
            raise

    def give_back(self, ctx: Context) -> None:
        """Delete what this operation made under the name, and its mark."""
        if self._begun:
            release_volume(ctx, self._volumes, self._ref, self.mark)


def release_volume(ctx: Context, volumes: Volumes, ref: VolumeRef, mark: Mark | None = None) -> None:
    """Delete a volume and then its mark; with ``mark``, only when the volume still belongs to that operation."""
    if mark is not None:
        current = volumes.read_mark(ctx, ref)
        if current is None or current.operation != mark.operation:
            return
    volumes.delete(ctx, ref)
    volumes.delete_mark(ctx, ref)


def refuse_overlaid(ctx: Context, volumes: Volumes, ref: VolumeRef, kind: str, *, but: Collection[str] = ()) -> None:
    """Refuse to delete a volume while another one than those at the paths ``but`` has it in its backing chain. Raises
    Refused naming them."""
    try:
        users = volumes.overlays(ctx, ref)
        if but:
            users = [user for user in users if volumes.get(ctx, user).path not in but]
    except NotFound:
        return
    if users:
        raise Refused(
            f"{kind} '{ref}' is in use and stays",
            cause=f"{listed(users)} {'is an overlay' if len(users) == 1 else 'are overlays'} of it",
            action="delete those disks and their servers first",
        )


def tell_users(ctx: Context, domains: Domains, volume: Volume) -> None:
    """Warn of running guests that have a volume's path from before it was made: what they have is another file, which
    somebody deleted under them."""
    try:
        users = domains.users(ctx, volume.path)
    except (Unreachable, Cancelled):
        raise
    except KilnError as error:
        ctx.log.debug(f"who uses '{volume.ref}' is not known: {error}")
        return
    for name in users:
        ctx.log.warning(
            f"the running guest '{name}' goes on with the disk that was deleted under it, and what it writes is lost"
            f" when it stops: it gets the new '{volume.ref}' when it is next started. Save what it needs from the old"
            " one, then shut it down and start it"
        )


def _exists(ctx: Context, volumes: Volumes, ref: VolumeRef) -> bool:
    try:
        volumes.get(ctx, ref)
    except NotFound:
        return False
    return True
