"""What ``pulumi.dynamic`` hands over → plain data with the markers of ``framework.values``, and what programs read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pulumi import Output
from pulumi.output import Unknown
from pulumi.runtime import rpc

from kiln.framework.schema import Schema, Type
from kiln.framework.values import UNKNOWN, Secret

INTERNAL = "__"
"""Properties that begin so are bookkeeping, of Pulumi or of this host."""


DEFAULTS = "__defaults"
"""The names of the properties of an object that a language's SDK filled in."""


def properties(props: Mapping[str, Any]) -> dict[str, Any]:
    """A property bag as plain data, without the bookkeeping."""
    return {key: _value(item) for key, item in props.items() if not key.startswith(INTERNAL)}


def _value(value: Any) -> Any:
    if isinstance(value, Unknown) or value == rpc.UNKNOWN:
        return UNKNOWN
    if rpc.is_rpc_secret(value):
        return Secret(_value(rpc.unwrap_rpc_secret(value)))
    if isinstance(value, Mapping):
        return {key: _value(item) for key, item in value.items() if key != DEFAULTS}
    if isinstance(value, list):
        return [_value(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


class Record(dict[str, Any]):
    """An object among a resource's outputs: ``console["command"]`` and ``console.command`` are the same."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


def attribute(schema: Schema, type: Type, output: Output[Any]) -> Output[Any]:
    """An output as a program sees it: integers as int, objects with the Python names of their properties."""
    return output.apply(lambda value: _python(schema, type, value))


def _python(schema: Schema, type: Type, value: Any) -> Any:
    match type.kind:
        case "integer" if isinstance(value, float):
            return int(value)
        case "list" if isinstance(value, list):
            return [_python(schema, type.items[0], item) for item in value]
        case "map" if isinstance(value, Mapping):
            return {key: _python(schema, type.items[0], item) for key, item in value.items()}
        case "object" if isinstance(value, Mapping):
            properties = schema.objects[type.model].properties
            return Record({snake(one.name): _python(schema, one.type, value.get(one.name)) for one in properties})
        case _:
            return value


def snake(name: str) -> str:
    """The Python name of a property: ``powerState`` becomes ``power_state``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
