"""The Disk resource: checks, plans, and the order of steps."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import ClassVar, Literal

from kiln.framework.context import Context
from kiln.framework.errors import Cancelled, InputError, KilnError, NotFound, Refused
from kiln.framework.model import Impact
from kiln.framework.plan import Change, Plan, compare, may_replace
from kiln.framework.resource import Created, Found, Resource
from kiln.framework.steps import Step, run
from kiln.framework.units import Size
from kiln.framework.values import UNKNOWN
from kiln.ports.nodes import Node
from kiln.ports.volumes import Volume, VolumeRef
from kiln.resources import cloning, content
from kiln.resources.disk.changing import MOVES, as_it_is, look_at_move, moved, recover
from kiln.resources.disk.making import Made, filling, state_of, wanted
from kiln.resources.disk.model import DiskInputs, DiskState
from kiln.resources.disk.moving import aside
from kiln.resources.disk.releasing import copy_at_home, release
from kiln.resources.disk.uses import volume_at
from kiln.resources.names import listed, split_import_id, volume_id, volume_ref
from kiln.resources.origin import known_source, origin
from kiln.resources.ownership import Claim, finished, new_mark, refuse_overlaid, tell_users
from kiln.resources.places import Place, find, place_of
from kiln.resources.site import Site, require_known_pool


class Disk(Resource[DiskInputs, DiskState]):
    """A disk that lives on its own: blank, cloned from an image, or filled from a file.

    Servers name it in `disks`. Content that is an ISO is recognised by its bytes and attached as a CD.

    ```python
    import pulumi_kiln as kiln

    data = kiln.Disk("data", size="20GiB", deletion_policy="retain")
    installer = kiln.Disk("installer", source="debian-12.7.0-amd64-netinst.iso")
    server = kiln.Server("db", disks=[data.id, installer.id], memory="2GiB")
    ```
    """

    name: ClassVar[str] = "Disk"
    Inputs = DiskInputs
    State = DiskState
    delete_first = True
    names_content = True

    def __init__(self, site: Site) -> None:
        self._site = site

    def check(self, ctx: Context, new: DiskInputs, old: DiskInputs | None) -> DiskInputs:
        """Resolve node and pool; refuse contradictions and shrinking."""
        uri = self._site.uri_for(new.node, old.node if old else None)
        if new.image is not None and new.source is not None:
            raise InputError("source", "a disk has an 'image' or a 'source'", action="drop one of them")
        if new.image is None and new.source is None and new.size is None:
            raise InputError("size", "a blank disk needs a 'size'", action="set size, image or source")
        if new.source is None or new.format in ("qcow2", "raw"):
            cloning.check_size(new.size, "raw" if new.format == "raw" else "qcow2", "size")
        if new.image is not None and new.image is not UNKNOWN:
            volume_ref(new.image, "image")
        cloning.check_mode(new.clone, new.format)
        if new.clone == "linked" and new.image is None:
            raise InputError("clone", "only a disk that has an 'image' is a clone", action="drop 'clone', or set image")
        if new.source is not None:
            content.look(self._site, wanted(new))
        checked = new.model_copy(update={"node": uri, "pool": new.pool or self._site.pool_for(uri)})
        if old is not None and not may_replace(old, checked):
            cloning.refuse_shrinking("size", "a disk", old.size, new.size)
        return checked

    def diff(self, ctx: Context, id: str, state: DiskState, old: DiskInputs, new: DiskInputs) -> Plan:
        """The changes that matter: stating what is so already, or what only counts when a disk is made, is none."""
        changes = [change for change in compare(old, new) if not _is_so(change, state)]
        if any(change.field == "source" for change in changes) or state.kind == "iso":
            # A disk only began with its source's content and is the guest's since; a CD is that content.
            changes = [change for change in changes if change.field != "source"]
            change = content.source_change(ctx, self._site, old.source, new.source, state.source_digest)
            if change is not None:
                changes.append(change)
        plan = Plan(tuple(self._site.weigh_node(ctx, state.node_identity, changes)), delete_first=True)
        if old.size is None and not plan.replaces:  # a check sees all others
            cloning.refuse_shrinking("size", "a disk", state.virtual_size, new.size)
        if plan.touches("size") and not plan.replaces:
            told = (_told_of_size(change, state, new) for change in plan.changes)
            plan = replace(plan, changes=tuple(told))
        if plan.replaces:
            cost = self._cost(ctx, state)
            plan = replace(plan, changes=tuple(_costing(change, cost) for change in plan.changes))
        elif (move := next((change for change in plan.changes if change.field in MOVES), None)) is not None:
            reason = look_at_move(ctx, self._site, volume_ref(id, "id"), state, new, move)
            plan = replace(plan, changes=tuple(_saying(one, reason) for one in plan.changes))
        if plan.replaces and new.source is not None:
            content.rehearse(ctx, self._site, wanted(new))
        elif plan.touches("image"):
            self._look_at_image(ctx, new)
        elif state.kind == "iso" and not plan.touches("source"):
            cloning.check_cd(new.size, new.format)
        return plan

    def _cost(self, ctx: Context, state: DiskState) -> str:
        """What a replacement costs, and what is in its way."""
        lost = "" if state.kind == "iso" else f"the disk '{state.pool}/{state.name}' and what is on it are lost"
        node, users = self._site.node_to_look_at(ctx, state.node), list[str]()
        try:
            users = [] if node is None else list(node.domains.users(ctx, state.path))
        except Cancelled:
            raise
        except KilnError as error:
            ctx.log.debug(f"who uses '{state.path}' is not known: {error}")
        held = f"refused unless {listed(users)}, which runs with it, is stopped or replaced first" if users else ""
        return "; ".join(filter(None, (lost, held)))

    def _look_at_image(self, ctx: Context, new: DiskInputs) -> None:
        """Refuse a size or format for a clone of an ISO. An image that is not there yet, the program may be making."""
        if new.image is None or UNKNOWN in (new.image, new.node):
            return
        volumes = self._site.node(ctx, new.node).volumes
        with suppress(NotFound):
            if cloning.holds_iso(ctx, volumes, volumes.get(ctx, volume_ref(new.image, "image"))):
                cloning.check_cd(new.size, new.format)

    def planned_id(self, inputs: DiskInputs) -> str | None:
        """Its pool and name, which are inputs."""
        return volume_id(inputs.pool, inputs.name)

    def create(self, ctx: Context, inputs: DiskInputs) -> Created[DiskState]:
        """Claim the name, make the volume, mark it done; undone on failure."""
        node = self._site.node_to_change(ctx, inputs.node)
        self._site.ensure_pool(ctx, inputs.node, inputs.pool)
        made, ref, volumes = Made(), VolumeRef(inputs.pool, inputs.name), node.volumes
        mark = new_mark(ctx, "disk", seconds=self.timeout)
        claim, fill = Claim(volumes, ref, mark), filling(ctx, self._site, node, inputs, ref, made, mark)

        def make(ctx: Context) -> None:
            claim.take(ctx)
            with cloning.sizing(inputs.size, "size"):
                fill(ctx)
            if claim.again and made.volume is not None:
                tell_users(ctx, node.domains, made.volume)

        def done(ctx: Context) -> None:
            info = origin(inputs.source, made.source_digest, kind=made.kind, clone=made.method, image=inputs.image)
            volumes.write_mark(ctx, ref, finished(replace(mark, info=info)))

        run(
            ctx,
            [
                Step("make volume", make, claim.give_back),
                Step("mark done", done),
            ],
        )
        return Created(str(ref), state_of(inputs, made, node.identity(ctx)))

    def read(
        self, ctx: Context, id: str, inputs: DiskInputs | None, state: DiskState | None
    ) -> Found[DiskInputs, DiskState] | None:
        """The volume as it is. An import id is ``pool/volume``, with the node's URI after ``@`` when it is another."""
        natural, uri = split_import_id(id, inputs.node if inputs is not None and inputs.node else self._site.uri)
        node = self._site.node(ctx, uri)
        seen = VolumeRef(inputs.pool, inputs.name) if inputs is not None and state is not None else None
        place = find(ctx, node.volumes, volume_ref(natural, "id"), seen)
        ref = volume_at(ctx, node, place)
        try:
            volume = node.volumes.get(ctx, ref, recent=True)
        except NotFound:
            require_known_pool(ctx, node, ref.pool)
            return None
        if inputs is None or state is None:
            return self._imported(ctx, node, volume, natural, uri)
        size = Size.of(volume.virtual_size)
        stays = VolumeRef(ref.pool, inputs.name)
        home = stays if ref == aside(stays) else ref
        drift: dict[str, object] = {"node": uri, "pool": home.pool, "name": home.name}
        if inputs.size is not None and inputs.size.bytes != volume.virtual_size:
            drift["size"] = size
        if inputs.format is not None and inputs.format != volume.format and state.kind == "disk":
            drift["format"] = volume.format  # a move that was not finished
        known = inputs.model_copy(update=drift)
        kept = {
            "path": volume.path,
            "virtual_size": size,
            "stored_format": volume.format,
            "backing": volume.backing,
            "moving": _left_of_move(place, home, copy_at_home(ctx, node.volumes, volume_ref(natural, "id"), place)),
        }
        return Found(natural, known, state.model_copy(update={**dict(known), **kept}))

    def _imported(self, ctx: Context, node: Node, volume: Volume, id: str, uri: str) -> Found[DiskInputs, DiskState]:
        """A disk that no state knows, as the volume and its mark tell it."""
        mark = node.volumes.read_mark(ctx, volume.ref)
        info: Mapping[str, str] = mark.info if mark is not None else {}
        image = info.get("image")
        from_source = image is None and ("source" in info or "sourceDigest" in info)
        kind: Literal["disk", "iso"] = "iso" if cloning.holds_iso(ctx, node.volumes, volume) else "disk"
        known = DiskInputs(
            name=volume.ref.name,
            node=uri,
            pool=volume.ref.pool,
            image=image,
            source=known_source(info, volume.path) if from_source else None,
            size=None if kind == "iso" else Size.of(volume.virtual_size),
            format=None if kind == "iso" else "raw" if volume.format == "raw" else "qcow2",
        )
        made = Made(volume, kind, source_digest=info.get("sourceDigest"), method=info.get("clone"))
        return Found(id, known, state_of(known, made, node.identity(ctx)))

    def update(self, ctx: Context, id: str, state: DiskState, old: DiskInputs, new: DiskInputs) -> DiskState:
        """Move the disk, and grow it, through the guest that uses it when one runs."""
        node = self._site.node_to_change(ctx, new.node)
        volumes, domains = node.volumes, node.domains
        volume = moved(ctx, self._site, node, volume_ref(id, "id"), state, new)
        size = new.size

        def grow(ctx: Context) -> None:
            assert size is not None
            with cloning.sizing(size, "size"):
                if size.bytes < volume.virtual_size or not domains.resize_disk(ctx, volume.path, size.bytes):
                    cloning.grow(ctx, volumes, volume.ref, size.bytes)

        if size is not None and size.bytes != volume.virtual_size:
            run(ctx, [Step("grow volume", grow)])
            volume = volumes.get(ctx, volume.ref)
        return as_it_is(state, new, volume)

    def delete(self, ctx: Context, id: str, state: DiskState) -> None:
        """Delete the volume; where ``deletionPolicy`` is ``retain`` only its mark, so that nothing of Kiln owns it."""
        node, ref = self._site.node_to_change(ctx, state.node), volume_ref(id, "id")
        recover(ctx, node, ref, state)
        place = place_of(ctx, node.volumes, ref)
        if state.deletion_policy == "retain":
            run(ctx, [Step("let go of volume", lambda ctx: release(ctx, node, ref, place, keep=True))])
            ctx.log.info(f"disk '{place}' stays on {state.node} and is nobody's now; `pulumi import` takes it back")
            return
        refuse_overlaid(ctx, node.volumes, place, "disk")
        self._refuse_running(ctx, node, place, state)
        run(ctx, [Step("delete volume", lambda ctx: release(ctx, node, ref, place))])

    def _refuse_running(self, ctx: Context, node: Node, place: VolumeRef, state: DiskState) -> None:
        """Refuse to delete a disk under a running guest, which would write on into a file without a name."""
        path = state.path
        with suppress(NotFound):
            path = node.volumes.get(ctx, place).path
        for guest in node.domains.users(ctx, path):
            raise Refused(
                f"disk '{place}' is in use and stays",
                cause=f"the running guest '{guest}' has it attached",
                action="take it out of that server's 'disks' in an `up` of its own, or stop the guest",
            )


def _left_of_move(place: Place, home: VolumeRef, copy: VolumeRef | None) -> str | None:
    """The volume that an interrupted move left elsewhere than where the disk belongs."""
    other = next((one for one in (place.ref, place.next, place.old, copy) if one not in (None, home)), None)
    return None if other is None else str(other)


def _told_of_size(change: Change, state: DiskState, new: DiskInputs) -> Change:
    return cloning.told_of_shrinking(change, state.virtual_size, new.size) if change.field == "size" else change


def _saying(change: Change, reason: str) -> Change:
    return replace(change, reason=reason) if change.field in MOVES else change


def _costing(change: Change, cost: str) -> Change:
    return replace(change, reason=cost) if change.impact is Impact.REPLACE and cost else change


def _is_so(change: Change, state: DiskState) -> bool:
    """Whether a changed property only states what is so already; one that is left out keeps what is there."""
    match change.field:
        case "size":
            return change.new is None or (change.new is not UNKNOWN and Size.parse(change.new) == state.virtual_size)
        case "format":
            return change.new in (None, state.stored_format)
        case "clone":
            method = (state.clone_method or "").partition(":")[0]
            return state.image is None or change.new in ("auto", method)
    return False
