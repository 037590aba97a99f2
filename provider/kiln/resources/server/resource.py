"""The Server resource: checks, plans, and the order of steps."""

from __future__ import annotations

import secrets
import uuid as uuids
from dataclasses import replace
from typing import ClassVar

from kiln.framework.context import Context
from kiln.framework.errors import Cancelled, InputError, InputErrors, KilnError, NotFound, PartialCreate
from kiln.framework.model import Impact
from kiln.framework.plan import Plan, compare, may_replace
from kiln.framework.resource import Created, Found, Resource
from kiln.framework.steps import KeptFailure, Step, run, undo
from kiln.framework.units import Size
from kiln.framework.values import UNKNOWN
from kiln.ports.domains import Domain
from kiln.ports.nodes import Node
from kiln.resources import cloning
from kiln.resources.names import split_import_id
from kiln.resources.ownership import finished, new_mark, refuse_overlaid
from kiln.resources.server import devices, life, observe, overlay, storage
from kiln.resources.server.build import Work, default_network, ground_kept, ground_of
from kiln.resources.server.changing import changing
from kiln.resources.server.checks import refuse_contradictions
from kiln.resources.server.external_snapshots import overlays_left
from kiln.resources.server.failing import state_left
from kiln.resources.server.fit import check_fit, require_boot_files, require_cpu, require_fit
from kiln.resources.server.impact import Now, weigh
from kiln.resources.server.known import Known
from kiln.resources.server.model import ServerInputs, ServerState
from kiln.resources.server.network import require_networks
from kiln.resources.server.order import cds_of
from kiln.resources.server.policy import check_restarts, refusals
from kiln.resources.server.rehearsal import rehearse
from kiln.resources.server.resizing import spare_memory
from kiln.resources.server.saved import resumed
from kiln.resources.site import Site


class Server(Resource[ServerInputs, ServerState]):
    """A virtual machine on a node.

    The root disk is cloned from `image` and belongs to the server; `disks` are attached and live on their own. At its
    first boot the guest learns its name, keys and a password of its own from a seed CD, which is removed again once the
    boot is seen to have ended (`waitFor="firstBoot"` waits for that).

    ```python
    import pulumi
    import pulumi_kiln as kiln

    image = kiln.Image("debian", source="debian-12-genericcloud-amd64.qcow2")
    web = kiln.Server(
        "web",
        image=image.id,
        disk_size="20GiB",
        memory="1GiB",
        wait_for="firstBoot",
    )
    pulumi.export("password", web.initial_password)
    pulumi.export("console", web.console.command)
    ```
    """

    name: ClassVar[str] = "Server"
    Inputs = ServerInputs
    State = ServerState
    delete_first = True

    def __init__(self, site: Site) -> None:
        self._site = site

    # --- check and diff ------------------------------------------------------------------------------------------

    def check(self, ctx: Context, new: ServerInputs, old: ServerInputs | None) -> ServerInputs:
        """Resolve the node and the pool; refuse combinations that cannot work."""
        uri = self._site.uri_for(new.node, old.node if old else None)
        refuse_contradictions(new)
        overlay.check_actions(new.xml_overlay, old.xml_overlay if old else None)
        if uri is not UNKNOWN and isinstance(new.platform_config, dict):
            self._site.nodes.check_settings(uri, new.platform_config)
        if uri is not UNKNOWN and isinstance(new.xml_overlay, list):
            self._site.nodes.check_overlay(uri, overlay.specs(new))
        checked = new.model_copy(update={"node": uri, "pool": new.pool or self._site.pool_for(uri)})
        if old is not None and not may_replace(old, checked):
            cloning.refuse_shrinking("diskSize", "the root disk", old.disk_size, new.disk_size)
        if old is not None:
            check_restarts(ctx, self._site, checked, old)
        check_fit(ctx, self._site, checked, old)
        return checked

    def diff(self, ctx: Context, id: str, state: ServerState, old: ServerInputs, new: ServerInputs) -> Plan:
        """The changes from what the guest was given last, which after a failed update is not what ``old`` says; another
        URI of the same node is none."""
        plan = self._plan(ctx, id, state, new)
        if not plan.touches("first_boot") and any(change.field == "first_boot" for change in compare(state, new)):
            ctx.log.warning(
                f"'firstBoot' has changed, and the guest '{state.name}' was told the one before: it stays as it is. "
                "Set 'onFirstBootChange' to rerun, which restarts it, or to replace"
            )
        return plan

    def _plan(self, ctx: Context, id: str, state: ServerState, new: ServerInputs) -> Plan:
        changes = list(self._site.weigh_node(ctx, state.node_identity, compare(state, new)))
        moved = any(change.field == "node" and change.impact is Impact.LIVE for change in changes)
        waits = bool(state.pending_restart) and new.restart_policy == "allowed"
        now = self._now(ctx, id, state, new, moved=moved) if changes or waits or state.renamed else Now(active=False)
        weighed = weigh(changes, state, new, now)
        replaced = any(change.impact is Impact.REPLACE for change in weighed)
        return Plan(weighed, delete_first=True, refused=() if replaced else refusals(weighed, new))

    def _now(self, ctx: Context, id: str, state: ServerState, new: ServerInputs, *, moved: bool) -> Now:
        """The guest as it is now, or as the state knows it where the node cannot be asked."""
        known = Now.of(state.state)
        node = self._site.node_to_look_at(ctx, new.node if moved else state.node)
        if node is None:
            return known
        try:
            domain = node.domains.get(ctx, id, recent=True)
            detached = storage.image_of_root(ctx, node.volumes, state) if state.image is None else None
            resized = new.disk_size is not None and new.disk_size != state.disk_size
            root = storage.root_volume(ctx, node.volumes, state, domain) if resized else None
            spare = spare_memory(ctx, node, domain, new)
        except Cancelled:
            raise
        except KilnError as error:
            ctx.log.debug(f"'{state.name}' cannot be looked at: {error}")
            return known
        free = devices.free_slots(domain, new)
        size = Size.of(root.virtual_size) if root is not None else None
        return replace(
            Now.of(domain.state),
            detached_root=detached,
            free_slots=free,
            root_size=size,
            domain=domain,
            spare=spare,
            cds=cds_of(domain, state.disks or []),
        )

    # --- create --------------------------------------------------------------------------------------------------

    def create(self, ctx: Context, inputs: ServerInputs) -> Created[ServerState]:
        """Make the guest. Everything up to its definition is undone on failure; after it a failure is partial."""
        node = self._site.node_to_change(ctx, inputs.node)
        self._site.ensure_pool(ctx, inputs.node, inputs.pool)
        work = Work(inputs, str(uuids.uuid4()), new_mark(ctx, "server", seconds=self.timeout), is_new=True)
        work.instance, work.hidden = storage.instance_id(work.uuid), overlay.values(inputs)
        work.ground = ground_of(ctx, self._site, node, inputs.node)
        work.root_plan = storage.plan_root(ctx, node.volumes, inputs)
        work.disks = storage.used_disks(ctx, node.volumes, inputs)
        storage.refuse_shared(ctx, node.domains, work.disks, work.uuid, inputs.name)
        require_networks(ctx, node, inputs, work.ground)
        require_fit(ctx, node, inputs)
        require_cpu(inputs, work.ground.accelerator, node.uri)
        require_boot_files(ctx, node, inputs)
        work.vnc_password = vnc_password(inputs)
        rehearse(ctx, node, work)
        making = life.making(node, work)
        try:
            run(ctx, [*making, *life.starting(node, work), *life.settling(node, work)])
        except KeptFailure as failure:
            failure.error.at(node=node.uri)
            if isinstance(failure.error, InputError):  # as it is asked for it cannot run, and it never did
                undo(ctx, making)
                raise failure.error from failure
            life.settle(ctx, node, work)
            raise PartialCreate(work.uuid, observe.state(node, work), [failure.error.located()]) from failure
        finally:
            work.close()
        return Created(work.uuid, observe.state(node, work))

    # --- read ----------------------------------------------------------------------------------------------------

    def read(
        self, ctx: Context, id: str, inputs: ServerInputs | None, state: ServerState | None
    ) -> Found[ServerInputs, ServerState] | None:
        """The guest as it is. An import id is a UUID or a name, with the node's URI after ``@`` when it is another."""
        natural, uri = split_import_id(id, inputs.node if inputs is not None and inputs.node else self._site.uri)
        node = self._site.node(ctx, uri)
        try:
            domain = _find(ctx, node, natural)
        except NotFound:
            return None
        network = default_network(self._site, node, uri)
        return observe.found(ctx, node, domain, Known(uri, self._site.pool_for(uri), network, inputs, state))

    # --- update --------------------------------------------------------------------------------------------------

    def update(self, ctx: Context, id: str, state: ServerState, old: ServerInputs, new: ServerInputs) -> ServerState:
        """Change the guest in place: settings live, the rest by redefining and, when it runs, restarting it.

        Raises:
            InputErrors: it is never to be restarted, and has to be.
        """
        if new.on_first_boot_change == "ignore":  # the state says what the guest was told
            new = new.model_copy(update={"first_boot": state.first_boot})
        if new.restart_policy == "forbidden" and (refused := self._plan(ctx, id, state, new).refused):
            raise InputErrors(refused)
        node = self._site.node_to_change(ctx, new.node)
        work = self._work_for(ctx, node, resumed(ctx, node, node.domains.get(ctx, id), new), state, new)
        changed = {change.field for change in (*compare(old, new), *compare(state, new))}
        if "disks" in changed:
            storage.refuse_shared(ctx, node.domains, work.disks, id)
        if "networks" in changed and work.ground is not None:
            require_networks(ctx, node, new, work.ground)
        require_fit(ctx, node, new, old)
        if work.ground is not None:
            require_cpu(new, work.ground.accelerator, node.uri)
        require_boot_files(ctx, node, new, old)
        rehearse(ctx, node, work)
        steps = [
            Step("find the guest", lambda ctx: None, keeps=True),
            *changing(ctx, node, work, changed, state),
            *life.settling(node, work),
        ]
        try:
            run(ctx, steps)
        except KeptFailure as failure:
            errors = [failure.error.at(node=node.uri), work.cannot_put_back]
            left = state_left(ctx, node, work, failure.error, state, changed)
            raise PartialCreate(id, left, [error.located() for error in errors if error is not None]) from failure
        finally:
            work.close()
        return observe.state(node, work)

    def _work_for(self, ctx: Context, node: Node, domain: Domain, state: ServerState, new: ServerInputs) -> Work:
        """The work on a guest that exists: its volumes as they are, its secrets from the state."""
        work = Work(new, domain.uuid, domain.mark or finished(new_mark(ctx, "server")))
        work.domain, work.hidden = domain, overlay.values(state, new)
        work.is_off = domain.state not in ("running", "paused")
        work.password = state.initial_password
        work.addresses = list(state.addresses or [])
        work.vnc_password = state.vnc_password or vnc_password(new)
        ground, known = ground_of(ctx, self._site, node, new.node), self._site.knows(new.node)
        work.ground = ground_kept(ground, domain, state, new, known=known)
        work.root, work.seed = storage.own_volumes(ctx, node.volumes, new, domain)
        work.loose_seed = storage.loose_seed(ctx, node.volumes, new, domain)
        seed = node.volumes.read_mark(ctx, work.seed.chain[0].ref) if work.seed is not None else None
        work.instance = storage.instance_id(work.uuid, seed)
        work.marks = storage.unfinished_marks(ctx, node.volumes, work.root, work.seed)
        work.root_plan = storage.plan_root(ctx, node.volumes, new)
        work.disks = storage.used_disks(ctx, node.volumes, new)
        return work

    # --- delete --------------------------------------------------------------------------------------------------

    def delete(self, ctx: Context, id: str, state: ServerState) -> None:
        """Shut the guest down, undefine it, and delete the volumes that belong to it."""
        node = self._site.node_to_change(ctx, state.node)
        domain = _gone_or(ctx, node, id)
        own = storage.to_delete(ctx, node.volumes, domain, state)
        left = overlays_left(ctx, node.volumes, domain, own)
        for ref in own:
            refuse_overlaid(ctx, node.volumes, ref, "root disk", but=left)
        run(ctx, life.ending(node, id, float(state.shutdown_timeout), own))
        for path in left:
            ctx.log.warning(
                f"{path} stays on {node.uri}, an overlay that Kiln did not make of the root disk of '{state.name}', and"
                " is of no use without that: delete it"
            )


def vnc_password(inputs: ServerInputs) -> str | None:
    """A random password for the graphical console; the VNC protocol takes eight characters."""
    return secrets.token_urlsafe(6) if inputs.graphics == "vnc" else None


def _gone_or(ctx: Context, node: Node, id: str) -> Domain | None:
    """The guest, None where it is gone."""
    try:
        return node.domains.get(ctx, id)
    except NotFound:
        return None


def _find(ctx: Context, node: Node, natural: str) -> Domain:
    try:
        uuids.UUID(natural)
    except ValueError:
        return node.domains.by_name(ctx, natural)
    return node.domains.get(ctx, natural, recent=True)
