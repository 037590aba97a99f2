"""``restartPolicy``: what becomes of changes that take a restart of the guest."""

from __future__ import annotations

from collections.abc import Iterable

from kiln.framework.context import Context
from kiln.framework.errors import Cancelled, InputError, InputErrors, KilnError, NotFound
from kiln.framework.model import Impact
from kiln.framework.plan import Change, compare
from kiln.framework.values import UNKNOWN, render_path
from kiln.ports.domains import Domain
from kiln.resources.server.model import ServerInputs
from kiln.resources.server.pending import has_already
from kiln.resources.server.resizing import resizable_now
from kiln.resources.site import Site

_NOT_ALWAYS = frozenset({"node", "first_boot"})
"""Whose change replaces by its declaration, and is often something else: only a plan knows."""


def refusals(changes: Iterable[Change], inputs: ServerInputs) -> tuple[InputError, ...]:
    """Why a guest that is never to be restarted cannot have these changes: one reason for each that restarts it."""
    if inputs.restart_policy != "forbidden":
        return ()
    return tuple(_refusal(change, inputs) for change in changes if change.impact is Impact.RESTART)


def _refusal(change: Change, inputs: ServerInputs) -> InputError:
    path = render_path(change.path)
    return InputError(
        path,
        f"a change of '{path}' restarts the guest '{inputs.name}', and its 'restartPolicy' is forbidden",
        cause=change.reason or None,
        action="leave it as it was, stop the guest first ('powerState'), or state another 'restartPolicy': with "
        "'deferred' the guest has it when it starts again, with 'allowed' it is restarted now",
    )


def check_restarts(ctx: Context, site: Site, new: ServerInputs, old: ServerInputs) -> None:
    """Refuse, as soon as it can be seen, what restarts a guest that is never to be restarted.

    What comes of a property depends on the guest, which is looked at where the node answers. A plan sees more.

    Raises:
        InputErrors: one for each path.
    """
    if new.restart_policy != "forbidden" or "stopped" in (old.power_state, new.power_state):
        return
    changes = [change for change in compare(old, new) if change.field not in _NOT_ALWAYS]
    if any(change.impact is Impact.REPLACE for change in changes):
        return
    restarting = [change for change in changes if change.impact is Impact.RESTART and change.new is not UNKNOWN]
    if restarting and (refused := refusals(_without_those_made(ctx, site, restarting, new, old), new)):
        raise InputErrors(refused)


def _without_those_made(
    ctx: Context, site: Site, changes: list[Change], new: ServerInputs, old: ServerInputs
) -> list[Change]:
    """The changes without those that do not restart the guest as it is now: it is off, or has them already."""
    node = site.node_to_look_at(ctx, old.node)
    if node is None:
        return changes
    try:
        domain: Domain = node.domains.by_name(ctx, old.name)
        sized = resizable_now(ctx, node, domain, new) if UNKNOWN not in (new.memory, new.vcpus) else set()
    except NotFound:
        return []
    except Cancelled:
        raise
    except KilnError as error:
        ctx.log.debug(f"'{old.name}' cannot be looked at: {error}")
        return changes
    if domain.live is None:
        return []
    return [change for change in changes if change.field not in sized and not has_already(domain, new, change.field)]
