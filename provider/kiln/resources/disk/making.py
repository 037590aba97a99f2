"""How a disk's volume is made: blank, cloned from an image, or filled from a source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from kiln.framework.context import Context
from kiln.framework.errors import InputError, NotFound
from kiln.framework.units import Size
from kiln.ports.marks import Mark
from kiln.ports.nodes import Node
from kiln.ports.volumes import Volume, VolumeRef
from kiln.resources import cloning, content
from kiln.resources.disk.model import DiskInputs, DiskState
from kiln.resources.names import volume_ref
from kiln.resources.site import Site
from kiln.transfer.content import Content


@dataclass
class Made:
    """What the steps made so far."""

    volume: Volume | None = None
    kind: Literal["disk", "iso"] = "disk"
    method: str | None = None
    source_digest: str | None = None


def filling(
    ctx: Context, site: Site, node: Node, inputs: DiskInputs, ref: VolumeRef, made: Made, mark: Mark
) -> Callable[[Context], None]:
    """The effect that makes the volume, decided before anything is touched."""
    if inputs.image is not None:
        return _cloning(ctx, node, inputs, ref, made)
    if inputs.source is not None:
        return lambda ctx: _fill_from_source(ctx, site, node, inputs, ref, made, mark)
    size = inputs.size
    assert size is not None

    def blank(ctx: Context) -> None:
        made.volume = node.volumes.create(ctx, ref, format=inputs.format or "qcow2", virtual_size=size.bytes)

    return blank


def _cloning(ctx: Context, node: Node, inputs: DiskInputs, ref: VolumeRef, made: Made) -> Callable[[Context], None]:
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
    ctx: Context, site: Site, node: Node, inputs: DiskInputs, ref: VolumeRef, made: Made, mark: Mark
) -> None:
    put = content.store(ctx, site, node.volumes, ref, wanted(inputs), mark)
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


def wanted(inputs: DiskInputs) -> content.Wanted:
    """The content that is asked for."""
    assert inputs.source is not None

    def accept(found: Content) -> None:
        if found.kind == "iso":
            cloning.check_cd(inputs.size, inputs.format)

    return content.Wanted(inputs.source, "source", stored_as=inputs.format, accept=accept)


def state_of(inputs: DiskInputs, made: Made, identity: str) -> DiskState:
    """The state of a disk that was just made or found."""
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
