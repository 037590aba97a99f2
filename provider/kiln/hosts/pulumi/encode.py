"""Plain Python data with the markers of ``framework.values`` → Pulumi's wire values. Pure, inverse to ``decode``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.struct_pb2 import ListValue, NullValue, Struct, Value

from kiln.framework.errors import Bug
from kiln.framework.values import UNKNOWN, Asset, Reference, Secret
from kiln.hosts.pulumi import signatures as sig

LARGEST_EXACT = 2**53
"""Numbers travel as doubles; a whole number beyond this one would arrive as another."""


def properties(data: Mapping[str, Any]) -> Struct:
    """A property bag as a Struct; entries that are None are left out.

    Raises:
        Bug: a value that has no form on the wire (the model should have refused it).
    """
    return Struct(fields={key: _value(item) for key, item in data.items() if item is not None})


def _value(value: Any) -> Value:  # noqa: PLR0911 - one line per kind of value
    if value is UNKNOWN:
        return Value(string_value=sig.UNKNOWN)
    match value:
        case None:
            return Value(null_value=NullValue.NULL_VALUE)
        case bool():
            return Value(bool_value=value)
        case int() if abs(value) > LARGEST_EXACT:
            raise Bug(f"{value} cannot be sent as a number without losing digits")
        case int() | float():
            return Value(number_value=value)
        case str():
            return Value(string_value=value)
        case Secret():
            return _signed(sig.SECRET, {"value": value.value})
        case Reference():
            return _signed(sig.RESOURCE, {"urn": value.urn, "id": value.id})
        case Asset():
            parts = {"text": value.text, "path": value.path, "uri": value.uri, "hash": value.hash}
            return _signed(sig.ASSET, parts)
        case Mapping():
            return Value(struct_value=properties(value))
        case Sequence():
            return Value(list_value=ListValue(values=[_value(item) for item in value]))
        case _:
            raise Bug(f"a {type(value).__name__} has no form on Pulumi's wire")


def _signed(signature: str, parts: Mapping[str, Any]) -> Value:
    fields = {key: _value(item) for key, item in parts.items() if item is not None or key == "value"}
    fields[sig.KEY] = Value(string_value=signature)
    return Value(struct_value=Struct(fields=fields))
