"""How an image gets to its node: content, kernel and initial RAM disk, and the mark that says what was stated."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from kiln.framework.context import Context
from kiln.framework.steps import Step
from kiln.framework.units import Size
from kiln.framework.values import Asset
from kiln.ports.nodes import Node
from kiln.ports.volumes import Volume, VolumeRef
from kiln.resources import content
from kiln.resources.image.model import ImageInputs, ImageState
from kiln.resources.image.release import companion, release_orphans
from kiln.resources.origin import origin
from kiln.resources.ownership import Claim, finished, new_mark
from kiln.resources.site import Site


@dataclass
class Stored:
    """What the steps stored so far."""

    digest: str = ""
    source_digest: str | None = None
    kind: Literal["disk", "iso"] = "disk"
    size: int = 0
    volume: Volume | None = None
    files: dict[str, content.StoredFile] = field(default_factory=dict)


def storing(ctx: Context, site: Site, node: Node, inputs: ImageInputs, stored: Stored, seconds: float) -> list[Step]:
    """The steps that store an image; what they made so far is in ``stored``. The mark ``creating`` holds for
    ``seconds``."""
    ref, volumes = VolumeRef(inputs.pool, inputs.name), node.volumes
    mark = new_mark(ctx, "image", seconds=seconds, info=boot_info(inputs))
    claim = Claim(volumes, ref, mark)

    def store(ctx: Context) -> None:
        release_orphans(ctx, volumes, ref)
        claim.take(ctx)
        wanted = content.Wanted(inputs.source, "source", inputs.checksum, inputs.format)
        put = content.store(ctx, site, volumes, ref, wanted, mark)
        stored.volume, stored.digest, stored.source_digest = put.volume, put.digest, put.source_digest
        stored.kind, stored.size = put.kind, put.size

    def store_file(kind: Literal["kernel", "initrd"], source: str | Asset) -> Step:
        file = companion(ref, kind)
        claim = Claim(volumes, file, replace(mark, role=kind))

        def do(ctx: Context) -> None:
            claim.take(ctx)
            wanted = content.Wanted(source, kind)
            stored.files[kind] = content.store_file(ctx, site, volumes, file, wanted, mark)

        return Step("store", do, claim.give_back, of=kind)

    def done(ctx: Context) -> None:
        for kind, file in stored.files.items():
            info = origin(getattr(inputs, kind), file.source_digest)
            volumes.write_mark(ctx, companion(ref, kind), finished(replace(mark, role=kind, info=info)))
        info = {**mark.info, "kind": stored.kind, **told(inputs, stored.source_digest)}
        volumes.write_mark(ctx, ref, finished(replace(mark, info=info), stored.digest))

    steps = [Step("store content", store, claim.give_back)]
    if inputs.kernel is not None:
        steps.append(store_file("kernel", inputs.kernel))
    if inputs.initrd is not None:
        steps.append(store_file("initrd", inputs.initrd))
    return [*steps, Step("mark done", done)]


def boot_info(inputs: ImageInputs) -> dict[str, str]:
    """What the image's mark says of direct kernel boot, for the servers made from it."""
    info = {}
    for kind, source in (("kernel", inputs.kernel), ("initrd", inputs.initrd)):
        if source is not None:
            info[kind] = companion(VolumeRef(inputs.pool, inputs.name), kind).name
    return info | ({"cmdline": inputs.cmdline} if inputs.cmdline is not None else {})


TOLD = ("checksum", "format", "architecture", "version", "description")
"""What is stated about an image and kept in its mark."""


def told(inputs: ImageInputs, source_digest: str | None) -> dict[str, str]:
    """What an image's mark keeps of what was stated, for an import."""
    return origin(inputs.source, source_digest, **{field: getattr(inputs, field) for field in TOLD})


def state_of(inputs: ImageInputs, stored: Stored, identity: str) -> ImageState:
    """The state of an image that was just stored or found."""
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
