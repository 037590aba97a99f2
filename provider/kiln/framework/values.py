"""Values that a host may hand in which are not plain data: unknown, secret, reference, asset.

A host decodes its wire into plain Python data (None, bool, int, float, str, list, dict) with these among them; nothing
above the host sees a sentinel string or a wire signature.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

Path: TypeAlias = tuple[str | int, ...]


class Unknown:
    """The type of ``UNKNOWN``. No enum: pydantic's strings take any enum's value for the text."""

    def __repr__(self) -> str:
        return "UNKNOWN"

    def __reduce__(self) -> str:
        return "UNKNOWN"  # copied and unpickled as the one there is


UNKNOWN: Final[Any] = Unknown()
"""A value that the engine will know only after other resources were made. It stands in for a value of any type."""


@dataclass(frozen=True)
class Secret:
    """A value that must never be shown or stored in plain text."""

    value: Any

    def __repr__(self) -> str:
        return "Secret(…)"


@dataclass(frozen=True)
class Reference:
    """A resource handed in as a value; ``id`` may be unknown."""

    urn: str
    id: str | Unknown | None = None


@dataclass(frozen=True)
class Asset:
    """A file handed in by the engine: exactly one of ``text``, ``path``, ``uri`` is set. ``hash`` is sha256 hex."""

    text: str | None = None
    path: str | None = None
    uri: str | None = None
    hash: str | None = None


def reveal(value: Any) -> Any:
    """The same data with every ``Secret`` unwrapped and every ``Reference`` replaced by its id."""
    match value:
        case Secret():
            return reveal(value.value)
        case Reference():
            return value.id
        case dict():
            return {key: reveal(item) for key, item in value.items()}
        case list() | tuple():
            return [reveal(item) for item in value]
        case _:
            return value


def secret_paths(value: Any, at: Path = ()) -> Iterator[Path]:
    """The paths of all ``Secret`` values, outermost only."""
    match value:
        case Secret():
            yield at
        case dict():
            for key, item in value.items():
                yield from secret_paths(item, (*at, key))
        case list() | tuple():
            for index, item in enumerate(value):
                yield from secret_paths(item, (*at, index))


def conceal(value: Any, paths: set[Path], at: Path = ()) -> Any:
    """The same data with ``Secret`` put back around the values at ``paths``; paths that are not there are ignored."""
    if at in paths:
        return value if isinstance(value, Secret) else Secret(value)
    match value:
        case dict():
            return {key: conceal(item, paths, (*at, key)) for key, item in value.items()}
        case list() | tuple():
            return [conceal(item, paths, (*at, index)) for index, item in enumerate(value)]
        case _:
            return value


def has_unknown(value: Any) -> bool:
    """Whether ``UNKNOWN`` occurs anywhere in the data."""
    match value:
        case Unknown():
            return True
        case Secret():
            return has_unknown(value.value)
        case Reference():
            return value.id is UNKNOWN
        case dict():
            return any(has_unknown(item) for item in value.values())
        case list() | tuple():
            return any(has_unknown(item) for item in value)
        case _:
            return False


def render_path(path: Path) -> str:
    """A path as Pulumi users write it: ``networks[0].mac``; keys with dots or brackets are quoted."""
    out = ""
    for part in path:
        if isinstance(part, int):
            out += f"[{part}]"
        elif part and not any(char in part for char in '.[]"'):
            out += f".{part}" if out else part
        else:
            escaped = part.replace('"', '\\"')
            out += f'["{escaped}"]'
    return out
