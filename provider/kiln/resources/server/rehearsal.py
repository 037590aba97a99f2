"""Trying a guest's overlay before anything is made or changed for it. Reads only."""

from __future__ import annotations

from dataclasses import replace

from kiln.framework.context import Context
from kiln.ports.nodes import Node
from kiln.ports.volumes import Volume
from kiln.resources.server.build import Work, spec_of
from kiln.resources.server.layout import Attached
from kiln.resources.server.storage import root_ref


def rehearse(ctx: Context, node: Node, work: Work) -> None:
    """Apply ``xmlOverlay`` to the definition that the guest will have, but for the seed, which it does not keep.

    Raises InputError at an entry that cannot be applied.
    """
    if work.inputs.xml_overlay:
        tried = replace(work, root=work.root or _planned_root(ctx, node, work), seed=None)
        node.domains.rehearse(ctx, spec_of(tried, work.mark))


def _planned_root(ctx: Context, node: Node, work: Work) -> Attached | None:
    """The root disk as it will be."""
    plan = work.root_plan
    if plan is None:
        return None
    ref, clone = root_ref(work.inputs), plan.clone
    path = f"{node.volumes.pool(ctx, ref.pool).path}/{ref.name}"
    volume = Volume(ref, path, clone.format, clone.virtual_size, 0)
    return Attached([volume, *(plan.image.chain if clone.method == "linked" else [])])
