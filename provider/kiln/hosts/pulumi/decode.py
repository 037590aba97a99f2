"""Pulumi's wire values → plain Python data with the markers of ``framework.values``. Pure.

What the engine sends, and what it becomes::

    a number without a fraction          int          {secret, value}              Secret(value)
    the string that means unknown        UNKNOWN      {output}                     UNKNOWN
    {asset, hash, text | path | uri}     Asset        {output, value, secret}      the value, Secret when secret
    {resource, urn, id}                  Reference    {archive}                    refused
    a property that begins with __       dropped, the engine's own bookkeeping

In Diff and Read the engine leaves out the contents of assets and sends their hash alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.struct_pb2 import Struct, Value

from kiln.framework.errors import Bug, InputError
from kiln.framework.values import UNKNOWN, Asset, Path, Reference, Secret, render_path
from kiln.hosts.pulumi import signatures as sig

DEFAULTS = "__defaults"
"""The names of the properties that a language's SDK filled in."""


def properties(struct: Struct) -> dict[str, Any]:
    """A property bag as plain data.

    Raises:
        InputError: an archive, with its property path.
        Bug: a value that no version of the protocol known here sends.
    """
    return {key: _value(item, (key,)) for key, item in struct.fields.items() if not key.startswith("__")}


def _fields(fields: Mapping[str, Value], at: Path) -> dict[str, Any]:
    """An object or a map. Its keys are the user's, but for the one that engines put into objects."""
    return {key: _value(item, (*at, key)) for key, item in fields.items() if key != DEFAULTS}


def _value(value: Value, at: Path) -> Any:
    match value.WhichOneof("kind"):
        case "string_value":
            return UNKNOWN if value.string_value in sig.UNKNOWNS else value.string_value
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() else number
        case "bool_value":
            return value.bool_value
        case "list_value":
            return [_value(item, (*at, index)) for index, item in enumerate(value.list_value.values)]
        case "struct_value":
            return _struct(value.struct_value.fields, at)
        case _:
            return None


def _struct(fields: Mapping[str, Value], at: Path) -> Any:
    if sig.KEY not in fields:
        return _fields(fields, at)
    match fields[sig.KEY].string_value:
        case sig.SECRET:
            return _secret(_value(fields["value"], at))
        case sig.OUTPUT:
            value = _value(fields["value"], at) if "value" in fields else UNKNOWN
            return _secret(value) if "secret" in fields and fields["secret"].bool_value else value
        case sig.RESOURCE:
            return Reference(fields["urn"].string_value, _id(fields))
        case sig.ASSET:
            parts = {key: fields[key].string_value for key in ("text", "path", "uri", "hash") if key in fields}
            return Asset(**parts)
        case sig.ARCHIVE:
            path = render_path(at)
            raise InputError(
                path,
                f"'{path}' is an archive, which is not accepted",
                action="give a single file: a FileAsset, a RemoteAsset or a StringAsset",
            )
        case other:
            raise Bug(f"the engine sent a value of unknown signature {other!r} at {render_path(at)}")


def _secret(value: Any) -> Secret:
    return value if isinstance(value, Secret) else Secret(value)


def _id(fields: Mapping[str, Value]) -> Any:
    """The id of a referenced resource: None when the reference has none, UNKNOWN when it is empty or unknown."""
    if "id" not in fields:
        return None
    found = _value(fields["id"], ())
    return found.value if isinstance(found, Secret) else (found or UNKNOWN)
