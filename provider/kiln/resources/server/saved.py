"""A guest whose memory was saved (`virsh managedsave`, or a host that shut down): before it is changed it is resumed,
with the definition that it was saved with, so that what it was doing is not lost."""

from __future__ import annotations

from kiln.framework.context import Context
from kiln.framework.errors import Cancelled, KilnError, Unreachable
from kiln.framework.steps import Step, run
from kiln.ports.domains import Domain
from kiln.ports.nodes import Node
from kiln.resources.server.model import ServerInputs


def resumed(ctx: Context, node: Node, domain: Domain, new: ServerInputs) -> Domain:
    """The guest, resumed where its memory was saved and ``new`` wants it to run."""
    if domain.state != "saved" or new.power_state != "running":
        return domain
    run(ctx, [Step("resume from saved memory", lambda ctx: _resume(ctx, node, domain))])
    return node.domains.get(ctx, domain.uuid)


def _resume(ctx: Context, node: Node, domain: Domain) -> None:
    ctx.log.status("resuming from its saved memory")
    try:
        node.domains.start(ctx, domain.uuid)
    except (Unreachable, Cancelled):
        raise
    except KilnError as error:
        discard = f"virsh -c '{node.uri}' managedsave-remove {domain.name}"
        raise KilnError(
            f"guest '{domain.name}' cannot be resumed from its saved memory",
            cause=error.cause or error.what,
            action=f"mend that, or discard what it was doing ({discard}), and run again",
        ).at(node=node.uri) from error
