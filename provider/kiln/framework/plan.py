"""What a change of inputs will do, per property path. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from kiln.framework.errors import InputError
from kiln.framework.model import Impact, ImpactRule, Model, alias_of, facts_of, plain, walk_secret_fields
from kiln.framework.values import UNKNOWN, Path, render_path

Kind = Literal["add", "delete", "update"]
_MOST_SHOWN = 120
_ORDER = {Impact.LIVE: 0, Impact.DEFERRED: 1, Impact.RESTART: 2, Impact.REPLACE: 3}


@dataclass(frozen=True)
class Change:
    """One changed property: where, what kind of change, and what it does to a running object.

    ``field`` is the Python name of the top-level field it belongs to. ``reason`` says why the impact is what it is,
    when that is not evident.
    """

    path: Path
    kind: Kind
    impact: Impact
    field: str
    old: Any = None
    new: Any = None
    reason: str = ""
    secret: bool = False

    def __str__(self) -> str:
        arrow = "" if self.secret else f" {_show(self.old)} → {_show(self.new)}"
        return f"{render_path(self.path)}{arrow}, {self.impact}" + (f": {self.reason}" if self.reason else "")


@dataclass(frozen=True)
class Plan:
    """All changes between two inputs. ``delete_first``: a replacement deletes the old object before the new is made.
    ``refused`` says why an update with them is not made; a refresh, which asks for a plan too, may not fail for it."""

    changes: tuple[Change, ...] = ()
    delete_first: bool = False
    refused: tuple[InputError, ...] = ()

    def concealing(self, secrets: Collection[Path]) -> Plan:
        """The plan with every change at, above or below one of these paths marked as secret."""
        changes = [
            replace(change, secret=True) if any(_overlap(change.path, path) for path in secrets) else change
            for change in self.changes
        ]
        return replace(self, changes=tuple(changes))

    @property
    def empty(self) -> bool:
        """Whether nothing changes."""
        return not self.changes

    @property
    def impact(self) -> Impact | None:
        """The strongest impact among the changes."""
        return max((change.impact for change in self.changes), key=_ORDER.__getitem__, default=None)

    @property
    def replaces(self) -> bool:
        """Whether the object is replaced."""
        return self.impact is Impact.REPLACE

    def touches(self, *fields: str) -> bool:
        """Whether any of the named fields (Python names) changes."""
        return any(change.field in fields for change in self.changes)


def _overlap(one: Path, other: Path) -> bool:
    shared = min(len(one), len(other))
    return one[:shared] == other[:shared]


def compare(old: Model, new: Model) -> tuple[Change, ...]:
    """The changes from ``old`` to ``new`` inputs of one model, in field order."""
    found: list[Change] = []
    for name, info in type(new).model_fields.items():
        facts = facts_of(info)
        if facts.output:
            continue
        before, after = getattr(old, name, None), getattr(new, name)
        if before == after and after is not UNKNOWN:
            continue
        impact = weigh(facts.impact, before, after)
        path = (alias_of(type(new), name),)
        for at, one_old, one_new, secret in _leaves(before, after, path, facts.secret):
            found.append(Change(at, kind_of(one_old, one_new), impact, name, one_old, one_new, secret=secret))
    return tuple(found)


def may_replace(old: Model, new: Model) -> bool:
    """Whether another object may take the place of this one, as far as the inputs tell; only a plan knows it."""
    return any(change.impact is Impact.REPLACE for change in compare(old, new))


def weigh(rule: ImpactRule, old: Any, new: Any) -> Impact:
    """The impact that ``rule`` gives to this change."""
    return rule if isinstance(rule, Impact) else rule(old, new)


def _leaves(old: Any, new: Any, path: Path, secret: bool) -> Iterator[tuple[Path, Any, Any, bool]]:
    """The deepest paths at which the two values differ."""
    if isinstance(old, Model) and isinstance(new, Model):
        for name, info in type(new).model_fields.items():
            before, after = getattr(old, name), getattr(new, name)
            if before != after:
                deeper = (*path, alias_of(type(new), name))
                yield from _leaves(before, after, deeper, secret or facts_of(info).secret)
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            before = old[index] if index < len(old) else None
            after = new[index] if index < len(new) else None
            if before != after:
                yield from _leaves(before, after, (*path, index), secret)
    elif isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            if old.get(key) != new.get(key):
                yield (*path, key), old.get(key), new.get(key), secret
    else:
        yield path, plain(old), plain(new), secret or _holds_secret(old) or _holds_secret(new)


def _holds_secret(value: Any) -> bool:
    """Whether a field inside the value is declared secret."""
    if isinstance(value, Model):
        return any(True for _ in walk_secret_fields(type(value), value.wire()))
    return isinstance(value, list) and any(_holds_secret(item) for item in value)


def kind_of(old: Any, new: Any) -> Kind:
    """Whether a value is added, deleted or changed."""
    if old is None:
        return "add"
    return "delete" if new is None else "update"


def _show(value: Any) -> str:
    """A value as a program would write it, cut where it would fill the screen."""
    if value is None:
        return "none"
    if value is UNKNOWN:
        return "(not yet known)"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"
