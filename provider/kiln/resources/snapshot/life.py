"""The steps of a snapshot's life but for going back to it: taking it, and deleting it whole."""

from __future__ import annotations

from collections.abc import Callable

from kiln.framework.context import Context
from kiln.framework.errors import Conflict, NotFound, Refused
from kiln.framework.steps import Step, run
from kiln.ports.domains import Domain
from kiln.ports.marks import Mark
from kiln.ports.nodes import Node
from kiln.ports.snapshots import Snapshot
from kiln.resources.names import listed
from kiln.resources.ownership import finished, new_mark, refuse_taken
from kiln.resources.snapshot.fit import not_qcow2, runs
from kiln.resources.snapshot.model import SnapshotInputs


def taking(
    node: Node, domain: Domain, inputs: SnapshotInputs, mark: Mark, taken: Callable[[Snapshot], None]
) -> list[Step]:
    """The steps of a new snapshot, all undone when one fails. ``taken`` is told of it."""
    snapshots, uuid, name = node.snapshots, domain.uuid, inputs.name

    def take(ctx: Context) -> None:
        _make_room(ctx, node, domain, name)
        _refuse_held(ctx, node, domain, name)
        ctx.log.status("writing the guest's memory" if runs(domain) else "taking it")
        try:
            text, memory = inputs.description, runs(domain)
            taken(snapshots.create(ctx, uuid, name, memory=memory, description=text, mark=mark))
        except Conflict as error:  # somebody was faster
            error.at(path="name")
            raise

    def give_back(ctx: Context) -> None:
        try:
            found = snapshots.get(ctx, uuid, name)
        except NotFound:
            return
        if found.mark is not None and found.mark.operation == mark.operation:
            snapshots.delete(ctx, uuid, name)

    def done(ctx: Context) -> None:
        taken(snapshots.describe(ctx, uuid, name, description=inputs.description, mark=finished(mark)))

    return [Step("take snapshot", take, give_back), Step("mark done", done)]


def described(ctx: Context, node: Node, snapshot: Snapshot, description: str | None) -> Snapshot:
    """The snapshot, once it has another description; one that Kiln did not make is its own from then on."""
    mark = finished(snapshot.mark or new_mark(ctx, "snapshot", info={"name": snapshot.name}))
    now = list[Snapshot]()

    def describe(ctx: Context) -> None:
        now.append(node.snapshots.describe(ctx, snapshot.guest, snapshot.name, description=description, mark=mark))

    run(ctx, [Step("describe snapshot", describe)])
    return now[0]


def remove(ctx: Context, node: Node, snapshot: Snapshot) -> None:
    """Delete a snapshot with all it holds; one that is gone is a success.

    Raises:
        Refused: the guest runs with a disk because of which libvirt would forget the snapshot and keep what it holds,
            or without one that it had then.
    """
    try:
        domain = node.domains.get(ctx, snapshot.guest)
    except NotFound:
        return
    raw = not_qcow2(domain)
    if runs(domain) and raw:
        raise Refused(
            f"snapshot '{snapshot.name}' of guest '{domain.name}' stays",
            cause=f"the guest runs with disks that hold no snapshots ({listed(raw)}), and while it does, libvirt cannot"
            " remove what the others hold",
            action="stop the guest, or take those from its server's 'disks', and run again",
        )
    node.snapshots.delete(ctx, snapshot.guest, snapshot.name)


def _make_room(ctx: Context, node: Node, domain: Domain, name: str) -> None:
    """Clear the name of what a dead operation left. Raises Conflict at ``name``."""
    try:
        found = node.snapshots.get(ctx, domain.uuid, name)
    except NotFound:
        return
    import_it = f"`pulumi import kiln:index:Snapshot NAME {domain.uuid}/{name}`"
    refuse_taken("snapshot", f"{domain.name}/{name}", found.mark, import_it=import_it)
    ctx.log.debug(f"removing what a dead operation left of snapshot '{name}'")
    remove(ctx, node, found)


def _refuse_held(ctx: Context, node: Node, domain: Domain, name: str) -> None:
    """Refuse a name under which a disk holds something already: of two, QEMU goes back to the older one. Raises
    Conflict at ``name``."""
    for path in [disk.path for disk in (domain.live or domain).disks if disk.device == "disk" and disk.path]:
        try:
            ref = node.volumes.by_path(ctx, path).ref
        except NotFound:
            continue
        if name in node.volumes.snapshots(ctx, ref):
            raise Conflict(
                f"the disk '{ref}' holds a snapshot '{name}' already, which no guest knows of",
                cause="the guest that it was taken of was undefined, or its snapshot was, and the content stayed",
                action=f"choose another name, or remove it while the guest is off: qemu-img snapshot -d {name} {path}",
            ).at(path="name")
