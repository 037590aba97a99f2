"""Disk: a volume that lives on its own, apart from the servers that use it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator

from kiln.framework.context import Context
from kiln.framework.errors import InputError, NotFound, Refused
from kiln.framework.model import Impact, Model, out, prop
from kiln.framework.plan import Change, Plan, compare
from kiln.framework.resource import Created, Found, Resource
from kiln.framework.steps import Step, run
from kiln.framework.units import Size, multiple_of
from kiln.framework.values import UNKNOWN, Asset
from kiln.ports.marks import Mark
from kiln.ports.nodes import Node
from kiln.ports.volumes import Volume, VolumeRef
from kiln.resources import cloning, content
from kiln.resources.names import Name, split_import_id, volume_id, volume_ref
from kiln.resources.origin import known_source, origin
from kiln.resources.ownership import Claim, finished, new_mark, refuse_overlaid, release_volume, tell_users
from kiln.resources.site import Site, require_known_pool
from kiln.transfer.content import Content

DiskSize = Annotated[Size, AfterValidator(multiple_of(512, "a whole number of 512-byte sectors"))]


class DiskInputs(Model):
    """Inputs of Disk."""

    name: Name = prop("Name of the volume.", sticky=True)
    node: str = prop("The node's libvirt URI, such as a Node's `uri` output.", default_doc="the provider's `uri`")
    pool: Name = prop("Storage pool that holds the disk.", sticky=True, default_doc="the node's `storagePool`")
    image: str | None = prop("Id of the Image the disk is cloned from.")
    source: str | Asset | None = prop(
        "Content of the disk: a path, a `file:`, `http:` or `https:` URL, or an asset. An ISO makes the disk a CD."
    )
    size: DiskSize | None = prop(
        "Size of the disk that a guest sees. It can grow in place and never shrink. A CD takes none.",
        impact=Impact.LIVE,
        default_doc="the size of the image or source; required for a blank disk",
    )
    format: Literal["qcow2", "raw"] | None = prop(
        "Format of the volume. A source of another format is converted. A CD takes none.",
        default_doc="the source's; `qcow2` for clones and blank disks",
    )
    clone: Literal["auto", "linked", "full"] = prop(
        "How a disk is made from an image: `linked` is an overlay that needs the image, `full` an independent copy.",
        default="auto",
    )
    deletion_policy: Literal["delete", "retain"] = prop(
        "Whether the volume is deleted with the resource, or stays on the node.", default="delete", impact=Impact.LIVE
    )


class DiskState(DiskInputs):
    """State of Disk."""

    node_identity: str = out("Identity of the node, the same for all its URIs.")
    path: str = out("Path of the volume on the node.")
    virtual_size: Size = out("Size of the disk that a guest sees.", changes_with=("size",))
    stored_format: str = out("Format the volume is stored in.")
    source_digest: str | None = out("What a changed source is noticed by; absent for sources on other machines.")
    allocation: Size | None = out("What the volume took in its pool when Kiln last changed it.", changes_with=("size",))
    kind: Literal["disk", "iso"] = out("Whether a server attaches it as a hard disk or as a CD.")
    backing: str | None = out("Path of the file this disk is an overlay of.")
    clone_method: str | None = out("How the disk was cloned from its image, and why.")


@dataclass
class _Made:
    volume: Volume | None = None
    kind: Literal["disk", "iso"] = "disk"
    method: str | None = None
    source_digest: str | None = None


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
        if old is not None and _shrinks(old.size, new.size):
            raise _no_shrinking(old.size, new.size)
        if new.source is not None:
            content.look(self._site, _wanted(new))
        return new.model_copy(update={"node": uri, "pool": new.pool or self._site.pool_for(uri)})

    def diff(self, ctx: Context, id: str, state: DiskState, old: DiskInputs, new: DiskInputs) -> Plan:
        """The changes that matter: stating what is so already, or what only counts when a disk is made, is none."""
        changes = [change for change in compare(old, new) if not _is_so(change, state)]
        if old.size is None and _shrinks(state.virtual_size, new.size):  # a check sees all others
            raise _no_shrinking(state.virtual_size, new.size)
        if any(change.field == "source" for change in changes) or state.kind == "iso":
            # A disk only began with its source's content and is the guest's since; a CD is that content.
            changes = [change for change in changes if change.field != "source"]
            change = content.source_change(ctx, self._site, old.source, new.source, state.source_digest)
            if change is not None:
                changes.append(change)
        plan = Plan(tuple(self._site.weigh_node(ctx, state.node_identity, changes)), delete_first=True)
        if plan.replaces and new.source is not None:
            content.rehearse(ctx, self._site, _wanted(new))
        elif plan.touches("image"):
            self._look_at_image(ctx, new)
        elif state.kind == "iso" and not plan.touches("source"):
            cloning.check_cd(new.size, new.format)
        return plan

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
        made, ref, volumes = _Made(), VolumeRef(inputs.pool, inputs.name), node.volumes
        mark = new_mark(ctx, "disk", seconds=self.timeout)
        claim, fill = Claim(volumes, ref, mark), self._filling(ctx, node, inputs, ref, made, mark)

        def make(ctx: Context) -> None:
            claim.take(ctx)
            with cloning.sizing(inputs.size, "size"):
                fill(ctx)
            assert made.volume is not None
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
        return Created(str(ref), _state(inputs, made, node.identity(ctx)))

    def _filling(
        self, ctx: Context, node: Node, inputs: DiskInputs, ref: VolumeRef, made: _Made, mark: Mark
    ) -> Callable[[Context], None]:
        """The effect that makes the volume, decided before anything is touched."""
        if inputs.image is not None:
            return self._cloning(ctx, node, inputs, ref, made)
        if inputs.source is not None:
            return lambda ctx: self._fill_from_source(ctx, node, inputs, ref, made, mark)
        size = inputs.size
        assert size is not None

        def blank(ctx: Context) -> None:
            made.volume = node.volumes.create(ctx, ref, format=inputs.format or "qcow2", virtual_size=size.bytes)

        return blank

    def _cloning(
        self, ctx: Context, node: Node, inputs: DiskInputs, ref: VolumeRef, made: _Made
    ) -> Callable[[Context], None]:
        image = volume_ref(inputs.image or "", "image")
        try:
            chain = cloning.image_chain(ctx, node.volumes, image, "image")
        except NotFound as error:
            raise InputError(
                "image",
                f"there is no image '{image}' on {inputs.node}",
                action="use the id of an Image on the same node",
            ) from error
        iso = cloning.holds_iso(ctx, node.volumes, chain[0])
        if iso:
            cloning.check_cd(inputs.size, inputs.format)
        mode, format = ("full", "raw") if iso else (inputs.clone, inputs.format)
        clone = cloning.decide(chain[0], mode, format, inputs.size, "size")

        def make(ctx: Context) -> None:
            made.volume = cloning.make(ctx, node.volumes, ref, chain[0], clone)
            made.kind = "iso" if iso else "disk"
            made.method = f"{clone.method}: {'a CD is never written to' if iso else clone.reason}"

        return make

    def _fill_from_source(
        self, ctx: Context, node: Node, inputs: DiskInputs, ref: VolumeRef, made: _Made, mark: Mark
    ) -> None:
        put = content.store(ctx, self._site, node.volumes, ref, _wanted(inputs), mark)
        made.volume, made.kind, made.source_digest = put.volume, put.kind, put.source_digest
        if inputs.size is not None:
            if inputs.size.bytes < put.volume.virtual_size:
                raise InputError(
                    "size",
                    f"{inputs.size} is smaller than the source ({Size.of(put.volume.virtual_size)})",
                    action="use at least that, or leave the size out",
                )
            cloning.grow(ctx, node.volumes, ref, inputs.size.bytes)
            made.volume = node.volumes.get(ctx, ref)

    def read(
        self, ctx: Context, id: str, inputs: DiskInputs | None, state: DiskState | None
    ) -> Found[DiskInputs, DiskState] | None:
        """The volume as it is. An import id is ``pool/volume``, with the node's URI after ``@`` when it is another."""
        natural, uri = split_import_id(id, inputs.node if inputs is not None and inputs.node else self._site.uri)
        node, ref = self._site.node(ctx, uri), volume_ref(natural, "id")
        try:
            volume = node.volumes.get(ctx, ref)
        except NotFound:
            require_known_pool(ctx, node, ref.pool)
            return None
        if inputs is None or state is None:
            return self._imported(ctx, node, volume, natural, uri)
        size = Size.of(volume.virtual_size)
        drift: dict[str, object] = {"node": uri}
        if inputs.size is not None and inputs.size.bytes != volume.virtual_size:
            drift["size"] = size
        known = inputs.model_copy(update=drift)
        kept = {"path": volume.path, "virtual_size": size, "backing": volume.backing}
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
        made = _Made(volume, kind, source_digest=info.get("sourceDigest"), method=info.get("clone"))
        return Found(id, known, _state(known, made, node.identity(ctx)))

    def update(self, ctx: Context, id: str, state: DiskState, old: DiskInputs, new: DiskInputs) -> DiskState:
        """Grow the disk, through the guest that uses it when one runs."""
        volumes, ref = self._site.node_to_change(ctx, new.node).volumes, volume_ref(id, "id")
        volume = volumes.get(ctx, ref)
        if new.size is not None and new.size.bytes != volume.virtual_size:
            domains = self._site.node_to_change(ctx, new.node).domains
            with cloning.sizing(new.size, "size"):
                if new.size.bytes < volume.virtual_size or not domains.resize_disk(ctx, volume.path, new.size.bytes):
                    cloning.grow(ctx, volumes, ref, new.size.bytes)
            volume = volumes.get(ctx, ref)
        seen = {
            "path": volume.path,
            "virtual_size": Size.of(volume.virtual_size),
            "allocation": Size.of(volume.allocation),
            "backing": volume.backing,
        }
        return state.model_copy(update={**dict(new), **seen})

    def delete(self, ctx: Context, id: str, state: DiskState) -> None:
        """Delete the volume; where ``deletionPolicy`` is ``retain`` only its mark, so that nothing of Kiln owns it."""
        volumes, ref = self._site.node_to_change(ctx, state.node).volumes, volume_ref(id, "id")
        if state.deletion_policy == "retain":
            volumes.delete_mark(ctx, ref)
            ctx.log.info(f"disk '{id}' stays on {state.node} and is nobody's now; `pulumi import` takes it back")
            return
        refuse_overlaid(ctx, volumes, ref, "disk")
        self._refuse_running(ctx, state)
        release_volume(ctx, volumes, ref)

    def _refuse_running(self, ctx: Context, state: DiskState) -> None:
        """Refuse to delete a disk under a running guest, which would write on into a file without a name."""
        for domain in self._site.node(ctx, state.node).domains.list(ctx):
            if domain.state in ("running", "paused") and any(disk.path == state.path for disk in domain.disks):
                raise Refused(
                    f"disk '{state.pool}/{state.name}' is in use and stays",
                    cause=f"the running guest '{domain.name}' has it attached",
                    action="take it out of that server's 'disks' in an `up` of its own, or stop the guest",
                )


def _wanted(inputs: DiskInputs) -> content.Wanted:
    """The content that is asked for."""
    assert inputs.source is not None

    def accept(found: Content) -> None:
        if found.kind == "iso":
            cloning.check_cd(inputs.size, inputs.format)

    return content.Wanted(inputs.source, "source", stored_as=inputs.format, accept=accept)


def _no_shrinking(old: Size | None, new: Size | None) -> InputError:
    return InputError(
        "size",
        f"a disk cannot shrink from {old} to {new}",
        cause="it is larger than stated, grown here or on the node, and what lies beyond the new end would be lost",
        action=f"state at least {old}, or make a new disk and copy",
    )


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


def _shrinks(old: Any, new: Any) -> bool:
    return isinstance(old, Size) and isinstance(new, Size) and new.bytes < old.bytes and new is not UNKNOWN


def _state(inputs: DiskInputs, made: _Made, identity: str) -> DiskState:
    assert made.volume is not None
    return DiskState(
        **dict(inputs),
        node_identity=identity,
        stored_format=made.volume.format,
        source_digest=made.source_digest,
        path=made.volume.path,
        virtual_size=Size.of(made.volume.virtual_size),
        allocation=Size.of(made.volume.allocation),
        kind=made.kind,
        backing=made.volume.backing,
        clone_method=made.method,
    )
