"""Objects in the words of the platform that holds them."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Definition:
    """What defines a guest or a network, with its secrets: good for putting it back, and for nothing else."""

    text: str = field(repr=False)
