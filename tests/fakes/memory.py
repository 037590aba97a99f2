"""The ports of a node kept in memory, for tests of what is above them. The contract suite holds it to the real one.

One ``MemoryNodes`` is one world: every URI leads to a node of its own, which stays as long as the world does.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from kiln.framework.context import Context
from kiln.framework.errors import InputError, Refused, Unreachable
from kiln.ports.nodes import Accelerator, NodeFacts, Prerequisite
from kiln.ports.overlays import OverlaySpec

from tests.fakes.memory_domains import MemoryDomains
from tests.fakes.memory_moves import MemoryMoves
from tests.fakes.memory_networks import MemoryNetworks
from tests.fakes.memory_snapshots import MemorySnapshots
from tests.fakes.memory_volumes import MemoryVolumes

SETTINGS = frozenset({"machine"})
MACHINES = {"q35": 255, "pc": 255}


@dataclass
class MemoryNode:
    """A node. ``directory`` is where local pools lie, None for a node whose files cannot be reached."""

    uri: str
    directory: Path | None = None
    session: bool = False
    machine: str = "11111111-1111-4111-8111-111111111111"
    daemon: str = ""
    proven: Accelerator = field(default_factory=lambda: Accelerator("tcg", "there is no KVM in memory"))
    missing: list[Prerequisite] = field(default_factory=list)
    absent_files: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.networks = MemoryNetworks()
        self.volumes = MemoryVolumes(self.directory)
        self.domains = MemoryDomains(self.volumes, self.networks.known)
        self.snapshots = MemorySnapshots(self.domains, self.volumes)
        self.moves = MemoryMoves(self.domains, self.volumes)

    def identity(self, ctx: Context) -> str:
        ctx.check("read the node")
        return f"qemu:{self.machine}"

    def facts(self, ctx: Context) -> NodeFacts:
        return NodeFacts(
            identity=self.identity(ctx),
            daemon=f"qemu:{self.daemon or self.machine}",
            platform="qemu",
            hostname="memory",
            arch="x86_64",
            cpus=2,
            memory=4 << 20,
            libvirt_version="9.0.0",
            emulator_version="7.2.0",
            firmwares=("bios", "efi"),
            confinement=("dac",),
            info={"cpuModel": "x86_64"},
        )

    def max_vcpus(self, ctx: Context, settings: Mapping[str, str]) -> int | None:
        ctx.check("read the machine type")
        machine = settings.get("machine", "q35")
        if machine not in MACHINES:
            raise InputError("platformConfig.machine", f"'{machine}' is not a machine type of {self.uri}")
        return MACHINES[machine]

    def file_flaw(self, ctx: Context, path: str) -> str | None:
        return "there is no such file" if path in self.absent_files else None

    def accelerator(self, ctx: Context, wanted: Literal["auto", "kvm", "tcg"]) -> Accelerator:
        ctx.check("choose the accelerator")
        if wanted == "tcg":
            return Accelerator("tcg", "asked for")
        if wanted == "kvm" and self.proven.name != "kvm":
            raise Refused(f"KVM does not work on {self.uri}", cause=self.proven.reason)
        return self.proven

    def prerequisites(
        self, ctx: Context, pool: str, network: str | None, *, afresh: bool = False
    ) -> Sequence[Prerequisite]:
        ctx.check("check the node")
        return (Prerequisite("libvirt", "ok", "in memory"), *self.missing)


class MemoryNodes:
    """Nodes by URI. Those in ``unreachable`` do not answer."""

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._nodes: dict[str, MemoryNode] = {}
        self.unreachable: set[str] = set()

    def get(self, ctx: Context, uri: str) -> MemoryNode:
        ctx.check(f"connect to {uri}")
        if uri in self.unreachable:
            raise Unreachable(f"could not connect to {uri}", action="start it").at(node=uri)
        with self._lock:
            if uri not in self._nodes:
                self._nodes[uri] = MemoryNode(uri, self._directory, session=uri.endswith("/session"))
            return self._nodes[uri]

    def also_at(self, uri: str, node: MemoryNode) -> None:
        """Let another URI lead to a node."""
        with self._lock:
            self._nodes[uri] = node

    def check_uri(self, uri: str, path: str) -> None:
        if "://" not in uri:
            raise InputError(path, f"'{uri}' is not the URI of a node in memory", action="use memory:///name")

    def check_settings(self, uri: str, asked: Mapping[str, str]) -> None:
        for name in sorted(set(asked) - SETTINGS):
            raise InputError(f"platformConfig.{name}", f"'{name}' is no setting of memory")

    def check_overlay(self, uri: str, asked: Sequence[OverlaySpec]) -> None:
        for index, entry in enumerate(asked):
            if entry.xpath == "/domain/name":
                raise InputError(f"xmlOverlay[{index}]", "this changes the guest's name", action="state 'name'")

    def close(self) -> None:
        """Nothing is open."""
