"""What a Snapshot can be asked for and what it tells. Pure."""

from __future__ import annotations

import uuid as uuids
from typing import Annotated

from pydantic import AfterValidator

from kiln.framework.model import Impact, Model, out, prop
from kiln.ports.snapshots import GuestState
from kiln.resources.names import Name, Text


def _guest(text: str) -> str:
    try:
        return str(uuids.UUID(text))
    except ValueError:
        raise ValueError(f"{text!r} is not the id of a server; use the Server's output `id`") from None


class SnapshotInputs(Model):
    """Inputs of Snapshot."""

    name: Name = prop("Name of the snapshot among those of its server.", sticky=True)
    server: Annotated[str, AfterValidator(_guest)] = prop(
        "Id of the Server, all of whose disks are in the snapshot.", required=True
    )
    node: str = prop(
        "The node's libvirt URI, such as the Server's `node` output.",
        default_doc="the provider's `uri`",
        unless="`live` where the URI leads to the same machine",
    )
    memory: bool | None = prop(
        "Whether the guest's memory is in the snapshot too: true of a guest that runs, false of one that is off.",
        default_doc="as the guest is",
        unless="nothing where it states what is so already",
    )
    description: Text | None = prop("Description of the snapshot in libvirt.", impact=Impact.LIVE)
    revert: Text | None = prop(
        "A text of your choosing. When it becomes another one, the guest is forced off and taken back to the snapshot,"
        " once: what its disks and its memory got since then is lost, which the preview spells out. The text that a"
        " snapshot is made with does nothing.",
        impact=Impact.RESTART,
        unless="`live` where it is taken away: nothing is reverted",
    )


class SnapshotState(SnapshotInputs):
    """State of Snapshot."""

    node_identity: str = out("Identity of the node, the same for all its URIs.")
    created: str = out("When it was taken, by the node's clock (RFC 3339, UTC).")
    state: GuestState = out("What the guest was then. A snapshot of one that was not `stopped` holds its memory.")
    disks: list[str] = out("Ids of the volumes whose content it holds.")
