"""The steps that give a running guest memory and virtual CPUs, and have it use them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from kiln.framework.context import Context
from kiln.framework.steps import Step
from kiln.framework.units import Size
from kiln.ports.domains import Domain
from kiln.ports.nodes import Node
from kiln.resources.server import onlining
from kiln.resources.server.build import Work
from kiln.resources.server.model import ServerInputs
from kiln.resources.server.sizing import Balloon, PlugMemory, PlugVcpus, Resize, may_shrink, resizable

ONLINE_SECONDS = 20.0
_POLL_SECONDS = 0.5
_AGENT_SECONDS = 5.0


def spare_memory(ctx: Context, node: Node, domain: Domain, new: ServerInputs) -> int | None:
    """KiB that the guest can spare, where that matters and it says so."""
    return node.domains.spare_memory(ctx, domain.uuid) if may_shrink(domain, new) else None


def resizable_now(ctx: Context, node: Node, domain: Domain, new: ServerInputs) -> set[str]:
    """Which of ``memory`` and ``vcpus`` the guest can get while it runs on. It is asked what it can spare."""
    return resizable(domain, new, spare_memory(ctx, node, domain, new))


def resizing(node: Node, work: Work, changes: Sequence[Resize]) -> list[Step]:
    """A step for each change."""
    return [_resizing(node, work, change) for change in changes]


def _resizing(node: Node, work: Work, change: Resize) -> Step:
    do = partial(_apply, node=node, work=work, change=change)
    match change:
        case Balloon(size):
            return Step("balloon", do, of=f"to {Size.of(size * 1024)}")
        case PlugMemory(size):
            return Step("plug memory", do, of=str(Size.of(size * 1024)))
        case PlugVcpus(count):
            return Step("plug virtual CPUs", do, of=f"up to {count}")


def _apply(ctx: Context, node: Node, work: Work, change: Resize) -> None:
    ctx.log.status(str(change))
    ask = partial(_ask, ctx, node, work)
    match change:
        case Balloon(size):
            node.domains.balloon(ctx, work.uuid, size)
        case PlugMemory(size):
            node.domains.plug_memory(ctx, work.uuid, size)
            live = node.domains.get(ctx, work.uuid).live
            installed = live.installed if live is not None else 0
            _online(ctx, "memory", lambda: onlining.online_memory(ask, installed), "chmem")
        case PlugVcpus(count):
            node.domains.plug_vcpus(ctx, work.uuid, count)
            _online(ctx, "virtual CPUs", lambda: onlining.online_vcpus(ask, count), "chcpu")


def _online(ctx: Context, what: str, online: Callable[[], bool | None], how: str) -> None:
    """Have the guest's agent bring online what was added, which the guest sees a moment later."""
    limited = ctx.limited(ONLINE_SECONDS)
    while (done := online()) is False and limited.remaining(1) > 0:
        ctx.sleep(_POLL_SECONDS, f"bring {what} online")
    if not done:
        why = "no agent answers in the guest" if done is None else f"its agent did not within {ONLINE_SECONDS:.0f} s"
        ctx.log.warning(
            f"{what} added, which the guest must bring online unless it does so by itself ({how} -e): {why}"
        )


def _ask(ctx: Context, node: Node, work: Work, command: str) -> str | None:
    return node.domains.agent_command(ctx, work.uuid, command, _AGENT_SECONDS)
