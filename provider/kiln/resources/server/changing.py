"""The steps that change a guest that exists: live where that can be, else by a restart.

The definition comes first, so that a refused one changes nothing.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from kiln.framework.context import Context
from kiln.framework.steps import Step
from kiln.ports.nodes import Node
from kiln.resources import cloning
from kiln.resources.ownership import new_mark
from kiln.resources.server import external_snapshots, life, storage
from kiln.resources.server.build import Work, spec_of
from kiln.resources.server.course import course, plugged
from kiln.resources.server.hotplug import HotChange, Plug, Replug, Unplug
from kiln.resources.server.layout import Attached
from kiln.resources.server.model import ServerInputs, ServerState
from kiln.resources.server.overlay import blaming
from kiln.resources.server.resizing import resizable_now, resizing
from kiln.resources.server.sizing import resizes

APART = frozenset(
    {
        "disk_size",
        "node",
        "autostart",
        "description",
        "power_state",
        "wait_for",
        "wait_timeout",
        "shutdown_timeout",
        "on_first_boot_change",
        "restart_policy",
    }
)
"""What is no part of the definition, or has a step of its own."""

HOT = frozenset({"disks", "networks"})
"""What a running guest is given and rid of while it runs on."""


def changing(ctx: Context, node: Node, work: Work, changed: set[str], state: ServerState) -> list[Step]:
    """From the guest as it is to the guest as its inputs ask for it, but for the marks.

    ``changed`` are fields of the inputs; ``state`` says what else is to be put right.
    """
    domain, new = work.domain, work.inputs
    assert domain is not None
    active = domain.state in ("running", "paused")
    left = {*(state.unfinished or ()), *(state.pending_restart or ())}
    again = storage.wants_seed(new) and _told_again(changed, left, new, under_way=work.seed is not None)
    changed = changed | {"first_boot"} if again else changed - {"first_boot"}
    name = {"name"} if domain.name != new.name else set()  # a program may state the one that it was given on the node
    sized = resizable_now(ctx, node, domain, new)
    way = course(domain, state, new, changed - APART - HOT - sized - {"name"} | name, changed & HOT)
    work.waits, work.restarts = way.waits, way.restarts
    restarts, renamed = way.restarts, domain.name != way.name
    stays_on = new.power_state == "running" and not restarts
    hot = plugged(domain, spec_of(work, work.mark), new) if stays_on and not way.full and (changed | left) & HOT else []
    sizes = resizes(domain, new, sized & (changed | {*(state.unfinished or ())})) if stays_on else []
    redefine = bool(state.transient or left or changed - APART)
    if redefine or _grows(work, changed):
        wanted = {disk.chain[0].path for disk in spec_of(work, work.mark).disks}
        external_snapshots.refuse_to_redefine(node, domain, wanted)
    steps = life.telling_again(node, work, new_mark(ctx, "seed")) if again else []
    if _grows(work, changed):
        steps.append(Step("grow root disk", lambda ctx: _grow_root(ctx, node, work)))
    off = [Step("shut down", lambda ctx: _shutdown(ctx, node, work))]
    if renamed:
        steps += [*(off if active else []), Step("rename", lambda ctx: node.domains.rename(ctx, work.uuid, new.name))]
    if redefine:
        keep = active and restarts and new.power_state == "running"
        steps.append(Step("redefine domain", lambda ctx: _redefine(ctx, node, work, way.name, keep=keep)))
    if active and not renamed and (restarts or new.power_state == "stopped"):
        steps += off
    if "description" in changed and not redefine:
        steps.append(Step("set description", lambda ctx: node.domains.set_description(ctx, work.uuid, new.description)))
    plugging = resizing(node, work, sizes)
    plugging += [_plugging(node, work, change) for change in hot]
    return steps + life.starting(node, work, plugging)


def _grows(work: Work, changed: set[str]) -> bool:
    """Whether the root disk gets another size: one that is asked for now, or that a failed update did not get to."""
    size, root = work.inputs.disk_size, work.root
    if size is None or root is None:
        return False
    return "disk_size" in changed or root.chain[0].virtual_size < size.bytes


def _told_again(changed: set[str], left: set[str], new: ServerInputs, *, under_way: bool) -> bool:
    """Whether the guest's first boot runs again: asked for now, or by an update that failed before it was told."""
    unfinished = "firstBoot" in left and not under_way
    return new.on_first_boot_change == "rerun" and ("first_boot" in changed or unfinished)


def _redefine(ctx: Context, node: Node, work: Work, name: str, *, keep: bool) -> None:
    """The new definition; with ``keep`` the old one is remembered, for a guest that does not start with the new."""
    if keep:
        work.before = node.domains.definition(ctx, work.uuid)
    with blaming(work.inputs, work.hidden):
        work.saw(node.domains.define(ctx, replace(spec_of(work, work.mark), name=name)))
    work.is_defined = True


def _plugging(node: Node, work: Work, change: HotChange) -> Step:
    do, of = partial(_apply, node=node, work=work, change=change), change.device.called
    match change:
        case Unplug():
            return Step("unplug", do, of=of)
        case Plug():
            return Step("plug", do, of=of)
        case Replug():
            return Step("change", do, of=of)


def _apply(ctx: Context, node: Node, work: Work, change: HotChange) -> None:
    ctx.log.status(str(change))
    settings = work.inputs.platform_config or {}
    match change:
        case Unplug(device):
            node.domains.unplug(ctx, work.uuid, device)
        case Plug(device):
            node.domains.plug(ctx, work.uuid, device, settings)
        case Replug(device):
            node.domains.replug(ctx, work.uuid, device, settings)


def _grow_root(ctx: Context, node: Node, work: Work) -> None:
    assert work.root is not None
    assert work.inputs.disk_size is not None
    volume, size = work.root.chain[0], work.inputs.disk_size.bytes
    with cloning.sizing(work.inputs.disk_size, "diskSize"):
        if size < volume.virtual_size or not node.domains.resize_disk(ctx, volume.path, size):
            cloning.grow(ctx, node.volumes, volume.ref, size)
    work.root = Attached([node.volumes.get(ctx, volume.ref), *work.root.chain[1:]])


def _shutdown(ctx: Context, node: Node, work: Work) -> None:
    ctx.log.status(f"shutting down (up to {work.inputs.shutdown_timeout} s)")
    if not node.domains.shutdown(ctx, work.uuid, float(work.inputs.shutdown_timeout)):
        ctx.log.warning("the guest did not shut down by itself and was forced off")
    work.is_off = True
