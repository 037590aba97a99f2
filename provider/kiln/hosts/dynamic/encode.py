"""What a program says → what ``pulumi.dynamic`` sends, and results of the framework → what it takes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pulumi
from pulumi import Output
from pulumi.runtime import rpc

from kiln.framework.errors import Bug
from kiln.framework.schema import Property, Schema, Type
from kiln.framework.values import UNKNOWN, Secret
from kiln.hosts.dynamic.decode import snake


def properties(data: Mapping[str, Any]) -> dict[str, Any]:
    """A result as a property bag; secrets stay secret, entries that are None are left out."""
    return {key: _value(item) for key, item in data.items() if item is not None}


def _value(value: Any) -> Any:
    if value is UNKNOWN:
        return rpc.UNKNOWN
    match value:
        case Secret():
            return rpc.wrap_rpc_secret(_value(value.value))
        case dict():
            return properties(value)
        case list() | tuple():
            return [_value(item) for item in value]
        case None | bool() | int() | float() | str():
            return value
        case _:
            raise Bug(f"a {type(value).__name__} cannot be handed to pulumi.dynamic")


def inputs(schema: Schema, properties: Sequence[Property], given: Mapping[str, Any]) -> dict[str, Any]:
    """What a program gave, under Pulumi's names.

    Raises:
        TypeError: a name that is not an input; the message lists those that are.
    """
    return _object(schema, properties, given, snake_only=True)


def _object(
    schema: Schema, properties: Sequence[Property], given: Mapping[str, Any], *, snake_only: bool = False
) -> dict[str, Any]:
    known = {snake(one.name): one for one in properties}
    if not snake_only:
        known |= {one.name: one for one in properties}
    for name in given:
        if name not in known:
            raise TypeError(f"{name!r} is not an input; use one of: {', '.join(sorted(map(snake, known)))}")
    return {known[name].name: _input(schema, known[name].type, value) for name, value in given.items()}


def _input(schema: Schema, type: Type, value: Any) -> Any:
    """One input; what is not yet known is translated when it is."""
    if isinstance(value, Output):
        translate: Callable[[Any], Any] = lambda known: _input(schema, type, known)  # noqa: E731
        return value.apply(translate)
    if isinstance(value, pulumi.Resource):
        return getattr(value, "id", value.urn)
    if isinstance(value, pulumi.Asset | pulumi.Archive):
        return _asset(value)
    match type.kind:
        case "union":
            return _input(schema, _member(type, value), value)
        case "list" if isinstance(value, Sequence) and not isinstance(value, str):
            return [_input(schema, type.items[0], item) for item in value]
        case "map" if isinstance(value, Mapping):
            return {key: _input(schema, type.items[0], item) for key, item in value.items()}
        case "object" if isinstance(value, Mapping):
            return _object(schema, schema.objects[type.model].properties, value)
        case _:
            return value


def _member(union: Type, value: Any) -> Type:
    """The member of a union that a value is meant for; only objects, lists and maps need translation."""
    wanted = {"object", "map"} if isinstance(value, Mapping) else {"list"} if isinstance(value, Sequence) else set()
    return next((item for item in union.items if item.kind in wanted), Type("string"))


def _asset(value: pulumi.Asset | pulumi.Archive) -> str:
    if isinstance(value, pulumi.FileAsset):
        return str(value.path)
    if isinstance(value, pulumi.RemoteAsset):
        return str(value.uri)
    raise TypeError(f"a {type(value).__name__} cannot be used with dynamic resources; use a FileAsset or a RemoteAsset")
