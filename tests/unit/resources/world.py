"""All resources on an in-memory node, and faults at any step of what they do."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kiln.framework import operations
from kiln.framework.context import Context
from kiln.framework.errors import KilnError
from kiln.framework.operations import Outcome
from kiln.framework.resource import AnyResource
from kiln.framework.values import reveal
from kiln.resources.disk import Disk
from kiln.resources.image import Image
from kiln.resources.network import Network
from kiln.resources.node import Node
from kiln.resources.server import Server
from kiln.resources.site import Site
from kiln.resources.snapshot import Snapshot

from tests.fakes.memory import MemoryNode, MemoryNodes

URI = "memory:///node"
POOL = "kiln"
URN = "urn:pulumi:test::unit::kiln:index:Thing::"


class Injected(KilnError):
    """A fault that a test asked for."""


@dataclass
class Steps:
    """Sees every step, and fails before or after the one it is told to."""

    fail_at: tuple[str, str] | None = None
    seen: list[tuple[str, str]] = field(default_factory=list)

    def before(self, step: str) -> None:
        self._at("before", step)

    def after(self, step: str) -> None:
        self._at("after", step)

    def _at(self, when: str, step: str) -> None:
        self.seen.append((when, step))
        if self.fail_at == (when, step):
            raise Injected(f"a fault was injected {when} '{step}'")


class World:
    """One node, reached by a provider's resources. ``files`` is a directory for sources; its pools are local or not."""

    def __init__(self, files: Path, *, local: bool = True) -> None:
        self.nodes = MemoryNodes(files / "pools" if local else None)
        self.files = files
        self.restart()

    def restart(self) -> None:
        """A new run of the provider on the same node."""
        self.site = Site(self.nodes, URI, POOL)
        kinds: tuple[Callable[[Site], AnyResource], ...] = (Node, Image, Disk, Server, Network, Snapshot)
        made = [kind(self.site) for kind in kinds]
        self.resources = {resource.name: resource for resource in made}

    @property
    def node(self) -> MemoryNode:
        return self.nodes.get(self.context(), URI)

    def context(self, name: str = "", observer: Steps | None = None) -> Context:
        return Context(urn=URN + name, observer=observer)

    def check(self, kind: str, name: str, inputs: Mapping[str, Any], old: Mapping[str, Any] | None = None) -> Any:
        return operations.check(self.context(name), self.resources[kind], inputs, old, name)

    def create(self, kind: str, name: str, observer: Steps | None = None, **inputs: Any) -> Outcome:
        checked = self.check(kind, name, inputs)
        return operations.create(self.context(name, observer), self.resources[kind], checked)

    def read(self, kind: str, made: Outcome) -> Outcome | None:
        return operations.read(self.context(), self.resources[kind], made.id, self.inputs(kind, made), made.state)

    def imported(self, kind: str, id: str) -> Outcome:
        """What `pulumi import` finds."""
        found = operations.read(self.context(), self.resources[kind], id, None, None)
        assert found is not None
        return found

    def diff(self, kind: str, made: Outcome, **inputs: Any) -> Any:
        old = self.inputs(kind, made)
        new = self.check(kind, made.id, {**old, **inputs}, old)
        return operations.diff(self.context(), self.resources[kind], made.id, made.state, old, new)

    def update(self, kind: str, made: Outcome, observer: Steps | None = None, **inputs: Any) -> Outcome:
        old = self.inputs(kind, made)
        new = self.check(kind, made.id, {**old, **inputs}, old)
        name = str(old.get("name"))
        return operations.update(self.context(name, observer), self.resources[kind], made.id, made.state, old, new)

    def delete(self, kind: str, made: Outcome) -> None:
        operations.delete(self.context(), self.resources[kind], made.id, made.state)

    def inputs(self, kind: str, made: Outcome) -> dict[str, Any]:
        """The inputs of an object as the engine keeps them."""
        fields = self.resources[kind].Inputs.model_fields
        keys = [field.alias or name for name, field in fields.items()]
        return {key: made.state[key] for key in keys if key in made.state}

    def inventory(self) -> dict[str, Any]:
        """All that is on the node, as the ports tell it; snapshots, and networks that Kiln made, if there are any."""
        ctx = self.context()
        try:
            volumes = {str(volume.ref) for volume in self.node.volumes.list(ctx, POOL)}
            marks = {str(ref): mark.phase for ref, mark in self.node.volumes.marks(ctx, POOL)}
        except KilnError:
            volumes, marks = set(), {}
        guests = {domain.name: domain.uuid for domain in self.node.domains.list(ctx)}
        networks = {one.name: one.mark.phase for one in self.node.networks.list(ctx) if one.mark is not None}
        found = {"guests": guests, "volumes": volumes, "marks": marks}
        snapshots = {
            name: one.told.mark and one.told.mark.phase for (_, name), one in self.node.snapshots.known.items()
        }
        more = {"networks": networks, "snapshots": snapshots}
        return {**found, **{kind: these for kind, these in more.items() if these}}

    def raw(self, name: str = "disk.raw", size: int = 1 << 20) -> str:
        """A source: a raw disk."""
        file = self.files / name
        file.write_bytes(b"disk".ljust(size, b"\1"))
        return str(file)

    def iso(self) -> str:
        """A source: an ISO 9660 volume descriptor in the least that can be one (ECMA-119 8.4)."""
        import io

        import pycdlib

        made = pycdlib.PyCdlib()
        made.new()
        made.add_fp(io.BytesIO(b"x"), 1, "/X.;1")
        file = self.files / "cd.iso"
        made.write(str(file))
        made.close()
        return str(file)


def seen(world: World, made: Outcome) -> Outcome:
    """What a refresh finds of a server."""
    found = world.read("Server", made)
    assert found is not None
    return found


def play(world: World, made: Outcome, **changes: Any) -> None:
    """Change what the guest has while it runs, as `virsh --live` does."""
    guest = world.node.domains.guests[made.id]
    assert guest.live is not None
    guest.live = replace(guest.live, **changes)


def start_again(world: World, made: Outcome) -> None:
    """What somebody with virsh does, or the node's own start."""
    world.node.domains.destroy(world.context(), made.id)
    world.node.domains.start(world.context(), made.id)


def steady(world: World, made: Outcome) -> bool:
    """Whether three refreshes and the previews after them show nothing."""
    found = made
    for _ in range(3):
        again = seen(world, found)
        if (again.inputs, again.state) != (world.inputs("Server", made), made.state):
            return False
        if not world.diff("Server", again).empty:
            return False
        found = Outcome(again.id, again.state)
    return True


def plain(outcome: Outcome) -> dict[str, Any]:
    """The state without the wrapping around secrets."""
    revealed: dict[str, Any] = reveal(outcome.state)
    json.dumps(revealed)
    return revealed
