"""What is known of a guest before it is read. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from kiln.resources.server.model import ServerInputs, ServerState


@dataclass(frozen=True)
class Known:
    """What is known beforehand about a guest that is read: where it is, its node's defaults, what the state says."""

    uri: str
    pool: str
    network: str | None
    inputs: ServerInputs | None = None
    state: ServerState | None = None
