"""Whether a guest fits its node: looked at before anything is done to it. Reads only."""

from __future__ import annotations

from kiln.framework.context import Context
from kiln.framework.errors import InputError
from kiln.framework.units import Size
from kiln.framework.values import UNKNOWN, has_unknown
from kiln.ports.nodes import Node
from kiln.resources.names import volume_ref
from kiln.resources.server.growth import most_memory, most_vcpus
from kiln.resources.server.model import Boot, ServerInputs
from kiln.resources.site import Site


def check_fit(ctx: Context, site: Site, inputs: ServerInputs, old: ServerInputs | None) -> None:
    """``require_fit`` where the node can be asked; what it does not tell now it tells before anything is made."""
    site.look(ctx, inputs.node, lambda node: require_fit(ctx, node, inputs, old))


def require_fit(ctx: Context, node: Node, inputs: ServerInputs, old: ServerInputs | None = None) -> None:
    """Refuse more than one guest of the node can have, as far as the inputs are known.

    What the guest was given already, as ``old`` says, is not weighed again. Several guests may have more together than
    the node has. Raises InputError at ``memory`` or ``vcpus``, or at what they can grow to, ``image`` or the setting in
    ``platformConfig``.
    """
    if _anew(inputs, old, "memory", "max_memory"):
        _require_memory(ctx, node, inputs)
    if _anew(inputs, old, "vcpus", "max_vcpus", "platform_config"):
        _require_vcpus(ctx, node, inputs)
    if _anew(inputs, old, "image"):
        _require_architecture(ctx, node, inputs.image)


def require_cpu(inputs: ServerInputs, accelerator: str, uri: str) -> None:
    """Refuse the host's own CPU where guests are emulated. Raises InputError at ``cpuMode``."""
    if inputs.cpu_mode == "host-passthrough" and accelerator != "kvm":
        raise InputError(
            "cpuMode",
            f"'host-passthrough' needs kvm, and guests on {uri} run with {accelerator}",
            action="leave it out for a CPU that fits, or use 'maximum'",
        )


def require_boot_files(ctx: Context, node: Node, inputs: ServerInputs, old: ServerInputs | None = None) -> None:
    """Refuse a kernel or initial RAM disk that is seen not to be on the node. Raises InputError at its property.

    The program may make the file while it runs, so that this is known only once the guest's turn has come.
    """
    if not isinstance(inputs.boot, Boot) or not _anew(inputs, old, "boot"):
        return
    for name, file in (("kernel", inputs.boot.kernel), ("initrd", inputs.boot.initrd)):
        flaw = node.file_flaw(ctx, file) if file is not None else None
        if flaw is not None:
            raise InputError(
                f"boot.{name}",
                f"a guest on {node.uri} cannot boot from '{file}'",
                cause=flaw,
                action="state the path of a file on the node that the user who runs guests may read",
            )


def _anew(inputs: ServerInputs, old: ServerInputs | None, *fields: str) -> bool:
    return old is None or any(getattr(inputs, field) != getattr(old, field) for field in ("node", *fields))


def _require_memory(ctx: Context, node: Node, inputs: ServerInputs) -> None:
    there = node.facts(ctx).memory
    path, memory = most_memory(inputs)
    if memory is not UNKNOWN and memory.kib > there:
        raise InputError(
            path,
            f"{memory} is more memory than {node.uri} has",
            cause=f"its physical memory is {Size.of(there * 1024)}",
            action="state less; several guests may have more together than the node has, one may not",
        )


def _require_architecture(ctx: Context, node: Node, image: str | None) -> None:
    """Refuse an image that says to be for another architecture; one that is not there yet says nothing."""
    if image is None or image is UNKNOWN:
        return
    mark, arch = node.volumes.read_mark(ctx, volume_ref(image, "image")), node.facts(ctx).arch
    stated = mark.info.get("architecture", arch) if mark is not None else arch
    if stated != arch:
        raise InputError(
            "image",
            f"the image '{image}' is for {stated} and {node.uri} is {arch}",
            action="use an image or a node of the other architecture",
        )


def _require_vcpus(ctx: Context, node: Node, inputs: ServerInputs) -> None:
    if has_unknown(inputs.platform_config):
        return
    most = node.max_vcpus(ctx, inputs.platform_config or {})
    path, vcpus = most_vcpus(inputs)
    if vcpus is not UNKNOWN and most is not None and vcpus > most:
        raise InputError(
            path,
            f"{vcpus} virtual CPUs are more than a guest on {node.uri} can have",
            cause=f"its machine type takes at most {most}",
            action=f"state at most {most}",
        )
