"""The Image resource: checks, plans, and the order of steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

from kiln.framework.context import Context
from kiln.framework.errors import InputError, NotFound
from kiln.framework.model import parse
from kiln.framework.plan import Change, Plan, compare
from kiln.framework.resource import Created, Found, Resource
from kiln.framework.steps import Step, run
from kiln.framework.values import UNKNOWN
from kiln.ports.nodes import Node
from kiln.ports.volumes import Volume, VolumeRef
from kiln.resources import cloning, content
from kiln.resources.image.model import ImageInputs, ImageState
from kiln.resources.image.release import release_image
from kiln.resources.image.storing import TOLD, Stored, state_of, storing, told
from kiln.resources.names import check_lines, split_import_id, volume_id, volume_ref
from kiln.resources.origin import known_source
from kiln.resources.ownership import refuse_overlaid
from kiln.resources.site import Site, require_known_pool


class Image(Resource[ImageInputs, ImageState]):
    """Immutable content in a node's storage pool that disks and servers are made from.

    The bytes are inspected before any tool opens them (an image that names other files on the node is refused), go to a
    temporary name, and get their final name once size and digest are verified. New content is a new image. An image
    cannot be deleted while a disk on the node is an overlay of it.

    ```python
    import pulumi_kiln as kiln

    debian = kiln.Image(
        "debian-12",
        source="https://images.example.org/debian-12-genericcloud-amd64.qcow2",
        checksum="sha512:…",
    )
    ```
    """

    name: ClassVar[str] = "Image"
    Inputs = ImageInputs
    State = ImageState
    delete_first = True
    names_content = True

    def __init__(self, site: Site) -> None:
        self._site = site

    def check(self, ctx: Context, new: ImageInputs, old: ImageInputs | None) -> ImageInputs:
        """Resolve node and pool; look at local content as far as that is cheap, and at the node's architecture."""
        uri = self._site.uri_for(new.node, old.node if old else None)
        for path, needs in (("initrd", new.initrd), ("cmdline", new.cmdline)):
            if needs is not None and new.kernel is None:
                raise InputError(path, f"'{path}' needs a 'kernel'", action="set kernel, or drop it")
        if new.checksum is not None and new.checksum is not UNKNOWN:
            content.check_checksum(new.checksum, "checksum")
        check_lines(new.cmdline, "cmdline")
        content.look(self._site, content.Wanted(new.source, "source", format=new.format))
        if new.checksum is not None:
            content.verify(ctx, self._site, new.source, new.checksum)
        for path, source in (("kernel", new.kernel), ("initrd", new.initrd)):
            if source is not None:
                content.look_at_file(self._site, source, path)
        if new.architecture is not None:
            self._site.look(ctx, uri, lambda node: _check_architecture(new, node.facts(ctx).arch))
        return new.model_copy(update={"node": uri, "pool": new.pool or self._site.pool_for(uri)})

    def diff(self, ctx: Context, id: str, state: ImageState, old: ImageInputs, new: ImageInputs) -> Plan:
        """A source is the same when its content is, whatever its name; changed content replaces the image.

        What is only stated about the content, and is so, changes nothing. What an image is replaced by is fetched and
        verified here, because the old one, and all that was made from it, goes before the new one is made.
        """
        if new.architecture not in (None, old.architecture) and new.node is not UNKNOWN:
            _check_architecture(new, self._site.node(ctx, new.node).facts(ctx).arch)
        by_content = {
            "source": state.source_digest or state.digest,
            "kernel": state.kernel_digest,
            "initrd": state.initrd_digest,
        }
        changes = [change for change in compare(old, new) if change.field not in by_content]
        changes = [change for change in changes if not _is_so(change, state)]
        for path, before in by_content.items():
            change = content.source_change(ctx, self._site, getattr(old, path), getattr(new, path), before, path)
            changes += [change] if change is not None else []
        plan = Plan(tuple(self._site.weigh_node(ctx, state.node_identity, changes)), delete_first=True)
        if plan.replaces:
            content.rehearse(ctx, self._site, content.Wanted(new.source, "source", new.checksum, new.format))
            content.rehearse_file(ctx, self._site, new.kernel, "kernel")
            content.rehearse_file(ctx, self._site, new.initrd, "initrd")
        return plan

    def planned_id(self, inputs: ImageInputs) -> str | None:
        """Its pool and name, which are inputs."""
        return volume_id(inputs.pool, inputs.name)

    def create(self, ctx: Context, inputs: ImageInputs) -> Created[ImageState]:
        """Fetch, inspect, verify, copy; nothing stays under the final name unless all of it succeeded."""
        node = self._site.node_to_change(ctx, inputs.node)
        _check_architecture(inputs, node.facts(ctx).arch)
        self._site.ensure_pool(ctx, inputs.node, inputs.pool)
        stored = Stored()
        run(ctx, storing(ctx, self._site, node, inputs, stored, self.timeout))
        assert stored.volume is not None
        return Created(str(stored.volume.ref), state_of(inputs, stored, node.identity(ctx)))

    def read(
        self, ctx: Context, id: str, inputs: ImageInputs | None, state: ImageState | None
    ) -> Found[ImageInputs, ImageState] | None:
        """The image as it is on the node. An import id is ``pool/volume``, with the node's URI after ``@``."""
        natural, uri = split_import_id(id, inputs.node if inputs is not None and inputs.node else self._site.uri)
        node, ref = self._site.node(ctx, uri), volume_ref(natural, "id")
        try:
            volume = node.volumes.get(ctx, ref)
        except NotFound:
            require_known_pool(ctx, node, ref.pool)
            return None
        if inputs is not None and state is not None:
            known = inputs.model_copy(update={"node": uri})
            return Found(natural, known, state.model_copy(update={**dict(known), "path": volume.path}))
        return self._imported(ctx, node, volume, natural, uri)

    def _imported(self, ctx: Context, node: Node, volume: Volume, id: str, uri: str) -> Found[ImageInputs, ImageState]:
        """An image that no state knows, as its mark tells it."""
        mark, ref = node.volumes.read_mark(ctx, volume.ref), volume.ref
        info: Mapping[str, str] = mark.info if mark is not None else {}
        stored = Stored(mark.digest if mark else "", info.get("sourceDigest"), size=volume.allocation, volume=volume)
        stored.kind = "iso" if cloning.holds_iso(ctx, node.volumes, volume) else "disk"
        sources = {"source": known_source(info, volume.path)}
        for kind in ("kernel", "initrd"):
            if kind in info:
                file = VolumeRef(ref.pool, info[kind])
                beside = node.volumes.read_mark(ctx, file)
                told = beside.info if beside is not None else {}
                stored.files[kind] = content.StoredFile(node.volumes.get(ctx, file), told.get("sourceDigest"))
                sources[kind] = known_source(told, stored.files[kind].volume.path)
        said = {key: info[key] for key in (*TOLD, "cmdline") if key in info}
        known = parse(ImageInputs, {"name": ref.name, "node": uri, "pool": ref.pool, **sources, **said})
        return Found(id, known, state_of(known, stored, node.identity(ctx)))

    def update(self, ctx: Context, id: str, state: ImageState, old: ImageInputs, new: ImageInputs) -> ImageState:
        """Only what is said about an image can change; its content cannot."""
        volumes, ref = self._site.node_to_change(ctx, new.node).volumes, volume_ref(id, "id")
        mark = volumes.read_mark(ctx, ref)
        if mark is not None:
            info = {key: value for key, value in mark.info.items() if key not in TOLD}
            says = replace(mark, info=info | told(new, state.source_digest))
            run(ctx, [Step("rewrite mark", lambda ctx: volumes.write_mark(ctx, ref, says))])
        return state.model_copy(update=dict(new))

    def delete(self, ctx: Context, id: str, state: ImageState) -> None:
        """Delete the image and its kernel; refused while a disk on the node is an overlay of it."""
        volumes, ref = self._site.node_to_change(ctx, state.node).volumes, volume_ref(id, "id")
        refuse_overlaid(ctx, volumes, ref, "image")
        run(ctx, [Step("delete image", lambda ctx: release_image(ctx, volumes, ref))])


def _check_architecture(inputs: ImageInputs, arch: str) -> None:
    if inputs.architecture not in (None, UNKNOWN, arch):
        raise InputError(
            "architecture",
            f"the image is for {inputs.architecture} and the node is {arch}",
            action="use a node of that architecture",
        )


def _is_so(change: Change, state: ImageState) -> bool:
    """Whether a changed property only states what is known of the content, or no longer states it."""
    match change.field:
        case "checksum":
            # That of a local file is verified when the inputs are checked.
            return change.new is None or state.source_digest is not None or change.new == state.digest
        case "format":
            raw = state.digest.startswith("extents-sha256:")
            return change.new in (None, "iso" if state.kind == "iso" else "raw" if raw else "qcow2")
        case "architecture":
            return change.new is not UNKNOWN
    return False
