"""The verbs of a resource on decoded wire data: what every host calls, and the same for all of them.

Data in and out is plain Python with the marker values of ``values``. Here secrecy is carried through, names and sticky
defaults are resolved, models are parsed, and previews are answered without touching a resource.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from kiln.framework.context import Context
from kiln.framework.errors import InputError, InputErrors, KilnError, NotFound, PartialCreate
from kiln.framework.model import Impact, Model, parse, places, unfinished, walk_secret_fields
from kiln.framework.plan import Change, Plan
from kiln.framework.resource import AnyResource
from kiln.framework.values import UNKNOWN, Path, Secret, conceal, has_unknown, reveal, secret_paths

Data = Mapping[str, Any]


@dataclass(frozen=True)
class Autoname:
    """How the engine wants an object without a stated name to be called."""

    mode: Literal["propose", "enforce", "disable"]
    proposed: str = ""


@dataclass(frozen=True)
class Outcome:
    """An object as a host reports it: ``inputs`` are only set by ``read``, ``id`` may be empty in a preview.

    ``same``: all is as it was recorded, so that a host can answer with what it was sent.
    """

    id: str
    state: dict[str, Any]
    inputs: dict[str, Any] | None = None
    same: bool = field(default=False, compare=False)


class Partial(Exception):
    """A create or update left an object that exists but is not finished."""

    def __init__(self, outcome: Outcome, reasons: tuple[str, ...]) -> None:
        super().__init__("; ".join(reasons))
        self.outcome = outcome
        self.reasons = reasons


def check(
    ctx: Context,
    resource: AnyResource,
    news: Data,
    olds: Data | None,
    logical_name: str,
    autoname: Autoname | None = None,
) -> dict[str, Any]:
    """All inputs with their defaults, secrets marked. Raises InputErrors."""
    data = dict(reveal(news))
    old_data = dict(reveal(olds)) if olds else {}
    for place in places(resource.Inputs).values():
        if data.get(place.key) is None and place.facts.sticky and place.key in old_data:
            data[place.key] = old_data[place.key]
    if "name" in resource.Inputs.model_fields and data.get("name") is None:
        data["name"] = _automatic_name(logical_name, autoname)
    try:
        new = parse(resource.Inputs, data)
        checked = resource.check(ctx, new, parse_old(resource.Inputs, old_data) if old_data else None)
    except InputError as error:
        raise InputErrors([error]) from error
    return mark_secrets(type(checked), checked.wire(), set(secret_paths(news)))


def _automatic_name(logical_name: str, autoname: Autoname | None) -> str:
    if autoname is not None and autoname.mode == "disable":
        raise InputErrors([InputError("name", "'name' is required: automatic naming is disabled", action="set it")])
    return autoname.proposed if autoname is not None and autoname.proposed else logical_name


def diff(ctx: Context, resource: AnyResource, id: str, state: Data, olds: Data, news: Data) -> Plan:
    """The plan from the old inputs to the new ones; the impact of every change is told to the user."""
    before, old = parse_old(resource.State, reveal(state)), parse_old(resource.Inputs, reveal(olds))
    plan = _with_unfinished(resource.diff(ctx, id, before, old, parse(resource.Inputs, reveal(news))), resource, state)
    plan = plan.concealing({path for data in (state, olds, news) for path in secret_paths(data)})
    name = news.get("name") or id
    for change in plan.changes:
        ctx.log.info(f"{reveal(name)}: {change}")
    return plan


def _with_unfinished(plan: Plan, resource: AnyResource, state: Data) -> Plan:
    """The plan with what a state says is to be done though no input changed."""
    changes = [
        Change((key,), "delete", Impact.LIVE, place.name, reveal(state[key]), None, reason=place.facts.unfinished)
        for key, place in unfinished(resource.State).items()
        if state.get(key) is not None and not plan.touches(place.name)
    ]
    return replace(plan, changes=(*plan.changes, *changes))


def create(ctx: Context, resource: AnyResource, inputs: Data, *, preview: bool = False) -> Outcome:
    """Make the object. In a preview nothing is done, every output is unknown, and an id that is not either is empty."""
    secrets = set(secret_paths(inputs))
    model = parse(resource.Inputs, reveal(inputs))
    if preview:
        state = model.wire() | {key: UNKNOWN for key, _ in _outputs(resource.State)}
        return Outcome(resource.planned_id(model) or "", mark_secrets(resource.State, state, secrets))
    try:
        made = resource.create(ctx, model)
    except PartialCreate as partial:
        raise _partial(resource, partial, secrets) from partial
    return Outcome(made.id, mark_secrets(resource.State, made.state.wire(), secrets))


def read(ctx: Context, resource: AnyResource, id: str, inputs: Data | None, state: Data | None) -> Outcome | None:
    """The object as it is now with inputs in desired shape, None when it is gone."""
    old = parse_old(resource.Inputs, reveal(inputs)) if inputs else None
    before = parse_old(resource.State, reveal(state)) if state else None
    found = resource.read(ctx, id, old, before)
    if found is None:
        return None
    if inputs and state and (found.id, found.inputs, found.state) == (id, old, before) and _is_marked(resource, state):
        return Outcome(id, dict(state), dict(inputs), same=True)
    secrets = set(secret_paths(inputs or {})) | set(secret_paths(state or {}))
    return Outcome(
        found.id,
        mark_secrets(resource.State, found.state.wire(), secrets),
        mark_secrets(resource.Inputs, found.inputs.wire(), secrets),
    )


def update(
    ctx: Context, resource: AnyResource, id: str, state: Data, olds: Data, news: Data, *, preview: bool = False
) -> Outcome:
    """Change the object. In a preview, outputs that a changed input may alter are unknown and the others stay.

    Raises:
        InputErrors: what the plan refuses; an update itself refuses it too, before it does anything.
    """
    secrets = set(secret_paths(news))
    new = parse(resource.Inputs, reveal(news))
    old = parse_old(resource.Inputs, reveal(olds))
    before = parse_old(resource.State, reveal(state))
    if preview:
        plan = _with_unfinished(resource.diff(ctx, id, before, old, new), resource, state)
        if plan.refused:
            raise InputErrors(plan.refused)
        after = new.wire()
        known = before.wire()
        for key, depends in _outputs(resource.State):
            if key not in unfinished(resource.State):
                after[key] = UNKNOWN if plan.touches(*depends) else known.get(key)
        return Outcome(id, mark_secrets(resource.State, {k: v for k, v in after.items() if v is not None}, secrets))
    try:
        changed = resource.update(ctx, id, before, old, new)
    except PartialCreate as partial:
        raise _partial(resource, partial, secrets) from partial
    except NotFound as error:
        if _is_gone(ctx, resource, id, old, before):
            error.action = "it is gone: run `pulumi refresh`, and `pulumi up` makes it again"
        raise
    return Outcome(id, mark_secrets(resource.State, changed.wire(), secrets))


def _is_gone(ctx: Context, resource: AnyResource, id: str, inputs: Any, state: Any) -> bool:
    """Whether an object is known to be gone; not where it cannot be looked at."""
    try:
        return resource.read(ctx, id, inputs, state) is None
    except KilnError:
        return False


def delete(ctx: Context, resource: AnyResource, id: str, state: Data) -> None:
    """Remove the object; one that is gone is a success."""
    resource.delete(ctx, id, parse_old(resource.State, reveal(state)))


def _partial(resource: AnyResource, partial: PartialCreate, secrets: set[Path]) -> Partial:
    state = mark_secrets(resource.State, partial.state.wire(), secrets)
    return Partial(Outcome(partial.id, state), partial.reasons)


def mark_secrets(model: type[Model], data: dict[str, Any], paths: set[Path]) -> dict[str, Any]:
    """``data`` with ``Secret`` around what was secret on the way in and what the model declares secret."""
    marked = conceal(data, paths | set(walk_secret_fields(model, data)))
    assert isinstance(marked, dict)
    return {key: value for key, value in marked.items() if value is not None}


def _is_marked(resource: AnyResource, state: Data) -> bool:
    """Whether all is secret in a recorded state that is to be; it may have been written when less was."""
    return set(walk_secret_fields(resource.State, state)) <= set(secret_paths(state))


def parse_old(model: type[Model], data: Data) -> Any:
    """Data written by an earlier run, maybe of another version: properties that are no more are dropped.

    Raises:
        KilnError: the rest cannot be understood; the message says which property.
    """
    try:
        return parse(model, _known(model, data))
    except InputErrors as error:
        raise KilnError(
            "the recorded state cannot be understood",
            cause=str(error),
            action="run `pulumi refresh`, or import the object again",
        ) from error


def _known(model: type[Model], data: Data) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for place in places(model).values():
        if place.key not in data:
            continue
        value = data[place.key]
        if place.nested is not None and isinstance(value, Mapping):
            value = _known(place.nested, value)
        elif place.nested is not None and isinstance(value, list):
            value = [_known(place.nested, item) if isinstance(item, Mapping) else item for item in value]
        kept[place.key] = value
    return kept


def _outputs(model: type[Model]) -> list[tuple[str, tuple[str, ...]]]:
    return [(place.key, place.facts.changes_with) for place in places(model).values() if place.facts.output]


__all__ = [
    "Autoname",
    "Outcome",
    "Partial",
    "Secret",
    "check",
    "create",
    "delete",
    "diff",
    "has_unknown",
    "read",
    "update",
]
