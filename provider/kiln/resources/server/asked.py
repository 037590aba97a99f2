"""What a guest was asked to be, in digests that its definition keeps. Pure.

A running guest keeps those of the definition that it was started with, so that the two tell what waits for a restart.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from kiln.framework.model import Impact, places, plain
from kiln.resources.server.model import ServerInputs

SEEN = frozenset({"memory", "max_memory", "vcpus", "max_vcpus"})
"""What takes a restart and is seen in a running guest itself."""


def digests(inputs: ServerInputs) -> dict[str, str]:
    """What stands for the value of each property, by its name, whose change takes a restart that nothing else shows."""
    stated = places(ServerInputs).values()
    unseen = [place for place in stated if place.facts.impact is Impact.RESTART and place.name not in SEEN]
    return {place.key: _digest(getattr(inputs, place.name)) for place in unseen}


def _digest(value: Any) -> str:
    stated = json.dumps(plain(value), sort_keys=True, default=str)
    return hashlib.sha256(stated.encode()).hexdigest()[:16]
