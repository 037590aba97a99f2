"""What the table asks of a resource, stated for each of them in ``cases``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kiln.framework.model import Impact, Model, places
from kiln.framework.resource import AnyResource

from tests.conformance.world import World


@dataclass(frozen=True)
class Change:
    """Inputs that a program states otherwise (None: no more) and the paths at which a preview tells it.

    ``impact`` is what the change does, None for one that says in other words what is so already. ``about`` are the
    properties it is in the table for, when they are not those at ``paths``.
    """

    inputs: Mapping[str, Any]
    impact: Impact | None
    paths: tuple[str, ...] = ()
    about: tuple[str, ...] = ()

    @property
    def told(self) -> set[str]:
        """The paths at which it is told."""
        return set(self.paths or self.inputs) if self.impact is not None else set()

    @property
    def fields(self) -> set[str]:
        """The inputs that it is told of."""
        return {_without_index(path).partition(".")[0] for path in self.told}

    @property
    def properties(self) -> set[str]:
        """The properties it is about, without the places in lists."""
        return {_without_index(path) for path in self.about or self.paths or self.inputs}

    def __str__(self) -> str:
        return "+".join(self.about or self.paths or self.inputs) + (f"-{self.impact}" if self.impact else "-nothing")


@dataclass(frozen=True)
class Drift:
    """What happens to an object, given its id, behind Kiln's back, and the one input that then differs. ``refused`` are
    the words in which the next run tells that it cannot be taken back."""

    property: str
    happens: Callable[[World, str], None]
    seen: Any
    refused: str = ""

    def __str__(self) -> str:
        return f"{self.property}-{self.happens.__name__}"


@dataclass(frozen=True)
class Stumble:
    """What makes a create partial, the words it is told in, and what the user mends before the next run."""

    happens: Callable[[World], None]
    words: str
    mended: Callable[[World, str], None]


@dataclass(frozen=True)
class Case:
    """A resource's rows of the table.

    ``prepare`` makes what the object needs and returns the inputs of a program, as full as can be. The logical name of
    the object is ``it``. ``unseen`` says of each input without a drift why the node does not tell it; ``untold`` says
    of each input of the program that an import does not find why not. ``orphan`` removes, as `kiln gc` does, what
    the vanished object left and only the resource of the same URN takes back.
    """

    name: str
    resource: type[AnyResource]
    prepare: Callable[[World], dict[str, Any]]
    changes: tuple[Change, ...]
    drifts: tuple[Drift, ...]
    unseen: Mapping[str, str]
    import_id: str
    untold: Mapping[str, str]
    vanishes: Callable[[World, str], None] | None = None
    orphan: Callable[[World], None] | None = None
    stumble: Stumble | None = None
    secrets: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        return self.name


def properties(model: type[Model], at: str = "") -> Iterator[str]:
    """The paths of all inputs, those of objects inside them for the objects."""
    for place in places(model).values():
        if place.facts.output:
            continue
        if place.nested is not None:
            yield from properties(place.nested, f"{at}{place.key}.")
        else:
            yield at + place.key


def _without_index(path: str) -> str:
    return ".".join(part.partition("[")[0] for part in path.split("."))
