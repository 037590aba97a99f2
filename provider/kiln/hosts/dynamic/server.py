"""The provider half: what Pulumi's dynamic plugin calls. One short method per verb."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    ConfigureRequest,
    CreateResult,
    DiffResult,
    ReadResult,
    ResourceProvider,
    UpdateResult,
)

from kiln.framework import operations
from kiln.framework.context import Context
from kiln.framework.errors import InputErrors, KilnError
from kiln.framework.model import alias_of, facts_of, parse
from kiln.framework.operations import Outcome, Partial
from kiln.framework.plan import Plan
from kiln.framework.provider import Provider
from kiln.framework.resource import AnyResource
from kiln.hosts import configuration
from kiln.hosts.dynamic import decode, encode

LOGICAL_NAME = "__logicalName"
"""The input in which a resource tells its logical name, which Pulumi does not hand to dynamic providers."""

UNFINISHED = "__unfinished"
"""The output that marks a partial create or update, so that the next run finishes it."""


T = TypeVar("T")


class Failure(Exception):
    """An error for the user; the message says all there is to say."""


class Instance:
    """One provider in one process of the dynamic plugin, configured once whatever the number of kinds."""

    def __init__(self, load: Callable[[], Provider]) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._provider: Provider | None = None

    def configure(self, get: Callable[[str], Any]) -> None:
        """Make the provider and configure it; ``get`` looks up a stack's configuration by its full key."""
        with self._lock:
            if self._provider is not None:
                return
            provider = self._load()
            keys = [alias_of(provider.Config, name) for name in provider.Config.model_fields]
            stated = {key: get(f"{provider.name}:{key}") for key in keys}
            data = {key: value for key, value in stated.items() if value is not None}
            config = parse(provider.Config, configuration.plain(provider.Config, data))
            provider.configure(provider.check_config(Context(), config, None))
            self._provider = provider

    def resource(self, kind: str) -> AnyResource:
        """The resource of a kind."""
        assert self._provider is not None, "Pulumi configures a dynamic provider before it uses it"
        return self._provider.resources[kind]


class Stub(ResourceProvider):
    """What is pickled into the state: where to find the rest. ``module`` has a ``provider_instance()`` function."""

    serialize_as_secret_always = False

    def __init__(self, module: str, kind: str) -> None:
        super().__init__()
        self.module = module
        self.kind = kind

    def __reduce__(self) -> tuple[type[Stub], tuple[str, str]]:
        return Stub, (self.module, self.kind)

    def configure(self, req: ConfigureRequest) -> None:
        """Configure the provider, unless another kind's stub already did."""
        _told(lambda: self._instance().configure(req.config.get))

    def check(self, olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        """All inputs with their defaults, or what is wrong with them."""
        resource, old = self._resource(), decode.properties(olds)
        name = str(news.get(LOGICAL_NAME, ""))

        def verb() -> CheckResult:
            try:
                checked = operations.check(_context(resource), resource, decode.properties(news), old or None, name)
            except InputErrors as error:
                return CheckResult(news, [CheckFailure(one.path, str(one)) for one in error.errors])
            return CheckResult(encode.properties(checked), [])

        return _told(verb)

    def diff(self, id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """What going from the old state to the new inputs does; an unfinished object always changes."""
        resource, state = self._resource(), decode.properties(olds)

        def verb() -> DiffResult:
            old = _inputs_of(resource, state)
            plan = operations.diff(_context(resource), resource, id, state, old, decode.properties(news))
            return _difference(resource, plan, unfinished=UNFINISHED in olds)

        return _told(verb)

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Make the object."""
        resource = self._resource()
        outcome, extra = _finished(lambda: operations.create(_context(resource), resource, decode.properties(props)))
        return CreateResult(outcome.id, encode.properties(outcome.state) | extra)

    def read(self, id: str, props: dict[str, Any]) -> ReadResult:
        """The object as it is; one without an id is definitely gone."""
        resource, state = self._resource(), decode.properties(props)
        inputs = _inputs_of(resource, state)
        found = _told(lambda: operations.read(_context(resource), resource, id, inputs or None, state or None))
        if found is None:
            return ReadResult("", {})
        kept = {UNFINISHED: props[UNFINISHED]} if UNFINISHED in props else {}
        return ReadResult(found.id, encode.properties(found.state) | kept, encode.properties(found.inputs or {}))

    def update(self, id: str, olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Change the object in place, or finish it."""
        resource, state = self._resource(), decode.properties(olds)
        old, new = _inputs_of(resource, state), decode.properties(news)
        outcome, extra = _finished(lambda: operations.update(_context(resource), resource, id, state, old, new))
        return UpdateResult(encode.properties(outcome.state) | extra)

    def delete(self, id: str, props: dict[str, Any]) -> None:
        """Remove the object; one that is gone is a success."""
        resource = self._resource()
        _told(lambda: operations.delete(_context(resource), resource, id, decode.properties(props)))

    def _instance(self) -> Instance:
        instance: Instance = importlib.import_module(self.module).provider_instance()
        return instance

    def _resource(self) -> AnyResource:
        return self._instance().resource(self.kind)


class StandardErrorLog:
    """``framework.context.Log`` on standard error, which Pulumi shows for dynamic providers."""

    def info(self, message: str) -> None:
        """Tell the user something worth keeping."""
        sys.stderr.write(f"{message}\n")

    def warning(self, message: str) -> None:
        """Tell the user something they should act on."""
        sys.stderr.write(f"warning: {message}\n")

    def status(self, message: str) -> None:
        """Drop progress: there is nowhere to show it."""

    def debug(self, message: str) -> None:
        """Drop what only developers want."""


def _context(resource: AnyResource) -> Context:
    return Context(log=StandardErrorLog()).limited(resource.timeout)


def _told(verb: Callable[[], T]) -> T:
    """The verb's result, or its error without the frames that led to it."""
    try:
        return verb()
    except KilnError as error:
        told = Failure(error.located())
    raise told


def _finished(verb: Callable[[], Outcome]) -> tuple[Outcome, dict[str, Any]]:
    """The outcome, and what marks it when it is a partial one."""
    try:
        return _told(verb), {}
    except Partial as partial:
        reasons = "; ".join(partial.reasons)
        StandardErrorLog().warning(f"{partial.outcome.id} exists but is not finished: {reasons}; run `pulumi up` again")
        return partial.outcome, {UNFINISHED: reasons}


def _inputs_of(resource: AnyResource, state: dict[str, Any]) -> dict[str, Any]:
    """The inputs that a state was made from; Pulumi hands a dynamic provider only the state."""
    keys = [alias_of(resource.Inputs, name) for name in resource.Inputs.model_fields]
    return {key: state[key] for key in keys if key in state}


def _difference(resource: AnyResource, plan: Plan, *, unfinished: bool) -> DiffResult:
    replaces = list(dict.fromkeys(str(change.path[0]) for change in plan.changes if change.impact == "replace"))
    stables = [
        alias_of(resource.State, name)
        for name, field in resource.State.model_fields.items()
        if facts_of(field).output and not plan.touches(*facts_of(field).changes_with)
    ]
    return DiffResult(
        changes=unfinished or not plan.empty,
        replaces=replaces,
        stables=[] if plan.replaces else stables,
        delete_before_replace=plan.replaces and plan.delete_first,
    )
