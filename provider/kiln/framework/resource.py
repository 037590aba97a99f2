"""The interface a resource implements. Hosts call it through ``operations``; it never sees a wire value."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from kiln.framework.context import Context
from kiln.framework.model import Model
from kiln.framework.plan import Plan, compare

I = TypeVar("I", bound=Model)  # noqa: E741 - inputs
S = TypeVar("S", bound=Model)


@dataclass(frozen=True)
class Created(Generic[S]):
    """A finished object."""

    id: str
    state: S


@dataclass(frozen=True)
class Found(Generic[I, S]):
    """An object as it is now. ``inputs`` are in desired shape: what a program would say to get exactly this."""

    id: str
    inputs: I
    state: S


class Resource(ABC, Generic[I, S]):
    """One kind of object and everything that can be done with it.

    ``name`` is the schema's name of the kind (``Server``), ``Inputs`` and ``State`` are its models; ``State`` inherits
    ``Inputs``. ``delete_first`` is True where two objects of one name cannot exist. ``names_content`` is True where an
    input names something whose content counts, such as a file: then equal inputs may still be a change. ``timeout`` is
    the number of seconds an operation may take when the user sets no limit.
    """

    name: ClassVar[str]
    Inputs: ClassVar[type[Model]]
    State: ClassVar[type[Model]]
    delete_first: ClassVar[bool] = True
    names_content: ClassVar[bool] = False
    timeout: ClassVar[float] = 3600.0

    def check(self, ctx: Context, new: I, old: I | None) -> I:
        """Fill in defaults and refuse what can be seen to be wrong; reads only. Raises InputError or InputErrors."""
        return new

    def diff(self, ctx: Context, id: str, state: S, old: I, new: I) -> Plan:
        """What going from ``old`` to ``new`` does; reads only."""
        return Plan(compare(old, new), delete_first=self.delete_first)

    def planned_id(self, inputs: I) -> str | None:
        """The id of the object that these inputs, of which some may be unknown, make; None where only making it tells.

        A preview tells it, so that what names the object by its id is seen not to change when it is made again.
        """
        return None

    @abstractmethod
    def create(self, ctx: Context, inputs: I) -> Created[S]:
        """Make the object. Raises PartialCreate when it exists but is not finished."""

    @abstractmethod
    def read(self, ctx: Context, id: str, inputs: I | None, state: S | None) -> Found[I, S] | None:
        """The object as it is, None when it is definitely gone. For an import ``inputs`` and ``state`` are None."""

    @abstractmethod
    def update(self, ctx: Context, id: str, state: S, old: I, new: I) -> S:
        """Change the object in place, and finish a partial create. Raises PartialCreate."""

    @abstractmethod
    def delete(self, ctx: Context, id: str, state: S) -> None:
        """Remove the object; one that is gone is a success."""


AnyResource = Resource[Any, Any]
