"""Plain Python data with the markers of ``framework.values`` → Pulumi's wire values. Pure, inverse to ``decode``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.struct_pb2 import NullValue, Struct, Value

from kiln.framework.errors import Bug
from kiln.framework.values import Asset, Reference, Secret, Unknown
from kiln.hosts.pulumi import signatures as sig

LARGEST_EXACT = 2**53
"""Numbers travel as doubles; a whole number beyond this one would arrive as another."""


def properties(data: Mapping[str, Any]) -> Struct:
    """A property bag as a Struct; entries that are None are left out.

    Raises:
        Bug: a value that has no form on the wire (the model should have refused it).
    """
    struct = Struct()
    _fill(struct, data)
    return struct


def _fill(struct: Struct, data: Mapping[str, Any]) -> None:
    struct.SetInParent()  # an empty one is there too
    for key, item in data.items():
        if item is not None:
            _put(struct.fields[key], item)


def _put(into: Value, value: Any) -> None:
    """Set the value where it belongs: messages that are made apart are copied at each level above them."""
    match value:
        case str():
            into.string_value = value
        case bool():
            into.bool_value = value
        case int() if abs(value) > LARGEST_EXACT:
            raise Bug(f"{value} cannot be sent as a number without losing digits")
        case int() | float():
            into.number_value = value
        case None:
            into.null_value = NullValue.NULL_VALUE
        case Unknown():
            into.string_value = sig.UNKNOWN
        case Secret() | Reference() | Asset():
            _sign(into.struct_value, value)
        case Mapping():
            _fill(into.struct_value, value)
        case Sequence():
            into.list_value.SetInParent()
            for item in value:
                _put(into.list_value.values.add(), item)
        case _:
            raise Bug(f"a {type(value).__name__} has no form on Pulumi's wire")


def _sign(struct: Struct, value: Secret | Reference | Asset) -> None:
    """A value that is no plain data: an object that says by its signature what it is."""
    match value:
        case Secret():
            struct.fields[sig.KEY].string_value = sig.SECRET
            _put(struct.fields["value"], value.value)
        case Reference():
            _fill(struct, {sig.KEY: sig.RESOURCE, "urn": value.urn, "id": value.id})
        case Asset():
            _fill(struct, {sig.KEY: sig.ASSET, **vars(value)})
