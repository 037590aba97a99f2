"""What the state says of a guest whose update failed."""

from __future__ import annotations

from kiln.framework.context import Context
from kiln.framework.errors import Cancelled, KilnError, Unreachable
from kiln.framework.model import alias_of
from kiln.ports.nodes import Node
from kiln.resources.server import observe
from kiln.resources.server.build import Work
from kiln.resources.server.changing import APART, HOT
from kiln.resources.server.known import Known
from kiln.resources.server.life import settle_seed
from kiln.resources.server.model import ServerInputs, ServerState

_LOOK_SECONDS = 30.0


def state_left(
    ctx: Context, node: Node, work: Work, error: KilnError, state: ServerState, changed: set[str]
) -> ServerState:
    """The state after ``error`` ended an update of the fields ``changed``; ``state`` is the one before it.

    A guest that was put back is told as it is now, so that the next run finds the same to change, and nothing if the
    program goes back. Any other is told as it was to become as far as it has that, with what is not finished.
    """
    calm = ctx.unhurried(_LOOK_SECONDS)
    settle_seed(calm, node, work)
    if not isinstance(error, Unreachable | Cancelled):
        _look_again(calm, node, work)
    if work.is_put_back and work.domain is not None:
        given = {field: getattr(state, field) for field in ServerInputs.model_fields}
        known = Known(work.inputs.node, state.pool, None, ServerInputs.model_construct(**given), state)
        now = observe.found(calm, node, work.domain, known).state
        left = {*(now.unfinished or ()), *(state.unfinished or ())}
        return now.model_copy(update={"unfinished": sorted(left) or None})
    return _unfinished(observe.state(node, work), work, changed, state)


def _unfinished(left: ServerState, work: Work, changed: set[str], before: ServerState) -> ServerState:
    """The state after a failed update. It calls for another one also if the program goes back to what it was.

    A guest that has not got its new definition, or was to be restarted with it and was not, is told as it was
    ``before``, so that the next run plans that restart, or refuses it; what waited for one still does. What a guest
    that runs on is given and rid of is told as asked for: the next run gives it the rest.
    """
    has_it = work.is_defined and (work.is_off or not work.restarts)
    undone = set() if has_it else changed - (APART if work.restarts else APART | HOT)
    waits = left.pending_restart or (None if has_it else before.pending_restart)
    unfinished = {alias_of(ServerInputs, field) for field in changed} | set(left.unfinished or ())
    told = {field: getattr(before, field) for field in undone}
    return left.model_copy(update={**told, "unfinished": sorted(unfinished), "pending_restart": waits})


def _look_again(ctx: Context, node: Node, work: Work) -> None:
    """See the guest as the steps left it, where the node can tell."""
    try:
        work.saw(node.domains.get(ctx, work.uuid))
    except KilnError as error:
        ctx.log.debug(f"the guest cannot be looked at: {error}")
