"""What a guest was asked to be, in digests that its definition keeps. Pure.

A running guest keeps those of the definition that it was started with, so that the two tell what waits for a restart.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from kiln.framework.model import Impact, Place, places, plain
from kiln.ports.domains import Domain
from kiln.resources.server.model import ServerInputs

SEEN = frozenset({"memory", "max_memory", "vcpus", "max_vcpus"})
"""What takes a restart and is seen in a running guest itself."""


def digests(inputs: ServerInputs) -> dict[str, str]:
    """What stands for the value of each property, by its name, whose change takes a restart that nothing else shows."""
    return {place.key: _digest(getattr(inputs, place.name)) for place in _unseen()}


def kept(domain: Domain, inputs: ServerInputs) -> set[str]:
    """The fields of those that a running guest has as ``inputs`` say, since it was started so, and that its definition
    has otherwise by now."""
    started, stated = domain.live.asked if domain.live is not None else {}, digests(inputs)
    unlike = {key for key, digest in started.items() if digest != domain.asked.get(key)}
    return {place.name for place in _unseen() if place.key in unlike and started[place.key] == stated[place.key]}


def _unseen() -> list[Place]:
    stated = places(ServerInputs).values()
    return [place for place in stated if place.facts.impact is Impact.RESTART and place.name not in SEEN]


def _digest(value: Any) -> str:
    stated = json.dumps(plain(value), sort_keys=True, default=str)
    return hashlib.sha256(stated.encode()).hexdigest()[:16]
