"""Provider configuration as Pulumi hands it over, to any host.

Values from ``pulumi config`` arrive as strings, and SDKs send every value that is not a string as JSON text; the engine
adds keys of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from kiln.framework.model import Model, alias_of

RESERVED = frozenset({"version", "pluginDownloadURL"})
"""Keys that belong to the engine."""


def plain(model: type[Model], data: Mapping[str, Any]) -> dict[str, Any]:
    """What the program configured (secrets unwrapped), with the JSON text of values that are no strings read."""
    return {key: _read(model, key, value) for key, value in data.items() if key not in RESERVED}


def _read(model: type[Model], key: str, value: Any) -> Any:
    takes_text = any(
        alias_of(model, name) == key and str in (field.annotation, *getattr(field.annotation, "__args__", ()))
        for name, field in model.model_fields.items()
    )
    if not isinstance(value, str) or takes_text:
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
