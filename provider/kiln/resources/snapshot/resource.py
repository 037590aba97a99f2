"""The Snapshot resource: checks, plans, and the order of steps."""

from __future__ import annotations

import uuid as uuids
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import ClassVar

from kiln.framework.context import Context
from kiln.framework.errors import InputError, KilnError, NotFound, PartialCreate
from kiln.framework.model import Impact
from kiln.framework.plan import Change, Plan, compare
from kiln.framework.resource import Created, Found, Resource
from kiln.framework.steps import KeptFailure, Step, run
from kiln.framework.values import UNKNOWN
from kiln.ports.domains import Domain
from kiln.ports.nodes import Node
from kiln.ports.snapshots import Snapshot as Taken
from kiln.resources.names import check_lines, split_import_id
from kiln.resources.ownership import new_mark
from kiln.resources.site import Site
from kiln.resources.snapshot import life
from kiln.resources.snapshot.fit import refuse_unfit
from kiln.resources.snapshot.model import SnapshotInputs, SnapshotState
from kiln.resources.snapshot.reverting import discarded, prepare, reverting


class Snapshot(Resource[SnapshotInputs, SnapshotState]):
    """What a server's disks hold at a moment, and its memory if it runs, kept inside these disks.

    It is taken when the resource is made, belongs to its server and is gone with it. Whenever the text `revert` becomes
    another one, the guest is taken back to it; the preview says what that discards. All disks of the server have the
    format qcow2. A guest that runs stands still while its memory is written.

    ```python
    import pulumi_kiln as kiln

    image = kiln.Image("debian", source="debian-12-genericcloud-amd64.qcow2")
    db = kiln.Server("db", image=image.id, wait_for="firstBoot")
    fresh = kiln.Snapshot("fresh", server=db.id, description="before the first import")
    # To go back: kiln.Snapshot("fresh", ..., revert="2026-05-01, the import went wrong")
    ```
    """

    name: ClassVar[str] = "Snapshot"
    Inputs = SnapshotInputs
    State = SnapshotState
    delete_first = True

    def __init__(self, site: Site) -> None:
        self._site = site

    def check(self, ctx: Context, new: SnapshotInputs, old: SnapshotInputs | None) -> SnapshotInputs:
        """Resolve the node. What the guest has to be is known when it is made, which may be in the same run."""
        uri = self._site.uri_for(new.node, old.node if old else None)
        check_lines(new.description, "description")
        return new.model_copy(update={"node": uri})

    def diff(self, ctx: Context, id: str, state: SnapshotState, old: SnapshotInputs, new: SnapshotInputs) -> Plan:
        """The changes that matter, with what they discard of the guest as it is now.

        Raises:
            InputError: the guest cannot be taken back, or no snapshot can be taken in the place of one that is lost.
        """
        changes = [change for change in compare(state, new) if not _is_so(change, state)]
        plan = Plan(tuple(self._site.weigh_node(ctx, state.node_identity, changes)), delete_first=True)
        if not plan.replaces and not plan.touches("revert"):
            return plan
        uri = state.node if plan.replaces else new.node
        guest = self._guest(ctx, uri, state.server)
        if plan.replaces and guest is not None and not plan.touches("server", "node"):
            refuse_unfit(guest, new)
        if not plan.replaces and new.revert:
            self._site.look(ctx, uri, lambda node: _rehearse(ctx, node, state))
        return replace(plan, changes=tuple(_told_costs(plan, state, guest)))

    def _guest(self, ctx: Context, uri: str, uuid: str) -> Domain | None:
        """The guest as it is, None where it cannot be looked at."""
        return self._site.look(ctx, uri, lambda node: node.domains.get(ctx, uuid, recent=True))

    def planned_id(self, inputs: SnapshotInputs) -> str | None:
        """Its server and its name, which are inputs."""
        return None if UNKNOWN in (inputs.server, inputs.name) else f"{inputs.server}/{inputs.name}"

    def create(self, ctx: Context, inputs: SnapshotInputs) -> Created[SnapshotState]:
        """Take the snapshot and mark it done; undone on failure."""
        node = self._site.node_to_change(ctx, inputs.node)
        try:
            domain = node.domains.get(ctx, inputs.server)
        except NotFound as error:
            raise InputError(
                "server", f"there is no guest {inputs.server} on {node.uri}", action="use the id of a Server there"
            ) from error
        refuse_unfit(domain, inputs)
        mark = new_mark(ctx, "snapshot", seconds=self.timeout, info={"name": inputs.name})
        taken = list[Taken]()
        run(ctx, life.taking(node, domain, inputs, mark, taken.append))
        return Created(f"{inputs.server}/{inputs.name}", _told(ctx, node, inputs, taken[-1], None))

    def read(
        self, ctx: Context, id: str, inputs: SnapshotInputs | None, state: SnapshotState | None
    ) -> Found[SnapshotInputs, SnapshotState] | None:
        """The snapshot as it is. An import id is ``server/snapshot``, with the server's name or UUID, and with the
        node's URI after ``@`` when it is another."""
        natural, uri = split_import_id(id, inputs.node if inputs is not None and inputs.node else self._site.uri)
        node = self._site.node(ctx, uri)
        try:
            found = _find(ctx, node, natural)
        except NotFound:
            return None
        if state is not None and _time(found) != state.created:
            return None  # another one that has its name
        if inputs is None:
            now = _imported(found, uri)
        else:
            now = inputs.model_copy(update={"node": uri, "description": found.description})
        return Found(f"{found.guest}/{found.name}", now, _told(ctx, node, now, found, state))

    def update(
        self, ctx: Context, id: str, state: SnapshotState, old: SnapshotInputs, new: SnapshotInputs
    ) -> SnapshotState:
        """Describe the snapshot otherwise, and take the guest back to it where `revert` became another text."""
        node = self._site.node_to_change(ctx, new.node)
        found = _find(ctx, node, id)
        if _time(found) != state.created:
            raise NotFound(f"the snapshot '{new.name}' of {state.created} is gone, and another one has its name")
        if new.description != found.description:
            found = life.described(ctx, node, found, new.description)
        told = _told(ctx, node, new, found, state)
        if new.revert and new.revert != state.revert:
            self._revert(ctx, node, found, id, told)
        return told

    def _revert(self, ctx: Context, node: Node, found: Taken, id: str, told: SnapshotState) -> None:
        """Take the guest back. Raises PartialCreate when it is back and not what its server is."""
        work = prepare(ctx, node, found)
        try:
            run(ctx, reverting(work))
        except KeptFailure as failure:
            reason = failure.error.at(node=node.uri).located()
            mend = f"the guest '{work.domain.name}' is back at the snapshot; `pulumi refresh` and `pulumi up` mend it"
            raise PartialCreate(id, told, [reason, mend]) from failure
        ctx.log.info(f"the guest '{work.domain.name}' is back at the snapshot of {told.created}")

    def delete(self, ctx: Context, id: str, state: SnapshotState) -> None:
        """Delete the snapshot; those taken after it stay, and so does what the guest has now."""
        node = self._site.node_to_change(ctx, state.node)
        try:
            found = _find(ctx, node, id)
        except NotFound:
            return
        if _time(found) == state.created:
            run(ctx, [Step("delete snapshot", lambda ctx: life.remove(ctx, node, found))])


def _find(ctx: Context, node: Node, natural: str) -> Taken:
    """The snapshot that an id or an import id names. Raises NotFound, InputError."""
    guest, slash, name = natural.partition("/")
    if not slash or not guest or not name:
        raise InputError("id", f"{natural!r} is not the id of a snapshot", action="use SERVER/SNAPSHOT")
    try:
        uuid = str(uuids.UUID(guest))
    except ValueError:
        uuid = node.domains.by_name(ctx, guest).uuid
    return node.snapshots.get(ctx, uuid, name)


def _imported(found: Taken, uri: str) -> SnapshotInputs:
    if not found.internal:
        raise KilnError(
            f"the snapshot '{found.name}' lies in files beside the guest's disks, which Kiln does not make",
            cause="it is an external one",
            action="leave it to what made it",
        )
    return SnapshotInputs(name=found.name, server=found.guest, node=uri, description=found.description)


def _told(ctx: Context, node: Node, inputs: SnapshotInputs, found: Taken, known: SnapshotState | None) -> SnapshotState:
    """The state; what a snapshot holds is looked up once."""
    disks = [_volume(ctx, node, path) for path in found.disks.values()] if known is None else known.disks
    return SnapshotState(
        **dict(inputs), node_identity=node.identity(ctx), created=_time(found), state=found.state, disks=disks
    )


def _volume(ctx: Context, node: Node, path: str) -> str:
    try:
        return str(node.volumes.by_path(ctx, path).ref)
    except NotFound:
        return path


def _time(found: Taken) -> str:
    return datetime.fromtimestamp(found.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _rehearse(ctx: Context, node: Node, state: SnapshotState) -> None:
    prepare(ctx, node, node.snapshots.get(ctx, state.server, state.name))


def _is_so(change: Change, state: SnapshotState) -> bool:
    """Whether a changed property only states what is so already."""
    return change.field == "memory" and change.new in (None, state.state != "stopped")


def _told_costs(plan: Plan, state: SnapshotState, guest: Domain | None) -> Iterator[Change]:
    """The changes, saying what is lost."""
    for change in plan.changes:
        if plan.replaces:
            reason = f"the snapshot of {state.created} is lost" if change.impact is Impact.REPLACE else change.reason
            yield replace(change, reason=reason)
        elif change.field == "revert" and change.new in (None, ""):
            yield replace(change, impact=Impact.LIVE, reason="nothing is reverted")
        elif change.field == "revert":
            yield replace(change, reason=discarded(state, guest))
        else:
            yield change
