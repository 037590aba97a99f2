"""A provider: its configuration, its resources and its functions, in no protocol's words."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from kiln.framework.context import Context
from kiln.framework.model import Model
from kiln.framework.resource import AnyResource


@dataclass(frozen=True)
class Function:
    """A function that a program can call. ``run`` gets the arguments as an ``Inputs`` model."""

    name: str
    doc: str
    Inputs: type[Model]
    Result: type[Model]
    run: Callable[[Context, Any], Model]


class Provider(ABC):
    """What a host serves. ``kinds`` are the resource classes, known before anything is configured. ``homepage`` is
    where defects are reported and the source is, empty while there is no such place."""

    name: ClassVar[str]
    version: ClassVar[str]
    display_name: ClassVar[str]
    description: ClassVar[str]
    homepage: ClassVar[str] = ""
    Config: ClassVar[type[Model]]
    kinds: ClassVar[Sequence[type[AnyResource]]]

    @abstractmethod
    def check_config(self, ctx: Context, new: Any, old: Any) -> Model:
        """The configuration with its defaults filled in. Raises InputError(s)."""

    @abstractmethod
    def configure(self, config: Any) -> None:
        """Take the configuration; called once, before any resource is used."""

    @property
    @abstractmethod
    def resources(self) -> Mapping[str, AnyResource]:
        """The configured resources by name."""

    @property
    def functions(self) -> Mapping[str, Function]:
        """The functions by name."""
        return {}

    @abstractmethod
    def close(self) -> None:
        """Let go of connections; called at the end of a run."""
