"""Taking a guest back to a snapshot: what that discards, in words, and its steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kiln.framework.context import Context
from kiln.framework.errors import InputError, NotFound
from kiln.framework.steps import Step
from kiln.ports.definition import Definition
from kiln.ports.domains import Domain
from kiln.ports.nodes import Node
from kiln.ports.snapshots import Snapshot
from kiln.ports.volumes import Volume
from kiln.resources import cloning
from kiln.resources.names import listed
from kiln.resources.snapshot.fit import refuse_unsettled, runs
from kiln.resources.snapshot.model import SnapshotState


@dataclass
class Revert:
    """One revert. ``sizes`` are bytes of the volumes as they are before it, which they keep."""

    node: Node
    snapshot: Snapshot
    domain: Domain
    before: Definition
    sizes: Sequence[Volume]
    ejected: Sequence[str]
    begun: bool = False


def discarded(state: SnapshotState, domain: Domain | None) -> str:
    """What a revert discards, and how the guest goes on; None for a guest that cannot be looked at."""
    name = "" if domain is None else f" '{domain.name}'"
    disks, memory = listed(map(repr, state.disks)), ""
    if domain is None or runs(domain):
        memory = ", and what is in its memory" + (" if it runs" if domain is None else "")
    return f"discards what the guest{name} wrote to {disks} since {state.created}{memory}; it {_after(state, domain)}"


def _after(state: SnapshotState, domain: Domain | None) -> str:
    if state.state != "stopped":
        return "runs on from then" if state.state == "running" else "is paused as it was then"
    if domain is None:
        return "is started again if it runs"
    return "is started again" if runs(domain) else "stays off"


def prepare(ctx: Context, node: Node, snapshot: Snapshot) -> Revert:
    """See that a revert can be done as a whole; nothing is changed yet.

    Raises:
        NotFound: the guest is not there.
        InputError: at ``revert``: the guest's memory is saved, or not all disks hold the snapshot.
    """
    domain = node.domains.get(ctx, snapshot.guest)
    refuse_unsettled(domain, "revert")
    volumes = [_held(ctx, node, snapshot, target, path) for target, path in snapshot.disks.items()]
    media = [path for path in snapshot.media.values() if path is not None and snapshot.state != "stopped"]
    gone = [path for path in media if _is_gone(ctx, node, path)]
    return Revert(node, snapshot, domain, node.domains.definition(ctx, domain.uuid), volumes, gone)


def reverting(work: Revert) -> list[Step]:
    """From the guest as it is to what it was, with the definition and the sizes of disks that it has now."""
    node, uuid, snapshot = work.node, work.domain.uuid, work.snapshot

    def revert(ctx: Context) -> None:
        work.begun = True
        node.snapshots.revert(ctx, uuid, snapshot.name, ejected=work.ejected)

    def put_definition_back(ctx: Context) -> None:
        node.domains.restore(ctx, work.before)

    steps = [Step("revert", revert, keeps=True), Step("put the definition back", put_definition_back)]
    steps.append(Step("grow disks", lambda ctx: _grow(ctx, work)))
    if runs(work.domain):
        steps.insert(0, Step("stop guest", lambda ctx: node.domains.destroy(ctx, uuid), lambda ctx: _resume(ctx, work)))
        if snapshot.state == "stopped":
            steps.append(Step("start guest", lambda ctx: _start(ctx, node, uuid)))
    return steps


def _resume(ctx: Context, work: Revert) -> None:
    """Start again a guest that was stopped for nothing; not one whose disks may be half reverted."""
    if not work.begun:
        _start(ctx, work.node, work.domain.uuid)
        return
    ctx.log.warning(
        f"guest '{work.domain.name}' is off, as its disks may be reverted in part: run again, or start it as it is"
    )


def _start(ctx: Context, node: Node, uuid: str) -> None:
    node.domains.start(ctx, uuid)


def _grow(ctx: Context, work: Revert) -> None:
    """Give the disks that have grown since the snapshot the size that the program knows."""
    volumes, domains = work.node.volumes, work.node.domains
    for volume in work.sizes:
        size = volume.virtual_size
        shrunk = volumes.get(ctx, volume.ref).virtual_size < size
        if shrunk and not domains.resize_disk(ctx, volume.path, size):
            cloning.grow(ctx, volumes, volume.ref, size)


def _held(ctx: Context, node: Node, snapshot: Snapshot, target: str, path: str) -> Volume:
    """The volume of a disk that the snapshot is in. Raises InputError at ``revert`` when it is not that any more."""
    try:
        volume = node.volumes.by_path(ctx, path)
    except NotFound as error:
        raise _torn(snapshot, f"its disk '{target}' ({path}) is gone, or in no storage pool") from error
    held = node.volumes.snapshots(ctx, volume.ref).count(snapshot.name)
    if held != 1:
        what = "does not hold it any more" if not held else "holds another one of that name"
        raise _torn(snapshot, f"its disk '{volume.ref}' {what}")
    return volume


def _is_gone(ctx: Context, node: Node, path: str) -> bool:
    """Whether the volume of a CD was deleted; what lies in no pool only the node itself can look for."""
    try:
        node.volumes.by_path(ctx, path)
    except NotFound:
        return path.rpartition("/")[0] in {pool.path for pool in node.volumes.pools(ctx)}
    return False


def _torn(snapshot: Snapshot, cause: str) -> InputError:
    return InputError(
        "revert",
        f"the guest cannot be taken back to the snapshot '{snapshot.name}', which would be only a part of it",
        cause=cause,
        action="set 'revert' back to what it was; the snapshot can only be deleted",
    )
