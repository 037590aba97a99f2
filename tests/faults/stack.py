"""A stack as Pulumi's engine keeps it: what it does with a program, with what a run left, and with errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from kiln.framework import operations
from kiln.framework.context import Context
from kiln.framework.operations import Outcome, Partial
from kiln.framework.plan import Plan
from kiln.framework.values import UNKNOWN, reveal

from tests.faults.node import OTHERS, FaultyWorld
from tests.unit.resources.world import POOL

Program = Mapping[str, tuple[str, Mapping[str, Any]]]
"""The kind and the inputs of each resource by its logical name, what is needed before what needs it."""


@dataclass(frozen=True)
class Id:
    """An input that is the id of another resource of the program."""

    of: str


@dataclass(frozen=True)
class Entry:
    """A resource in the state. ``errors`` are those of a create or update that was not finished."""

    kind: str
    inputs: Mapping[str, Any]
    made: Outcome
    errors: tuple[str, ...] = ()


class Stack:
    """The state of one stack, and the commands that change it.

    An error ends a run as it is. A resource of which an operation failed is in the state as Pulumi would have it: after
    a partial one with the new inputs and the reasons, otherwise as before; ``half_deleted`` are those whose deletion
    failed, at their end or for a replacement.
    """

    def __init__(self, world: FaultyWorld) -> None:
        self.world = world
        self.entries: dict[str, Entry] = {}
        self.half_deleted: set[str] = set()

    def up(self, program: Program) -> None:
        """``pulumi up``. Raises KilnError and Partial."""
        for name, (kind, inputs) in program.items():
            self._bring(name, kind, inputs)
        for name in [name for name in reversed(self.entries) if name not in program]:
            self._delete(name)

    def changes(self, program: Program) -> dict[str, str]:
        """``pulumi preview``: what would be done with which resource."""
        found = {name: "delete" for name in self.entries if name not in program}
        for name, (kind, inputs) in program.items():
            entry = self.entries.get(name)
            if entry is None:
                found[name] = "create"
                continue
            plan = self._plan(name, entry, self._check(name, kind, inputs, entry))
            if plan.replaces:
                found[name] = "replace"
            elif not plan.empty or entry.errors:
                found[name] = "update"
        return found

    def refresh(self) -> None:
        """``pulumi refresh``. What is read is taken for finished, as the engine does."""
        self.half_deleted.clear()
        for name, entry in list(self.entries.items()):
            resource, ctx = self.world.resources[entry.kind], self._context(name, entry.kind)
            found = operations.read(ctx, resource, entry.made.id, entry.inputs, entry.made.state)
            if found is None:
                del self.entries[name]
            else:
                assert found.inputs is not None
                self.entries[name] = Entry(entry.kind, found.inputs, replace(found, inputs=None))

    def take_over(self, name: str, kind: str, id: str) -> None:
        """``pulumi import``."""
        found = operations.read(self._context(name, kind), self.world.resources[kind], id, None, None)
        assert found is not None
        assert found.inputs is not None
        self.entries[name] = Entry(kind, found.inputs, replace(found, inputs=None))

    def held(self) -> set[str]:
        """The ids and URNs of all that this stack and that of the others hold."""
        urns = {self._context(name, entry.kind).urn for name, entry in self.entries.items()}
        return {*urns, *(entry.made.id for entry in self.entries.values()), *(f"{POOL}/{name}" for name in OTHERS)}

    def _bring(self, name: str, kind: str, inputs: Mapping[str, Any]) -> None:
        entry = self.entries.get(name)
        checked = self._check(name, kind, inputs, entry)
        resource, ctx = self.world.resources[kind], self._context(name, kind)
        if entry is not None:
            plan = self._plan(name, entry, checked)
            if plan.empty and not entry.errors:
                self.entries[name] = replace(entry, inputs=checked)
                return
            if not plan.replaces:
                state, id = entry.made.state, entry.made.id
                self._keep(
                    name, kind, checked, lambda: operations.update(ctx, resource, id, state, entry.inputs, checked)
                )
                return
            self._delete(name)
        self._keep(name, kind, checked, lambda: operations.create(ctx, resource, checked))

    def _keep(self, name: str, kind: str, inputs: Mapping[str, Any], make: Callable[[], Outcome]) -> None:
        try:
            made = make()
        except Partial as partial:
            self.entries[name] = Entry(kind, inputs, partial.outcome, partial.reasons)
            raise
        self.entries[name] = Entry(kind, inputs, made)

    def _delete(self, name: str) -> None:
        entry = self.entries[name]
        ctx = self._context(name, entry.kind)
        self.half_deleted.add(name)
        operations.delete(ctx, self.world.resources[entry.kind], entry.made.id, entry.made.state)
        self.half_deleted.discard(name)
        del self.entries[name]

    def _check(self, name: str, kind: str, inputs: Mapping[str, Any], entry: Entry | None) -> dict[str, Any]:
        old = entry.inputs if entry is not None else None
        stated = {key: self._id(value.of) if isinstance(value, Id) else value for key, value in inputs.items()}
        return operations.check(self._context(name, kind), self.world.resources[kind], stated, old, name)

    def _id(self, name: str) -> Any:
        return self.entries[name].made.id if name in self.entries else UNKNOWN

    def _plan(self, name: str, entry: Entry, checked: Mapping[str, Any]) -> Plan:
        ctx, resource = self._context(name, entry.kind), self.world.resources[entry.kind]
        return operations.diff(ctx, resource, entry.made.id, entry.made.state, entry.inputs, checked)

    def _context(self, name: str, kind: str) -> Context:
        return Context(urn=f"urn:pulumi:test::faults::kiln:index:{kind}::{name}", observer=self.world.points)


def plain(entry: Entry) -> dict[str, Any]:
    """A state without the wrapping around secrets."""
    revealed: dict[str, Any] = reveal(entry.made.state)
    return revealed
