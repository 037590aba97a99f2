"""What Kiln left on a node that no state holds: found by its marks, removed only on request."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

from kiln.framework.context import Context
from kiln.framework.errors import NotFound, Refused
from kiln.ports.domains import Domain
from kiln.ports.marks import Mark
from kiln.ports.nodes import Node
from kiln.ports.volumes import VolumeRef
from kiln.resources.image import release_image
from kiln.resources.ownership import held, refuse_overlaid, release_volume
from kiln.resources.server import storage
from kiln.resources.server.seeds import ended_seed, remove_seed
from kiln.transfer.upload import discard_temporaries

Kind = Literal["guest", "volume", "seed"]


@dataclass(frozen=True)
class Leftover:
    """One object that can be removed. ``id`` is a guest's UUID or a volume's ``pool/name``; ``why`` is for people."""

    kind: Kind
    id: str
    name: str
    why: str
    urn: str
    remove: Callable[[Context], None]


def find(ctx: Context, node: Node, pool: str, known: Collection[str] | None) -> list[Leftover]:
    """What can be removed from a node.

    Always: what dead operations left unfinished, and seeds of first boots that have ended. With ``known``, the ids and
    URNs that all stacks hold: also finished objects that none of them does. Without it those are never leftovers.
    """
    found = list(_guests(ctx, node, known))
    attached = {path for domain in node.domains.list(ctx) for path in _files(domain)}
    found += _volumes(ctx, node, pool, known, attached)
    return found


def _files(domain: Domain) -> list[str]:
    """The files a guest uses: its disks, and what it boots directly."""
    boot = [domain.boot.kernel, domain.boot.initrd] if domain.boot is not None else []
    return [path for path in (*(disk.path for disk in domain.disks), *boot) if path]


def _guests(ctx: Context, node: Node, known: Collection[str] | None) -> Iterator[Leftover]:
    for domain in node.domains.list(ctx):
        mark = domain.mark
        if mark is None:
            continue
        why = _why(mark, domain.uuid, known)
        if why is not None:
            yield Leftover("guest", domain.uuid, domain.name, why, mark.urn, partial(_remove_guest, node, domain))
        elif (seed := ended_seed(ctx, node, domain)) is not None:
            remove = partial(remove_seed, node, domain.uuid, seed)
            yield Leftover("seed", str(seed), domain.name, "the first boot has ended", mark.urn, remove)


def _why(mark: Mark, id: str, known: Collection[str] | None) -> str | None:
    if mark.phase == "creating":
        return None if held(mark) else "an operation that died left it unfinished"
    if known is not None and id not in known:
        return "no given stack holds it"
    return None


def _volumes(
    ctx: Context, node: Node, pool: str, known: Collection[str] | None, attached: Collection[str]
) -> Iterator[Leftover]:
    try:
        marks = dict(node.volumes.marks(ctx, pool))
    except NotFound:
        return
    for ref, mark in marks.items():
        path = _path(ctx, node, ref)
        if path in attached:
            continue  # it goes with its guest
        why = _why_volume(ref, mark, path, known, {other.name for other in marks})
        if why is not None:
            yield Leftover("volume", str(ref), ref.name, why, mark.urn, partial(_remove_volume, node, ref, mark))


def _why_volume(
    ref: VolumeRef, mark: Mark, path: str | None, known: Collection[str] | None, names: Collection[str]
) -> str | None:
    if mark.phase == "creating":
        return _why(mark, str(ref), known)
    if path is None:
        return "a mark without its volume"
    match mark.role:
        case "image" | "disk":
            return _why(mark, str(ref), known)
        case "root":
            # No state names a root disk: it is kept for the server it was made for, which takes it back.
            return _why(mark, mark.urn, known)
        case "seed":
            return "no guest reads this seed"
        case "kernel" | "initrd":
            return None if ref.name.removesuffix(f".{mark.role}") in names else "its image is gone"
        case _:
            return None


def _path(ctx: Context, node: Node, ref: VolumeRef) -> str | None:
    try:
        return node.volumes.get(ctx, ref).path
    except NotFound:
        return None


def _remove_volume(node: Node, ref: VolumeRef, mark: Mark, ctx: Context) -> None:
    refuse_overlaid(ctx, node.volumes, ref, "volume")
    discard_temporaries(ctx, node.volumes, ref.pool, mark.operation)
    release_image(ctx, node.volumes, ref)


def _remove_guest(node: Node, domain: Domain, ctx: Context) -> None:
    current = node.domains.get(ctx, domain.uuid)
    if current.mark is None:
        raise Refused(
            f"guest '{domain.name}' is not Kiln's any more", action="remove it with virsh when it is not needed"
        )
    made = storage.made_with(ctx, node.volumes, current)
    node.domains.destroy(ctx, domain.uuid)
    node.domains.undefine(ctx, domain.uuid)
    for ref in made.values():
        release_volume(ctx, node.volumes, ref)
