"""What an Image is asked for, and what it tells."""

from __future__ import annotations

from typing import Literal

from kiln.framework.model import Impact, Model, out, prop
from kiln.framework.units import Size
from kiln.framework.values import Asset
from kiln.resources.names import Name, Text


class ImageInputs(Model):
    """Inputs of Image."""

    name: Name = prop("Name of the image's volume.", sticky=True)
    node: str = prop(
        "The node's libvirt URI, such as a Node's `uri` output.",
        default_doc="the provider's `uri`",
        unless="`live` where the URI leads to the same machine",
    )
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
