"""``xmlOverlay``: changes of a guest's definition in the platform's own words, for what has no property."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class OverlaySpec:
    """One change of what ``xpath`` selects in the definition.

    Exactly one is set: ``xml``, elements that are appended to each selected element; ``attribute``, a name and the
    value that each gets; ``remove``, the selected elements or attributes go. None is, where it tells what a guest has
    and the change is not there; nothing is done for such a one. The values may be secret.
    """

    xpath: str
    xml: str | None = field(default=None, repr=False)
    attribute: tuple[str, str] | None = field(default=None, repr=False)
    remove: bool = False

    @property
    def asks(self) -> bool:
        """Whether it makes a change."""
        return self.remove or self.xml is not None or self.attribute is not None
