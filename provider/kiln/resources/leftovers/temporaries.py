"""What killed processes left under temporary names, told by the names alone.

::

    .kiln-probe-<tag>            the disk of a probe guest          its process is no more
    .kiln-doctor-<tag>           the volume of a check
    .kiln-mark-<tag>             a mark half written
    .kiln-<operation>-<digest>   a volume half uploaded             its operation has no mark that is held any more
    kiln-probe-<tag>             a pool for the moment of a probe   its process is no more
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterator, Sequence
from functools import partial

from kiln.framework.context import Context
from kiln.framework.process import maker_runs
from kiln.ports.marks import Mark
from kiln.ports.nodes import Node
from kiln.ports.volumes import PROBE_PREFIX, TEMPORARY_PREFIX, Pool, Temporary, VolumeRef
from kiln.resources.leftovers.model import Leftover

LONGEST_SECONDS = 3600.0
"""No check takes longer. By that, what a process of another machine made is known to be left over."""
_CHECK = re.compile(rf"{re.escape(TEMPORARY_PREFIX)}(?:(?:probe|doctor|mark)-)?([0-9a-f-]+)")
_UPLOAD = re.compile(rf"{re.escape(TEMPORARY_PREFIX)}([0-9a-f]{{16}})-[0-9a-f]{{8}}")


def temporaries(
    node: Node, pool: Pool, written: Sequence[Temporary], marks: Collection[Mark], attached: Collection[str]
) -> Iterator[Leftover]:
    """Those of the temporary volumes and files of a pool that are left over, or the pool when it is one of a probe."""
    left = [(each, why) for each in written if each.path not in attached and (why := _why(each, marks))]
    if pool.name.startswith(PROBE_PREFIX):
        if _is_dead_pool(pool, written, left):
            since = min((each.changed for each in written), default=None)
            why, remove = "a check of the node that was killed made it", partial(_remove_pool, node, pool)
            yield Leftover("pool", pool.name, pool.name, pool.path, why, "", since, remove)
        return
    for each, why in left:
        remove = partial(_remove, node, each.ref)
        yield Leftover("temporary", str(each.ref), each.ref.name, each.path, why, "", each.changed, remove)


def _why(file: Temporary, marks: Collection[Mark]) -> str | None:
    upload = _UPLOAD.fullmatch(file.ref.name)
    if upload is not None:
        # What has a mark at "creating" is still written to, or goes with its volume.
        unfinished = any(mark.operation == upload[1] and mark.phase == "creating" for mark in marks)
        return None if unfinished else "an upload that was killed left it"
    check = _CHECK.fullmatch(file.ref.name)
    if check is None:
        return None
    runs = maker_runs(check[1])
    if runs is None:
        runs = time.time() - file.changed < LONGEST_SECONDS
    return None if runs else "a check of the node that was killed left it"


def _is_dead_pool(pool: Pool, written: Sequence[Temporary], left: Sequence[object]) -> bool:
    runs = maker_runs(pool.name.removeprefix(PROBE_PREFIX))
    if runs is None:  # made on another machine: only by what is in it can be told how old it is
        return bool(written) and len(left) == len(written)
    return not runs


def _remove(node: Node, ref: VolumeRef, ctx: Context) -> None:
    node.volumes.delete(ctx, ref)


def _remove_pool(node: Node, pool: Pool, ctx: Context) -> None:
    for each in node.volumes.temporaries(ctx, pool.name):
        node.volumes.delete(ctx, each.ref)
    node.volumes.discard_pool(ctx, pool.name)
