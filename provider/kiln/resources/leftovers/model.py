"""One thing that is left over."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal

from kiln.framework.context import Context
from kiln.framework.errors import Refused
from kiln.ports.marks import Mark
from kiln.resources.ownership import held

Kind = Literal["guest", "snapshot", "network", "volume", "seed", "temporary", "pool", "log"]


@dataclass(frozen=True)
class Leftover:
    """One object that can be removed.

    ``id`` is a guest's or network's UUID, a snapshot's ``guest/name``, a volume's ``pool/name``, a pool's name or a
    log's path. ``where`` is its path on the node as far as it has one. ``why`` is for people. ``since`` is when it was
    made or last written to, in seconds since the epoch; None where nothing tells.
    """

    kind: Kind
    id: str
    name: str
    where: str
    why: str
    urn: str
    since: float | None
    remove: Callable[[Context], None]


def why_marked(mark: Mark, id: str, known: Collection[str] | None) -> str | None:
    """Why an object with ``mark`` is left over, None when it is not."""
    if known is not None and id in known:  # unfinished as it may be, the next run finishes it
        return None
    if mark.phase == "creating":
        return None if held(mark) else "an operation that died left it unfinished"
    return "no given stack holds it" if known is not None else None


def require_unchanged(what: str, found: Mark, now: Mark | None) -> None:
    """Refuse to remove what another operation has taken on since it was found."""
    if now is None or (now.operation, now.phase) != (found.operation, found.phase) or held(now):
        raise Refused(f"{what} changed since it was found, and stays", action="run `kiln gc` again")
