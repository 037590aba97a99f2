"""Which resource or function a request means, and what it says about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from kiln.framework.errors import KilnError
from kiln.framework.model import alias_of
from kiln.framework.operations import Autoname
from kiln.framework.resource import AnyResource
from kiln.hosts.pulumi import decode
from kiln.hosts.pulumi.proto import provider_pb2

T = TypeVar("T")

_MODES = provider_pb2.CheckRequest.AutonamingOptions


def by_token(offered: Mapping[str, T], token: str) -> T:
    """The resource or function of a token such as ``toy:index:Thing``. Raises KilnError naming what there is."""
    name = token.rpartition(":")[2]
    if name not in offered:
        known = ", ".join(sorted(offered)) or "none"
        raise KilnError(f"'{token}' is not known to this version of the provider", action=f"use one of: {known}")
    return offered[name]


def type_of(request: Any) -> str:
    """The type token of a request; engines before 3.139 send it only as a part of the URN."""
    qualified: str = request.type or request.urn.split("::")[2]
    return qualified.rpartition("$")[2]


def name_of(request: Any) -> str:
    """The logical name of a resource; the last part of its URN, which may hold ``::`` itself."""
    return str(request.name or request.urn.split("::", 3)[3])


def called(request: Any) -> str:
    """What a resource is called in messages: ``Thing 'web'``."""
    return f"{type_of(request).rpartition(':')[2]} '{name_of(request)}'"


def autoname(request: provider_pb2.CheckRequest) -> Autoname | None:
    """How an object is to be called when the program does not say; None leaves it to the resource."""
    if not request.HasField("autonaming"):
        return None
    options = request.autonaming
    match options.mode:
        case _MODES.ENFORCE:
            return Autoname("enforce", options.proposed_name)
        case _MODES.DISABLE:
            return Autoname("disable")
        case _:
            return Autoname("propose", options.proposed_name)


Bags = tuple[dict[str, Any] | None, dict[str, Any] | None]


def recorded(resource: AnyResource, request: provider_pb2.ReadRequest) -> Bags:
    """The inputs and the state that a Read comes with; each is None when there is none.

    A refresh sends both, an import neither. ``Resource.get()`` sends what the program gave to it twice, often nothing
    and rarely all that a new object would need: then it says no more than an import does.
    """
    inputs = decode.properties(request.inputs) if request.HasField("inputs") else {}
    state = decode.properties(request.properties) if request.HasField("properties") else {}
    if inputs == state:
        state = {}
    if not state and not _complete(resource, inputs):
        inputs = {}
    return inputs or None, state or None


def _complete(resource: AnyResource, inputs: Mapping[str, Any]) -> bool:
    fields = resource.Inputs.model_fields.items()
    return all(alias_of(resource.Inputs, name) in inputs for name, field in fields if field.is_required())
