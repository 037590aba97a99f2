"""What a Disk is asked for, and what it tells."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator

from kiln.framework.model import Impact, Model, out, prop
from kiln.framework.units import Size, multiple_of
from kiln.framework.values import Asset
from kiln.resources.names import Name

DiskSize = Annotated[Size, AfterValidator(multiple_of(512, "a whole number of 512-byte sectors"))]


_UNLESS = "refused where overlays or snapshots hold on to the disk, or a running guest has it as its CD"


class DiskInputs(Model):
    """Inputs of Disk."""

    name: Name = prop(
        "Name of the volume. Another one moves the disk, and its id stays.",
        sticky=True,
        impact=Impact.LIVE,
        unless=_UNLESS,
    )
    node: str = prop(
        "The node's libvirt URI, such as a Node's `uri` output.",
        default_doc="the provider's `uri`",
        unless="`live` where the URI leads to the same machine",
    )
    pool: Name = prop(
        "Storage pool that holds the disk. Another one moves the disk, with what is on it, and its id stays.",
        sticky=True,
        impact=Impact.LIVE,
        unless=_UNLESS,
        default_doc="the node's `storagePool`",
    )
    image: str | None = prop("Id of the Image the disk is cloned from.")
    source: str | Asset | None = prop(
        "Content of the disk: a path, a `file:`, `http:` or `https:` URL, or an asset. An ISO makes the disk a CD."
    )
    size: DiskSize | None = prop(
        "Size of the disk that a guest sees. It can grow in place and never shrink. A CD takes none.",
        impact=Impact.LIVE,
        unless="refused where it is below what the disk has",
        default_doc="the size of the image or source; required for a blank disk",
    )
    format: Literal["qcow2", "raw"] | None = prop(
        "Format of the volume. A source of another format is converted, and so is the disk when this changes. A CD "
        "takes none.",
        impact=Impact.LIVE,
        unless=_UNLESS,
        default_doc="the source's; `qcow2` for clones and blank disks",
    )
    clone: Literal["auto", "linked", "full"] = prop(
        "How a disk is made from an image: `linked` is an overlay that needs the image, `full` an independent copy.",
        default="auto",
    )
    deletion_policy: Literal["delete", "retain"] = prop(
        "Whether the volume is deleted with the resource, or stays on the node.", default="delete", impact=Impact.LIVE
    )


_PLACE = ("pool", "name", "format")


class DiskState(DiskInputs):
    """State of Disk."""

    node_identity: str = out("Identity of the node, the same for all its URIs.")
    path: str = out("Path of the volume on the node.", changes_with=_PLACE)
    virtual_size: Size = out("Size of the disk that a guest sees.", changes_with=("size",))
    stored_format: str = out("Format the volume is stored in.", changes_with=("format",))
    source_digest: str | None = out("What a changed source is noticed by; absent for sources on other machines.")
    allocation: Size | None = out(
        "What the volume took in its pool when Kiln last changed it.", changes_with=("size", *_PLACE)
    )
    kind: Literal["disk", "iso"] = out("Whether a server attaches it as a hard disk or as a CD.")
    backing: str | None = out("Path of the file this disk is an overlay of.", changes_with=_PLACE)
    clone_method: str | None = out("How the disk was cloned from its image, and why.", changes_with=_PLACE)
    moving: str | None = out(
        "The volume that a move which was interrupted left beside the disk, or the disk in. The next `up` finishes the"
        " move, or undoes it.",
        unfinished="its interrupted move is finished, or undone",
    )
