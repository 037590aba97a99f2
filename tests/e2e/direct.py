"""Kiln's resources on the real node without an engine between: what the plugin does with a call, far faster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kiln.app import KilnProvider
from kiln.framework import operations
from kiln.framework.context import Context, SilentLog
from kiln.framework.operations import Outcome
from kiln.framework.values import reveal

LIMIT = 120.0


class _Warnings(SilentLog):
    """Keeps what the user would be warned of."""

    def __init__(self, warnings: list[str]) -> None:
        self._warnings = warnings

    def warning(self, message: str) -> None:
        self._warnings.append(message)


class Direct:
    """A configured provider in this process. ``warnings`` are all that it gave."""

    def __init__(self, uri: str, pool: str, *, insecure: bool = False) -> None:
        self.provider = KilnProvider()
        self.warnings: list[str] = []
        config = KilnProvider.Config(uri=uri, storage_pool=pool, allow_insecure_transport=insecure)
        self.provider.configure(config)

    def close(self) -> None:
        """Let go of the node."""
        self.provider.close()

    def check(self, kind: str, name: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The inputs as the engine would keep them. Raises InputErrors."""
        return operations.check(self.context(), self.provider.resources[kind], inputs, None, name)

    def make(self, kind: str, name: str, **inputs: Any) -> Outcome:
        """Check and create, as ``pulumi up`` does."""
        checked = self.check(kind, name, inputs)
        return operations.create(self.context(), self.provider.resources[kind], checked)

    def read(self, kind: str, made: Outcome) -> Outcome | None:
        """The object as it is now."""
        return operations.read(
            self.context(), self.provider.resources[kind], made.id, self._inputs(kind, made), made.state
        )

    def change(self, kind: str, made: Outcome, *, check: bool = True, **inputs: Any) -> Outcome:
        """Check and update in place with ``inputs`` over the present ones; without ``check`` as if state had lied."""
        resource = self.provider.resources[kind]
        old = self._inputs(kind, made)
        new: Mapping[str, Any] = {**old, **inputs}
        if check:
            new = operations.check(self.context(), resource, new, old, made.id)
        return operations.update(self.context(), resource, made.id, made.state, old, new)

    def remove(self, kind: str, made: Outcome) -> None:
        """Delete, as ``pulumi destroy`` does."""
        operations.delete(self.context(), self.provider.resources[kind], made.id, made.state)

    def _inputs(self, kind: str, made: Outcome) -> dict[str, Any]:
        fields = self.provider.resources[kind].Inputs.model_fields
        keys = [field.alias or name for name, field in fields.items()]
        return {key: made.state[key] for key in keys if key in made.state}

    def context(self) -> Context:
        """The surroundings of one operation."""
        return Context(log=_Warnings(self.warnings), urn="urn:pulumi:test::e2e::kiln::test").limited(LIMIT)


def plain(outcome: Outcome) -> dict[str, Any]:
    """The state without the wrapping around secrets."""
    revealed: dict[str, Any] = reveal(outcome.state)
    return revealed
