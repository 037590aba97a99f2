"""The volumes that belong to a server: its root disk and its first-boot seed; and the chains of those it only uses."""

from __future__ import annotations

import uuid as uuids
from collections.abc import Sequence
from dataclasses import dataclass, replace

from kiln.firstboot import passwords, seed
from kiln.firstboot.hostname import hostname_from
from kiln.firstboot.userdata import FirstBoot as Told
from kiln.framework.context import Context
from kiln.framework.errors import Cancelled, InputError, KilnError, NotFound, Unreachable
from kiln.ports.domains import BootSpec, Domain, Domains
from kiln.ports.marks import Mark
from kiln.ports.volumes import Volume, VolumeRef, Volumes
from kiln.resources import cloning
from kiln.resources.names import volume_ref
from kiln.resources.ownership import refuse_taken
from kiln.resources.places import place_of
from kiln.resources.server.layout import Attached, direct_boot
from kiln.resources.server.model import FirstBoot, ServerInputs
from kiln.transfer.upload import upload_bytes


def root_ref(inputs: ServerInputs) -> VolumeRef:
    """The name of a server's root disk."""
    return VolumeRef(inputs.pool, root_name(inputs.name))


def root_name(name: str) -> str:
    """The name of the root disk of the server ``name``."""
    return f"{name}-root"


def seed_ref(inputs: ServerInputs) -> VolumeRef:
    """The name of a server's seed."""
    return VolumeRef(inputs.pool, f"{inputs.name}-seed")


@dataclass(frozen=True)
class RootPlan:
    """The image a root disk comes from, how it is cloned, and what is booted directly, which the image may bring."""

    image: Attached
    clone: cloning.Clone
    boot: BootSpec | None


def plan_root(ctx: Context, volumes: Volumes, inputs: ServerInputs) -> RootPlan | None:
    """How the root disk will be made, None for a server without an image.

    Raises:
        InputError: at ``image``, ``diskSize`` or ``boot.cmdline``, when it cannot be made or booted as is asked for.
    """
    if inputs.image is None:
        return None
    ref = volume_ref(inputs.image, "image")
    try:
        chain = cloning.image_chain(ctx, volumes, ref, "image")
    except NotFound as error:
        raise missing("image", inputs.image, inputs.node) from error
    cloning.refuse_iso(chain[0], cloning.holds_iso(ctx, volumes, chain[0]), "image")
    clone = cloning.decide(chain[0], "auto", None, inputs.disk_size, "diskSize")
    return RootPlan(Attached(chain), clone, direct_boot(inputs.boot, image_boot(ctx, volumes, ref)))


def image_boot(ctx: Context, volumes: Volumes, ref: VolumeRef) -> BootSpec | None:
    """The kernel that an image brings along, stored beside it as ``<image>.kernel`` and ``<image>.initrd``."""
    mark = volumes.read_mark(ctx, ref)
    if mark is None or "kernel" not in mark.info:
        return None
    kernel = volumes.get(ctx, VolumeRef(ref.pool, mark.info["kernel"])).path
    initrd = volumes.get(ctx, VolumeRef(ref.pool, mark.info["initrd"])).path if "initrd" in mark.info else None
    return BootSpec(kernel, initrd, mark.info.get("cmdline"))


def used_disks(ctx: Context, volumes: Volumes, inputs: ServerInputs) -> list[Attached]:
    """The disks a server uses and does not own, in order. Raises InputError at ``disks[i]``."""
    found = []
    for index, id in enumerate(inputs.disks or []):
        path = f"disks[{index}]"
        ref = volume_ref(id, path)
        try:
            ref = place_of(ctx, volumes, ref)
            chain = cloning.image_chain(ctx, volumes, ref, path)
        except NotFound as error:
            raise missing(path, id, inputs.node) from error
        iso = cloning.holds_iso(ctx, volumes, chain[0])
        _require_disk(ctx, volumes, chain[0], path, iso=iso)
        found.append(Attached(chain, iso))
    return found


def _require_disk(ctx: Context, volumes: Volumes, volume: Volume, path: str, *, iso: bool) -> None:
    """Refuse what a guest must not write to: an image, or a volume that belongs to a server or an image."""
    mark = volumes.read_mark(ctx, volume.ref)
    role = mark.role if mark is not None else ""
    if role == "image" and not iso:
        raise InputError(
            path,
            f"'{volume.ref}' is an image, which a guest must not write to",
            action="make a Disk with image= from it and name that, or state it as the server's 'image'",
        )
    if role in ("root", "seed", "kernel", "initrd"):
        raise InputError(path, f"'{volume.ref}' is the {role} of another resource", action="name a Disk of its own")


def refuse_shared(ctx: Context, domains: Domains, disks: Sequence[Attached], uuid: str, name: str = "") -> None:
    """Refuse a disk that another guest has: two writers would destroy what is on it. A CD may be shared.

    A new guest takes the ``name`` of what a dead operation left, which goes before the disk is used. Raises Conflict
    where another guest has that name, and InputError at ``disks[i]``.
    """
    wanted = {attached.chain[0].path: index for index, attached in enumerate(disks) if not attached.cd}
    if not wanted:
        return
    for domain in domains.list(ctx, recent=True):
        if domain.name == name:
            refuse_taken("guest", name, domain.mark)
        if domain.uuid == uuid or domain.name == name:
            continue
        for disk in domain.disks:
            if disk.path in wanted:
                raise InputError(
                    f"disks[{wanted[disk.path]}]",
                    f"the disk {disk.path} belongs to guest '{domain.name}'",
                    cause="two guests that write to one disk destroy what is on it",
                    action="detach it there first, or make a Disk for each",
                )


def is_own(ctx: Context, volumes: Volumes, ref: VolumeRef) -> bool:
    """Whether a volume with the name of a server's own is one, by its mark: a Disk may have that name too."""
    try:
        mark = volumes.read_mark(ctx, ref)
    except NotFound:  # the pool is not there
        return False
    return mark is not None and mark.role in ("root", "seed")


def made_with(ctx: Context, volumes: Volumes, domain: Domain) -> dict[str, VolumeRef]:
    """The root disk and the seed, by role, that a guest's operation made with it, whatever its name is now."""
    found: dict[str, VolumeRef] = {}
    maker = domain.mark.operation if domain.mark is not None else None
    for path in [disk.path for disk in domain.disks if disk.path]:
        try:
            ref = volumes.by_path(ctx, path).ref
        except NotFound:
            continue
        mark = volumes.read_mark(ctx, ref)
        if mark is not None and mark.role in ("root", "seed") and mark.operation == maker:
            found[mark.role] = ref
    return found


def own_refs(ctx: Context, volumes: Volumes, inputs: ServerInputs, domain: Domain) -> tuple[VolumeRef, VolumeRef]:
    """Where a guest's root disk and seed are: under its name, or the one it was made with if somebody renamed it."""
    root, seed = root_ref(inputs), seed_ref(inputs)
    attached = {(disk.path or "").rpartition("/")[2] for disk in domain.disks}
    if inputs.image is None or root.name in attached:
        return root, seed
    made = made_with(ctx, volumes, domain)
    return made.get("root", root), made.get("seed", seed)


def to_delete(ctx: Context, volumes: Volumes, domain: Domain | None, inputs: ServerInputs) -> list[VolumeRef]:
    """The volumes that go with a guest, None for one that is gone: those of its name, and those made with it under an
    earlier one."""
    found = [ref for ref in (seed_ref(inputs), root_ref(inputs)) if is_own(ctx, volumes, ref)]
    if domain is not None:
        found += made_with(ctx, volumes, domain).values()
    return list(dict.fromkeys(found))


def root_volume(
    ctx: Context, volumes: Volumes, inputs: ServerInputs, domain: Domain, *, recent: bool = False
) -> Volume | None:
    """The root disk of a guest that exists, attached to it or not, None where there is none that can be read.

    With ``recent`` as it was a few seconds ago. Raises Unreachable.
    """
    ref, _ = own_refs(ctx, volumes, inputs, domain)
    disks = (*domain.disks, *(domain.live.disks if domain.live is not None else ()))
    if inputs.image is None and all((disk.path or "").rpartition("/")[2] != ref.name for disk in disks):
        return None
    try:
        return volumes.get(ctx, ref, recent=recent) if is_own(ctx, volumes, ref) else None
    except (Unreachable, Cancelled):
        raise
    except KilnError as error:
        ctx.log.debug(f"the root disk of '{domain.name}' cannot be read: {error}")
        return None


def own_volumes(
    ctx: Context, volumes: Volumes, inputs: ServerInputs, domain: Domain
) -> tuple[Attached | None, Attached | None]:
    """The root disk of a guest that exists, attached to it or not, and its seed while it is attached."""
    paths = {disk.path for disk in domain.disks if disk.path}
    root, seed = (_own_chain(ctx, volumes, ref) for ref in own_refs(ctx, volumes, inputs, domain))
    return (
        Attached(root) if root is not None and (inputs.image is not None or root[0].path in paths) else None,
        Attached(seed, cd=True) if seed is not None and seed[0].path in paths else None,
    )


def loose_seed(ctx: Context, volumes: Volumes, inputs: ServerInputs, domain: Domain) -> VolumeRef | None:
    """The seed that was made with a guest and is attached to it no more: an operation died, or failed, before it
    deleted it."""
    _, ref = own_refs(ctx, volumes, inputs, domain)
    if any((disk.path or "").rpartition("/")[2] == ref.name for disk in domain.disks):
        return None
    try:
        mark = volumes.read_mark(ctx, ref)
    except NotFound:  # the pool is gone with all in it
        return None
    made_with_it = mark is not None and domain.mark is not None and mark.operation == domain.mark.operation
    return ref if mark is not None and mark.role == "seed" and made_with_it else None


def image_of_root(ctx: Context, volumes: Volumes, inputs: ServerInputs) -> str | None:
    """The id of the image that a server's own root disk is an overlay of, whether it is attached or not."""
    root = _own_chain(ctx, volumes, root_ref(inputs))
    return str(root[1].ref) if root is not None and len(root) > 1 else None


def _own_chain(ctx: Context, volumes: Volumes, ref: VolumeRef) -> Sequence[Volume] | None:
    try:
        return volumes.chain(ctx, ref) if is_own(ctx, volumes, ref) else None
    except NotFound:
        return None


def unfinished_marks(ctx: Context, volumes: Volumes, *own: Attached | None) -> dict[VolumeRef, Mark]:
    """The marks of a guest's own volumes that an interrupted operation left at ``creating``."""
    refs = [attached.chain[0].ref for attached in own if attached is not None]
    marks = {ref: volumes.read_mark(ctx, ref) for ref in refs}
    return {ref: mark for ref, mark in marks.items() if mark is not None and mark.phase == "creating"}


def missing(path: str, id: str, node: str) -> InputError:
    """The error for a volume that is not on the node."""
    return InputError(
        path, f"there is no volume '{id}' on {node}", action="use the id of an Image or Disk on the same node"
    )


def wants_seed(inputs: ServerInputs) -> bool:
    """Whether a server is told anything at its first boot."""
    return inputs.first_boot is not None or inputs.image is not None


def password_of(inputs: ServerInputs, generated: str | None = None) -> tuple[str | None, str]:
    """The plain first-boot password to tell the user (None when only a hash is known), and its hash. ``generated`` is
    the one that the guest has, where a first boot is told again."""
    given = inputs.first_boot.password if inputs.first_boot else None
    if given is None:
        plain = generated or passwords.generate()
        return plain, passwords.hash_password(plain, generated=True)
    return None if passwords.is_hash(given) else given, passwords.hash_password(given)


def seed_content(inputs: ServerInputs, instance: str, password_hash: str) -> bytes:
    """The seed's bytes for a server that boots as the instance ``instance``."""
    asked = inputs.first_boot or FirstBoot()
    told = Told(
        hostname=asked.hostname or hostname_from(inputs.name),
        instance_id=instance,
        user=asked.user,
        password_hash=password_hash,
        authorized_keys=tuple(asked.authorized_keys or ()),
        user_data=asked.user_data,
        network_config=asked.network_config,
        metadata=asked.metadata or {},
    )
    return seed.build(told)


def instance_id(uuid: str, mark: Mark | None = None) -> str:
    """cloud-init's instance id of a server. It follows the UUID, so a replaced server boots as a new instance; the mark
    of a seed that has the first boot run again tells another one."""
    again = mark.info.get("instance") if mark is not None else None
    return again or f"kiln-{uuids.UUID(uuid)}"


def make_seed(ctx: Context, volumes: Volumes, ref: VolumeRef, content: bytes, mark: Mark) -> Volume:
    """Write the seed as a volume that only its owner may read; the caller has claimed the name with ``mark``."""
    padded = content + bytes(-len(content) % 512)
    return upload_bytes(ctx, volumes, ref, padded, "raw", mark, name="seed").volume


def with_kind(mark: Mark, kind: str) -> Mark:
    """The mark, saying what the volume holds."""
    return replace(mark, info={**mark.info, "kind": kind})
