"""A case's resource served by a host, and what the table does with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from kiln.framework.values import reveal
from kiln.hosts.dynamic.server import UNFINISHED
from kiln.hosts.pulumi import decode
from kiln.hosts.pulumi.proto import provider_pb2

from tests.conformance.case import Case
from tests.conformance.world import Remote, World
from tests.hosts.engine import Client, FakeEngine, detail

Data = Mapping[str, Any]
NAME = "it"


@dataclass(frozen=True)
class Made:
    """An object as the engine knows it."""

    id: str
    inputs: Data
    state: Data

    def differing(self, other: Data) -> set[str]:
        """The inputs that are not those of ``other``."""
        mine, theirs = reveal(self.inputs), reveal(other)
        return {key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key)}


@dataclass
class Interrupter:
    """Sees the steps of an operation, and calls ``interrupt`` before the one named ``at``."""

    at: str = ""
    interrupt: Callable[[], object] = lambda: None
    seen: list[str] = field(default_factory=list)

    def before(self, step: str) -> None:
        self.seen.append(step)
        if step == self.at:
            self.interrupt()

    def after(self, step: str) -> None:
        """Only beginnings count."""


@dataclass
class Served:
    """A case through a host. ``program`` are the inputs that a program states."""

    case: Case
    client: Client
    world: Remote
    program: dict[str, Any]

    def check(self, program: Data, old: Data | None = None) -> dict[str, Any]:
        return self.client.checked(NAME, program, old)

    def create(self, program: Data | None = None) -> Made:
        inputs = self.check(self.program if program is None else program)
        id, state = self.client.create(NAME, inputs)
        return Made(id, inputs, state)

    def read(self, made: Made) -> Made | None:
        return _found(self.client.read(made.id, made.inputs, made.state))

    def imported(self) -> Made:
        """The object as an import finds it."""
        found = _found(self.client.read(self.case.import_id, {}))
        assert found is not None
        return found

    def diff(self, made: Made, inputs: Data) -> provider_pb2.DiffResponse:
        return self.client.diff(made.id, made.state, made.inputs, inputs)

    def update(self, made: Made, inputs: Data) -> Made:
        return replace(made, inputs=inputs, state=self.client.update(made.id, made.state, made.inputs, inputs))

    def apply(self, made: Made, program: Data) -> Made:
        """What a run does: nothing, an update, or a replacement."""
        inputs = self.check(program, made.inputs)
        difference = self.diff(made, inputs)
        if difference.changes == provider_pb2.DiffResponse.DIFF_NONE:
            return made
        if not difference.replaces:
            return self.update(made, inputs)
        self.client.delete(made.id, made.state)
        return Made(*_swapped(inputs, self.client.create(NAME, inputs)))

    def differs(self, made: Made, program: Data) -> bool:
        """Whether a preview tells a change."""
        difference = self.diff(made, self.check(program, made.inputs))
        return bool(difference.changes == provider_pb2.DiffResponse.DIFF_SOME)

    def snapshot(self) -> dict[str, Any]:
        return self.world.do(World.snapshot)


class ThroughPulumi(Served):
    """The Pulumi host also tells paths and impacts, answers previews, and can be cancelled."""

    def __init__(
        self, case: Case, client: Client, world: Remote, program: dict[str, Any], steps: Interrupter, engine: FakeEngine
    ) -> None:
        super().__init__(case, client, world, program)
        self.steps = steps
        self.engine = engine

    def start_over(self) -> None:
        """A new world, in which nothing has happened yet."""
        self.world.do(World.begin_again)
        self.program = self.world.do(self.case.prepare)

    def create_cancelled(self, step: str) -> Any:
        """The error of a create that the engine cancels before a step."""
        inputs = self.check(self.program)
        self.steps.at, self.steps.interrupt = step, lambda: self.client.stub.Cancel(Empty())
        with pytest.raises(grpc.RpcError) as caught:
            self.client.create(NAME, inputs)
        self.steps.at = ""
        return caught.value


def partly_made(served: Served) -> tuple[Made, str]:
    """An object whose create was partial, and the reasons, as each host tells them."""
    inputs = served.check(served.program)
    request = served.client.create_request(NAME, inputs)
    if not isinstance(served, ThroughPulumi):
        response = served.client.stub.Create(request)
        reasons = response.properties.fields[UNFINISHED].string_value
        return Made(response.id, inputs, {**decode.properties(response.properties), UNFINISHED: reasons}), reasons
    with pytest.raises(grpc.RpcError) as caught:
        served.client.stub.Create(request)
    return kept(caught.value)


def kept(error: Any) -> tuple[Made, str]:
    """What the engine keeps of a partial create, and the reasons."""
    told = detail(error, provider_pb2.ErrorResourceInitFailed)
    made = Made(told.id, decode.properties(told.inputs), decode.properties(told.properties))
    return made, "; ".join(told.reasons)


def _found(response: provider_pb2.ReadResponse) -> Made | None:
    if not response.id:
        return None
    return Made(response.id, decode.properties(response.inputs), decode.properties(response.properties))


def _swapped(inputs: Data, created: tuple[str, Data]) -> tuple[str, Data, Data]:
    return created[0], inputs, created[1]
