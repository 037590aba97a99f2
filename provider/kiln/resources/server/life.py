"""The steps of a server's life: making it, starting it, settling it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

from kiln.framework.context import Context
from kiln.framework.errors import Cancelled, InputError, KilnError, NotFound, Unreachable
from kiln.framework.steps import Step
from kiln.ports.definition import Definition
from kiln.ports.domains import Domain
from kiln.ports.marks import Mark
from kiln.ports.nodes import Node
from kiln.ports.volumes import VolumeRef
from kiln.resources import cloning
from kiln.resources.ownership import Claim, finished, refuse_taken, release_volume, tell_users
from kiln.resources.server import orphans, seeds, storage, waiting
from kiln.resources.server.build import Work, spec_of
from kiln.resources.server.layout import Attached
from kiln.resources.server.overlay import blaming

_PUT_BACK_SECONDS = 240.0  # a start alone may take three minutes


def making(node: Node, work: Work) -> list[Step]:
    """From nothing to a defined guest; all of it is undone when one step fails."""
    inputs, volumes = work.inputs, node.volumes
    steps = [Step("claim name", lambda ctx: _claim_name(ctx, node, inputs.name))]
    if work.root_plan is not None:
        claim = Claim(volumes, storage.root_ref(inputs), _own(work, "root", "disk"))
        steps.append(Step("make root disk", partial(_make_root, node=node, work=work, claim=claim), claim.give_back))
    if storage.wants_seed(inputs):
        steps.append(_seeding(node, work, _own(work, "seed", "iso")))
    steps.append(
        Step(
            "define domain",
            lambda ctx: _define(ctx, node, work),
            lambda ctx: node.domains.undefine(ctx, work.uuid),
            keeps=True,
        )
    )
    return steps


def telling_again(node: Node, work: Work, mark: Mark) -> list[Step]:
    """A new seed for a guest that was told its first boot once. ``mark`` is a new one; the seed goes with the guest."""
    work.instance = f"{storage.instance_id(work.uuid)}-{mark.operation}"
    info = {**mark.info, "instance": work.instance}
    mark = storage.with_kind(replace(mark, operation=work.mark.operation, info=info), "iso")
    steps = _deleting_loose_seed(node, work)
    if work.seed is not None:
        steps.append(Step("remove old seed", lambda ctx: _drop_attached_seed(ctx, node, work)))
    return [*steps, _seeding(node, work, mark)]


def _deleting_loose_seed(node: Node, work: Work) -> list[Step]:
    """The step that deletes a seed that is attached no more, if there is one left to delete."""
    ref, work.loose_seed = work.loose_seed, None
    return [] if ref is None else [Step("delete old seed", lambda ctx: release_volume(ctx, node.volumes, ref))]


def _seeding(node: Node, work: Work, mark: Mark) -> Step:
    claim = Claim(node.volumes, storage.seed_ref(work.inputs), mark)
    return Step("make seed", partial(_make_seed, node=node, work=work, claim=claim), claim.give_back)


def starting(node: Node, work: Work, plugging: Sequence[Step] = ()) -> list[Step]:
    """The guest gets to its power state, ``plugging`` changes its devices, first boot is waited for, the seed goes."""
    inputs = work.inputs
    steps = []
    if inputs.autostart != (work.domain.autostart if work.domain else False):
        steps.append(Step("set autostart", lambda ctx: node.domains.set_autostart(ctx, work.uuid, inputs.autostart)))
    if inputs.power_state == "running":
        steps += [
            Step("start", lambda ctx: _start(ctx, node, work)),
            *plugging,
            Step("wait for", lambda ctx: waiting.wait(ctx, node, work), of=inputs.wait_for),
            Step("remove seed", lambda ctx: remove_seed(ctx, node, work)),
        ]
    return steps


def settling(node: Node, work: Work) -> list[Step]:
    """The guest and its volumes are somebody's from now on."""
    return [
        *_deleting_loose_seed(node, work),
        Step("mark done", lambda ctx: mark_done(ctx, node, work)),
        Step("look", lambda ctx: _look(ctx, node, work)),
    ]


def ending(node: Node, uuid: str, timeout: float, own: Sequence[VolumeRef]) -> list[Step]:
    """The guest is off after ``timeout`` seconds at most, and goes with the volumes that belong to it."""

    def shut_down(ctx: Context) -> None:
        with suppress(NotFound):
            node.domains.shutdown(ctx, uuid, timeout)

    def undefine(ctx: Context) -> None:
        with suppress(NotFound):
            node.domains.undefine(ctx, uuid)

    return [
        Step("shut down", shut_down),
        Step("undefine domain", undefine),
        *(Step("delete volume", partial(release_volume, volumes=node.volumes, ref=ref), of=str(ref)) for ref in own),
    ]


def settle(ctx: Context, node: Node, work: Work) -> None:
    """After a partial create the guest is in the state, so its marks must not say that it is still being made."""
    calm = ctx.unhurried(30)
    work.close()
    try:
        mark_done(calm, node, work)
        _look(calm, node, work)
    except KilnError as error:
        ctx.log.warning(f"the ownership marks of the guest could not be completed: {error}")


def settle_seed(ctx: Context, node: Node, work: Work) -> None:
    """After a failed update: a new seed that the guest has is its own, and one that it never got goes."""
    seed = work.seed.chain[0] if work.seed is not None else None
    mark = work.marks.pop(seed.ref, None) if seed is not None else None
    if seed is None or mark is None:
        return
    try:
        if any(disk.path == seed.path for disk in node.domains.get(ctx, work.uuid).disks):
            node.volumes.write_mark(ctx, seed.ref, finished(mark))
        else:
            release_volume(ctx, node.volumes, seed.ref, mark)
    except KilnError as error:
        ctx.log.warning(f"the new seed '{seed.ref}' is left for the next run: {error}")


def mark_done(ctx: Context, node: Node, work: Work) -> None:
    """Finish the marks, the volumes' first: a guest still marked as being made takes its volumes with it."""
    for ref, mark in work.marks.items():
        node.volumes.write_mark(ctx, ref, finished(mark))
    work.marks.clear()
    if work.mark.phase != "done" or (work.domain is not None and work.domain.mark is None):
        node.domains.set_mark(ctx, work.uuid, finished(work.mark))


def remove_seed(ctx: Context, node: Node, work: Work) -> None:
    """Once first boot is confirmed: take the seed out of the live and persistent definitions, then delete it."""
    work.close()
    if work.seed is None or not work.first_boot_ended:
        return
    _drop_attached_seed(ctx, node, work)


def _drop_attached_seed(ctx: Context, node: Node, work: Work) -> None:
    assert work.seed is not None
    ref = work.seed.chain[0].ref
    seeds.remove_seed(node, work.uuid, ref, ctx)
    work.marks.pop(ref, None)
    work.seed = None


def _own(work: Work, role: str, kind: str) -> Mark:
    return storage.with_kind(replace(work.mark, role=role), kind)


def _make_root(ctx: Context, node: Node, work: Work, claim: Claim) -> None:
    assert work.root_plan is not None
    work.root = orphans.take_back_root(ctx, node, work)
    if work.root is not None:
        return
    ref, image = storage.root_ref(work.inputs), work.root_plan.image.chain
    claim.take(ctx)
    work.marks[ref] = claim.mark
    with cloning.sizing(work.inputs.disk_size, "diskSize"):
        volume = cloning.make(ctx, node.volumes, ref, image[0], work.root_plan.clone)
    if claim.again:
        tell_users(ctx, node.domains, volume)
    work.root = Attached([volume, *(image if work.root_plan.clone.method == "linked" else [])])


def _make_seed(ctx: Context, node: Node, work: Work, claim: Claim) -> None:
    ref = storage.seed_ref(work.inputs)
    orphans.drop_seed(ctx, node, work)
    claim.take(ctx)
    work.marks[ref] = claim.mark
    work.password, password_hash = storage.password_of(work.inputs, work.password)
    content = storage.seed_content(work.inputs, work.instance, password_hash)
    work.seed = Attached([storage.make_seed(ctx, node.volumes, ref, content, claim.mark)], cd=True)


def _claim_name(ctx: Context, node: Node, name: str) -> None:
    """Make sure the name is free, removing a guest that a dead operation left unfinished. Raises Conflict."""
    try:
        there = node.domains.by_name(ctx, name)
    except NotFound:
        return
    refuse_taken("guest", name, there.mark)
    _clear(ctx, node, there)


def _clear(ctx: Context, node: Node, there: Domain) -> None:
    mark = there.mark
    assert mark is not None
    ctx.log.info(f"removing guest '{there.name}', which operation {mark.operation} left unfinished")
    node.domains.destroy(ctx, there.uuid)
    node.domains.undefine(ctx, there.uuid)
    for disk in there.disks:
        if disk.path is None:
            continue
        try:
            volume = node.volumes.by_path(ctx, disk.path)
        except NotFound:
            continue
        release_volume(ctx, node.volumes, volume.ref, mark)


def _define(ctx: Context, node: Node, work: Work) -> None:
    with blaming(work.inputs, work.hidden):
        work.saw(node.domains.define(ctx, spec_of(work, work.mark)))


def _start(ctx: Context, node: Node, work: Work) -> None:
    wants_console = work.inputs.wait_for == "firstBoot" and work.seed is not None
    if work.domain is None or work.domain.state != "running":
        ctx.log.status("starting")
    try:
        with blaming(work.inputs, work.hidden):
            work.console = node.domains.start(ctx, work.uuid, with_console=wants_console)
    except (Unreachable, Cancelled):  # it may be starting
        raise
    except KilnError as error:
        if isinstance(error, InputError) and (work.inputs.boot is None or work.inputs.boot.kernel is None):
            error.path = "image"  # which brought the kernel
        if work.before is not None:
            _put_back(ctx, node, work, work.before)
        raise


def _put_back(ctx: Context, node: Node, work: Work, before: Definition) -> None:
    """A guest that ran, and does not start with its new definition, runs again with the one it had."""
    calm = ctx.unhurried(_PUT_BACK_SECONDS)
    ctx.log.status("starting it again as it was")
    try:
        with blaming(work.inputs, work.hidden):
            node.domains.restore(calm, before)
            node.domains.start(calm, work.uuid)
    except KilnError as error:
        work.cannot_put_back = error.at(step="put the old definition back", node=node.uri)
        return
    work.is_put_back = True
    ctx.log.warning(f"guest '{work.inputs.name}' does not start with what was changed: it runs again as it was before")


def _look(ctx: Context, node: Node, work: Work) -> None:
    work.saw(node.domains.get(ctx, work.uuid))
