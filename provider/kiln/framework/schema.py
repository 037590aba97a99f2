"""The neutral schema: what a provider offers, derived from its models. Hosts turn it into their protocol's form."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

from kiln.framework.model import Model, alias_of, facts_of, plain
from kiln.framework.provider import Provider
from kiln.framework.units import Size
from kiln.framework.values import Asset


@dataclass(frozen=True)
class Type:
    """A property's type. ``kind`` is string, integer, number, boolean, asset, list, map, object or union.

    ``items`` are the element type of a list or map or the members of a union, ``model`` is the object's name and
    ``enum`` the allowed strings.
    """

    kind: Literal["string", "integer", "number", "boolean", "asset", "list", "map", "object", "union"]
    items: tuple[Type, ...] = ()
    model: str = ""
    enum: tuple[str, ...] = ()


@dataclass(frozen=True)
class Property:
    """One property of a resource, function or nested object. ``always``: its type leaves no room for its absence."""

    name: str
    type: Type
    doc: str
    required: bool
    secret: bool = False
    output: bool = False
    replaces: bool = False
    default: Any = None
    always: bool = False


@dataclass(frozen=True)
class ObjectType:
    """A nested object."""

    name: str
    doc: str
    properties: Sequence[Property]


@dataclass(frozen=True)
class ResourceType:
    """A resource: all its properties, inputs first."""

    name: str
    doc: str
    properties: Sequence[Property]


@dataclass(frozen=True)
class FunctionType:
    """A function: its arguments and its result."""

    name: str
    doc: str
    arguments: Sequence[Property]
    result: Sequence[Property]


@dataclass
class Schema:
    """Everything a provider offers."""

    name: str
    version: str
    display_name: str
    description: str
    homepage: str
    config: Sequence[Property]
    resources: list[ResourceType] = field(default_factory=list)
    functions: list[FunctionType] = field(default_factory=list)
    objects: dict[str, ObjectType] = field(default_factory=dict)


def of(provider: Provider) -> Schema:
    """The schema of a provider, which need not be configured."""
    objects: dict[str, ObjectType] = {}
    schema = Schema(
        provider.name,
        provider.version,
        provider.display_name,
        provider.description,
        provider.homepage,
        _properties(provider.Config, objects),
    )
    for kind in provider.kinds:
        schema.resources.append(ResourceType(kind.name, _doc(kind), _properties(kind.State, objects)))
    for function in provider.functions.values():
        arguments, result = _properties(function.Inputs, objects), _properties(function.Result, objects)
        schema.functions.append(FunctionType(function.name, function.doc, arguments, result))
    schema.objects = dict(sorted(objects.items()))
    return schema


def _doc(owner: type) -> str:
    return inspect.cleandoc(owner.__doc__ or "")


def _properties(model: type[Model], objects: dict[str, ObjectType]) -> list[Property]:
    hints = typing.get_type_hints(model)
    found = []
    for name, info in model.model_fields.items():
        facts = facts_of(info)
        default = None if info.is_required() else plain(info.default)
        found.append(
            Property(
                name=alias_of(model, name),
                type=_type(hints[name], objects),
                doc=_with_default(info.description or "", facts.default_doc),
                required=info.is_required(),
                secret=facts.secret,
                output=facts.output,
                replaces=str(facts.impact) == "replace",
                default=default if isinstance(default, str | int | float | bool) else None,
                always=type(None) not in typing.get_args(hints[name]),
            )
        )
    return found


def _with_default(doc: str, default: str | None) -> str:
    return f"{doc} Default: {default}." if default else doc


def _type(annotation: Any, objects: dict[str, ObjectType]) -> Type:
    origin = typing.get_origin(annotation)
    arguments = [a for a in typing.get_args(annotation) if a is not type(None)]
    if origin is typing.Annotated:
        return _type(arguments[0], objects)
    if origin in (typing.Union, types.UnionType):
        members = tuple(_type(argument, objects) for argument in arguments)
        return members[0] if len(members) == 1 else Type("union", members)
    if origin is list:
        return Type("list", (_type(arguments[0], objects),))
    if origin is dict:
        return Type("map", (_type(arguments[1], objects),))
    if origin is Literal:
        return Type("string", enum=tuple(str(a) for a in arguments))
    simple: dict[Any, Type] = {
        str: Type("string"), Size: Type("string"), bool: Type("boolean"), int: Type("integer"), float: Type("number"),
        Asset: Type("asset"),
    }  # fmt: skip
    if annotation in simple:
        return simple[annotation]
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return Type("string", enum=tuple(str(member.value) for member in annotation))
    if isinstance(annotation, type) and issubclass(annotation, Model):
        if annotation.__name__ not in objects:
            objects[annotation.__name__] = ObjectType(annotation.__name__, "", ())  # ends recursion
            properties = _properties(annotation, objects)
            objects[annotation.__name__] = ObjectType(annotation.__name__, _doc(annotation), properties)
        return Type("object", model=annotation.__name__)
    raise TypeError(f"{annotation!r} has no place in a schema")
