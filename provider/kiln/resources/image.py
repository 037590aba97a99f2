"""Image: immutable content on a node that disks and servers are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

from kiln.framework.context import Context
from kiln.framework.errors import InputError, NotFound
from kiln.framework.model import Impact, Model, out, parse, prop
from kiln.framework.plan import Change, Plan, compare
from kiln.framework.resource import Created, Found, Resource
from kiln.framework.steps import Step, run
from kiln.framework.units import Size
from kiln.framework.values import UNKNOWN, Asset
from kiln.ports.marks import Mark
from kiln.ports.nodes import Node
from kiln.ports.volumes import Volume, VolumeRef, Volumes
from kiln.resources import cloning, content
from kiln.resources.names import Name, Text, check_lines, split_import_id, volume_id, volume_ref
from kiln.resources.origin import known_source, origin
from kiln.resources.ownership import Claim, finished, new_mark, refuse_overlaid, release_volume
from kiln.resources.site import Site, require_known_pool


class ImageInputs(Model):
    """Inputs of Image."""

    name: Name = prop("Name of the image's volume.", sticky=True)
    node: str = prop("The node's libvirt URI, such as a Node's `uri` output.", default_doc="the provider's `uri`")
    pool: Name = prop("Storage pool that holds the image.", sticky=True, default_doc="the node's `storagePool`")
    source: str | Asset = prop(
        "Where the content comes from: a path, a `file:`, `http:` or `https:` URL, or an asset. qcow2, raw and ISO; "
        "gzip, xz, bzip2 and zstd are unpacked on the way.",
        required=True,
    )
    checksum: Text | None = prop(
        "Checksum of the source as it is distributed: `sha256:…` or `sha512:…`.", impact=Impact.REPLACE
    )
    format: Literal["qcow2", "raw", "iso"] | None = prop(
        "Format that the content must have.", default_doc="recognised by the content's bytes"
    )
    architecture: Text | None = prop("Architecture the image is for, such as `x86_64`. It must be the node's.")
    version: Text | None = prop("Version of the image, for listings.", impact=Impact.LIVE)
    description: Text | None = prop("What the image is, for listings.", impact=Impact.LIVE)
    kernel: str | Asset | None = prop("A kernel that servers made from the image boot directly. Stored beside it.")
    initrd: str | Asset | None = prop("The initial RAM disk of `kernel`.")
    cmdline: Text | None = prop("The command line of `kernel`.")


class ImageState(ImageInputs):
    """State of Image."""

    node_identity: str = out("Identity of the node, the same for all its URIs.")
    digest: str = out(
        "Digest of the content: `sha256:` of a qcow2 or ISO, `extents-sha256:` of a raw disk's data.",
        changes_with=("source",),
    )
    source_digest: str | None = out("What a changed source is noticed by; absent for sources on other machines.")
    virtual_size: Size = out("Size of the disk that a guest sees.", changes_with=("source",))
    size: Size = out("Length of the content in its format.", changes_with=("source",))
    kind: Literal["disk", "iso"] = out("Whether it is a disk or the image of a CD.", changes_with=("source",))
    path: str = out("Path of the volume on the node.")
    kernel_path: str | None = out("Path of the kernel on the node.")
    kernel_digest: str | None = out("What a changed kernel is noticed by; absent for kernels on other machines.")
    initrd_path: str | None = out("Path of the initial RAM disk on the node.")
    initrd_digest: str | None = out("What a changed initial RAM disk is noticed by, as `kernelDigest`.")


@dataclass
class _Stored:
    """What the steps stored so far."""

    digest: str = ""
    source_digest: str | None = None
    kind: Literal["disk", "iso"] = "disk"
    size: int = 0
    volume: Volume | None = None
    files: dict[str, content.StoredFile] = field(default_factory=dict)


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
        stored = _Stored()
        run(ctx, self._steps(ctx, node, inputs, stored))
        assert stored.volume is not None
        return Created(str(stored.volume.ref), _state(inputs, stored, node.identity(ctx)))

    def _steps(self, ctx: Context, node: Node, inputs: ImageInputs, stored: _Stored) -> list[Step]:
        ref, volumes = VolumeRef(inputs.pool, inputs.name), node.volumes
        mark = new_mark(ctx, "image", seconds=self.timeout, info=boot_info(inputs))
        claim = Claim(volumes, ref, mark)

        def store(ctx: Context) -> None:
            _release_orphans(ctx, volumes, ref)
            claim.take(ctx)
            wanted = content.Wanted(inputs.source, "source", inputs.checksum, inputs.format)
            put = content.store(ctx, self._site, volumes, ref, wanted, mark)
            stored.volume, stored.digest, stored.source_digest = put.volume, put.digest, put.source_digest
            stored.kind, stored.size = put.kind, put.size

        def store_file(kind: Literal["kernel", "initrd"], source: str | Asset) -> Step:
            file = companion(ref, kind)
            claim = Claim(volumes, file, replace(mark, role=kind))

            def do(ctx: Context) -> None:
                claim.take(ctx)
                wanted = content.Wanted(source, kind)
                stored.files[kind] = content.store_file(ctx, self._site, volumes, file, wanted, mark)

            return Step(f"store {kind}", do, claim.give_back)

        def done(ctx: Context) -> None:
            for kind, file in stored.files.items():
                info = origin(getattr(inputs, kind), file.source_digest)
                volumes.write_mark(ctx, companion(ref, kind), finished(replace(mark, role=kind, info=info)))
            info = {**mark.info, "kind": stored.kind, **_told(inputs, stored.source_digest)}
            volumes.write_mark(ctx, ref, finished(replace(mark, info=info), stored.digest))

        steps = [Step("store content", store, claim.give_back)]
        if inputs.kernel is not None:
            steps.append(store_file("kernel", inputs.kernel))
        if inputs.initrd is not None:
            steps.append(store_file("initrd", inputs.initrd))
        return [*steps, Step("mark done", done)]

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
        stored = _Stored(mark.digest if mark else "", info.get("sourceDigest"), size=volume.allocation, volume=volume)
        stored.kind = "iso" if cloning.holds_iso(ctx, node.volumes, volume) else "disk"
        sources = {"source": known_source(info, volume.path)}
        for kind in ("kernel", "initrd"):
            if kind in info:
                file = VolumeRef(ref.pool, info[kind])
                beside = node.volumes.read_mark(ctx, file)
                told = beside.info if beside is not None else {}
                stored.files[kind] = content.StoredFile(node.volumes.get(ctx, file), told.get("sourceDigest"))
                sources[kind] = known_source(told, stored.files[kind].volume.path)
        said = {key: info[key] for key in (*_TOLD, "cmdline") if key in info}
        known = parse(ImageInputs, {"name": ref.name, "node": uri, "pool": ref.pool, **sources, **said})
        return Found(id, known, _state(known, stored, node.identity(ctx)))

    def update(self, ctx: Context, id: str, state: ImageState, old: ImageInputs, new: ImageInputs) -> ImageState:
        """Only what is said about an image can change; its content cannot."""
        volumes, ref = self._site.node_to_change(ctx, new.node).volumes, volume_ref(id, "id")
        mark = volumes.read_mark(ctx, ref)
        if mark is not None:
            info = {key: value for key, value in mark.info.items() if key not in _TOLD}
            volumes.write_mark(ctx, ref, replace(mark, info=info | _told(new, state.source_digest)))
        return state.model_copy(update=dict(new))

    def delete(self, ctx: Context, id: str, state: ImageState) -> None:
        """Delete the image and its kernel; refused while a disk on the node is an overlay of it."""
        volumes, ref = self._site.node_to_change(ctx, state.node).volumes, volume_ref(id, "id")
        refuse_overlaid(ctx, volumes, ref, "image")
        release_image(ctx, volumes, ref)


def release_image(ctx: Context, volumes: Volumes, ref: VolumeRef) -> None:
    """Delete an image with the kernel and initial RAM disk that the same operation stored beside it."""
    mark = volumes.read_mark(ctx, ref)
    if mark is not None:
        _release_companions(ctx, volumes, ref, mark)
    release_volume(ctx, volumes, ref)


def _release_companions(ctx: Context, volumes: Volumes, ref: VolumeRef, mark: Mark) -> None:
    for kind in ("initrd", "kernel"):
        release_volume(ctx, volumes, companion(ref, kind), mark)


def _release_orphans(ctx: Context, volumes: Volumes, ref: VolumeRef) -> None:
    """Delete the kernel and initial RAM disk of an image that was deleted behind Kiln's back: they are of no use."""
    mark = volumes.read_mark(ctx, ref)
    if mark is not None and mark.phase == "done" and not volumes.exists(ctx, ref):
        _release_companions(ctx, volumes, ref, mark)


def companion(ref: VolumeRef, kind: str) -> VolumeRef:
    """The volume beside an image that holds its kernel or initial RAM disk."""
    return VolumeRef(ref.pool, f"{ref.name}.{kind}")


def boot_info(inputs: ImageInputs) -> dict[str, str]:
    """What the image's mark says of direct kernel boot, for the servers made from it."""
    info = {}
    for kind, source in (("kernel", inputs.kernel), ("initrd", inputs.initrd)):
        if source is not None:
            info[kind] = companion(VolumeRef(inputs.pool, inputs.name), kind).name
    return info | ({"cmdline": inputs.cmdline} if inputs.cmdline is not None else {})


_TOLD = ("checksum", "format", "architecture", "version", "description")


def _told(inputs: ImageInputs, source_digest: str | None) -> dict[str, str]:
    """What an image's mark keeps of what was stated, for an import."""
    return origin(inputs.source, source_digest, **{field: getattr(inputs, field) for field in _TOLD})


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


def _state(inputs: ImageInputs, stored: _Stored, identity: str) -> ImageState:
    assert stored.volume is not None
    return ImageState(
        **dict(inputs),
        node_identity=identity,
        digest=stored.digest,
        source_digest=stored.source_digest,
        virtual_size=Size.of(stored.volume.virtual_size),
        size=Size.of(stored.size),
        kind=stored.kind,
        path=stored.volume.path,
        **{f"{kind}_path": file.volume.path for kind, file in stored.files.items()},
        **{f"{kind}_digest": file.source_digest for kind, file in stored.files.items()},
    )
