"""Looking through a whole node."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import TypeVar

from kiln.framework.context import Context
from kiln.framework.errors import Cancelled, KilnError, NotFound, Refused, Unreachable
from kiln.ports.domains import Domain, GuestLog
from kiln.ports.nodes import Node
from kiln.ports.volumes import Pool
from kiln.resources.leftovers.guests import guests
from kiln.resources.leftovers.model import Leftover
from kiln.resources.leftovers.networks import networks
from kiln.resources.leftovers.snapshots import snapshots
from kiln.resources.leftovers.temporaries import temporaries
from kiln.resources.leftovers.volumes import volumes

T = TypeVar("T")


def find(ctx: Context, node: Node, pool: str | None = None, known: Collection[str] | None = None) -> list[Leftover]:
    """What can be removed from a node; with ``pool`` no other pool is looked into.

    Always: what dead operations left unfinished, seeds of first boots that have ended, what killed uploads and checks
    left under temporary names, and logs of guests that are gone. With ``known``, the ids and URNs that all stacks hold:
    also finished objects that none of them does; without it those are never leftovers. What cannot be looked into is
    told as a warning.

    Raises:
        NotFound: there is no ``pool``.
    """
    pools = node.volumes.pools(ctx) if pool is None else [node.volumes.pool(ctx, pool)]
    # Logs before guests: whoever writes a log is then among the guests.
    logs = _tolerant(ctx, lambda: node.domains.logs(ctx), ())
    there = node.domains.list(ctx)
    attached = {path for domain in there for path in _files(domain)}
    found = [*guests(ctx, node, there, known), *_tolerant(ctx, lambda: list(networks(ctx, node, known)), ())]
    for domain in there:
        found += _tolerant(ctx, partial(snapshots, ctx, node, domain, known), ())
    for each in pools:
        found += _tolerant(ctx, partial(_in_pool, ctx, node, each, known, attached), ())
    return [*found, *_logs(node, logs, there)]


def _in_pool(
    ctx: Context, node: Node, pool: Pool, known: Collection[str] | None, attached: Collection[str]
) -> list[Leftover]:
    if not pool.active:
        ctx.log.warning(f"storage pool '{pool.name}' is stopped and was not looked into")
        return []
    # Temporary files before marks: whoever writes one has its mark from before until after that.
    written = node.volumes.temporaries(ctx, pool.name)
    marks = dict(node.volumes.marks(ctx, pool.name))
    return [
        *volumes(ctx, node, marks, known, attached),
        *temporaries(node, pool, written, marks.values(), attached),
        *_empty_pool(ctx, node, pool, known),
    ]


def _empty_pool(ctx: Context, node: Node, pool: Pool, known: Collection[str] | None) -> Iterator[Leftover]:
    """The pool, if Kiln made it and no stack has what could need it: volumes in it, or this machine as a Node."""
    if known is None or node.identity(ctx) in known:
        return
    mark = node.volumes.pool_mark(ctx, pool.name)
    if mark is None or node.volumes.list(ctx, pool.name) or any(True for _ in node.volumes.marks(ctx, pool.name)):
        return
    why = "Kiln made it, and nothing is in it"
    yield Leftover("pool", pool.name, pool.name, pool.path, why, mark.urn, mark.made, partial(_remove_pool, node, pool))


def _remove_pool(node: Node, pool: Pool, ctx: Context) -> None:
    if not node.volumes.remove_pool(ctx, pool.name):
        raise Refused(f"pool '{pool.name}' is in use by now, and stays", action="run `kiln gc` again")


def _logs(node: Node, logs: Sequence[GuestLog], there: Sequence[Domain]) -> Iterator[Leftover]:
    used = {name for domain in there for name in (domain.uuid, domain.name, domain.console_log)}
    for log in logs:
        if not {log.uuid or log.name, log.path} & used:
            why = "the log of a guest that is gone"
            remove = partial(_remove_log, node, log)
            yield Leftover("log", log.path, log.name, log.path, why, "", log.changed, remove)


def _remove_log(node: Node, log: GuestLog, ctx: Context) -> None:
    node.domains.delete_log(ctx, log)


def _files(domain: Domain) -> list[str]:
    """The files a guest uses: its disks, and what it boots directly."""
    boot = [domain.boot.kernel, domain.boot.initrd] if domain.boot is not None else []
    return [path for path in (*(disk.path for disk in domain.disks), *boot) if path]


def _tolerant(ctx: Context, look: Callable[[], Sequence[T]], nothing: Sequence[T]) -> Sequence[T]:
    """What ``look`` finds; what one pool or directory refuses does not hide what is in the others."""
    try:
        return look()
    except (Unreachable, Cancelled):
        raise
    except NotFound:  # a pool that went away meanwhile
        return nothing
    except KilnError as error:
        ctx.log.warning(f"{error}")
        return nothing
