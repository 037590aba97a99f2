"""A plan → Pulumi's DiffResponse. Pure."""

from __future__ import annotations

from kiln.framework.model import Impact, Model, alias_of, facts_of
from kiln.framework.plan import Change, Plan
from kiln.framework.values import render_path
from kiln.hosts.pulumi.proto import provider_pb2

_KINDS = {
    ("add", False): provider_pb2.PropertyDiff.ADD,
    ("add", True): provider_pb2.PropertyDiff.ADD_REPLACE,
    ("delete", False): provider_pb2.PropertyDiff.DELETE,
    ("delete", True): provider_pb2.PropertyDiff.DELETE_REPLACE,
    ("update", False): provider_pb2.PropertyDiff.UPDATE,
    ("update", True): provider_pb2.PropertyDiff.UPDATE_REPLACE,
}


def response(plan: Plan, state: type[Model] | None = None) -> provider_pb2.DiffResponse:
    """The plan in Pulumi's words. ``state`` is the model whose outputs may be stable."""
    some, none = provider_pb2.DiffResponse.DIFF_SOME, provider_pb2.DiffResponse.DIFF_NONE
    replacing = [change for change in plan.changes if change.impact is Impact.REPLACE]
    return provider_pb2.DiffResponse(
        changes=none if plan.empty else some,
        hasDetailedDiff=True,
        detailedDiff={render_path(change.path): _property(change, state) for change in plan.changes},
        diffs=_top_level(plan.changes),
        replaces=_top_level(replacing),
        deleteBeforeReplace=plan.replaces and plan.delete_first,
        stables=[] if state is None or plan.replaces else _stables(plan, state),
    )


def _property(change: Change, state: type[Model] | None) -> provider_pb2.PropertyDiff:
    kind = _KINDS[change.kind, change.impact is Impact.REPLACE]
    is_output = state is not None and facts_of(state.model_fields[change.field]).output
    return provider_pb2.PropertyDiff(kind=kind, inputDiff=not is_output)


def _top_level(changes: tuple[Change, ...] | list[Change]) -> list[str]:
    return list(dict.fromkeys(str(change.path[0]) for change in changes))


def _stables(plan: Plan, state: type[Model]) -> list[str]:
    """The outputs that none of the changes may alter."""
    return [
        alias_of(state, name)
        for name, field in state.model_fields.items()
        if facts_of(field).output and not plan.touches(*facts_of(field).changes_with)
    ]
