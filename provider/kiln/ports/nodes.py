"""Nodes: machines that run guests, and their facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from kiln.framework.context import Context
from kiln.ports.domains import Domains
from kiln.ports.moves import Moves
from kiln.ports.networks import Networks
from kiln.ports.overlays import OverlaySpec
from kiln.ports.snapshots import Snapshots
from kiln.ports.volumes import Volumes

AcceleratorName = Literal["kvm", "tcg"]


@dataclass(frozen=True)
class Accelerator:
    """What will execute guests' code, and why that one. ``proven`` says whether a guest has shown it, and ``since``, in
    seconds since the epoch, when that was, if it is remembered and was not found out just now."""

    name: AcceleratorName
    reason: str
    proven: bool = True
    since: float | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Prerequisite:
    """One thing a node needs. ``mend`` is the command or action that puts it right, empty when all is well."""

    name: str
    status: Literal["ok", "warn", "fail"]
    detail: str
    mend: str = ""


@dataclass(frozen=True)
class NodeFacts:
    """What a node is. ``identity`` is as ``Node.identity`` says; memory is KiB; versions are dotted.

    ``daemon`` is ``<driver>:<UUID>`` as libvirt itself tells it, which lasts as long as libvirtd runs where the machine
    has no UUID of its own.
    """

    identity: str
    daemon: str
    platform: str
    hostname: str
    arch: str
    cpus: int
    memory: int
    libvirt_version: str
    emulator_version: str
    firmwares: Sequence[str]
    confinement: Sequence[str]
    info: Mapping[str, str] = field(default_factory=dict)


class Node(Protocol):
    """A connected node."""

    @property
    def uri(self) -> str:
        """The libvirt URI it was reached by."""

    @property
    def session(self) -> bool:
        """True for an unprivileged ``qemu:///session`` daemon: user-mode networking, a pool of its own."""

    @property
    def domains(self) -> Domains:
        """Its guests."""

    @property
    def volumes(self) -> Volumes:
        """Its storage."""

    @property
    def networks(self) -> Networks:
        """Its networks."""

    @property
    def snapshots(self) -> Snapshots:
        """The snapshots of its guests."""

    @property
    def moves(self) -> Moves:
        """Moving the disks of its guests."""

    def identity(self, ctx: Context) -> str:
        """``<driver>:<host uuid>``, the same for every URI of one daemon; a session daemon's ends in ``/session``."""

    def facts(self, ctx: Context) -> NodeFacts:
        """What the node is, read once per connection."""

    def max_vcpus(self, ctx: Context, settings: Mapping[str, str]) -> int | None:
        """The most virtual CPUs of a guest with this ``platformConfig``, None when the platform cannot tell.

        Raises InputError at the setting that the node does not have, such as a machine type."""

    def file_flaw(self, ctx: Context, path: str) -> str | None:
        """Why a guest cannot be booted from the file at ``path`` on the node ("there is no such file"); None when
        nothing speaks against it, or the platform cannot tell."""

    def accelerator(self, ctx: Context, wanted: Literal["auto", "kvm", "tcg"]) -> Accelerator:
        """The accelerator guests will get. ``auto`` starts a probe guest, once per boot of the node.

        Raises InputError-free ``Refused`` when ``kvm`` is wanted and the probe shows that it does not work."""

    def prerequisites(
        self, ctx: Context, pool: str, network: str | None, *, afresh: bool = False
    ) -> Sequence[Prerequisite]:
        """Everything a node needs, checked now (see ``kiln doctor``), but for the accelerator, which is remembered as
        ``accelerator`` says. ``afresh`` probes it again."""


class Nodes(Protocol):
    """Where connected nodes come from: one connection per URI, shared by all operations, reopened when it died."""

    def get(self, ctx: Context, uri: str) -> Node:
        """The node at ``uri``. Raises Unreachable within 15 s, or Refused for a transport that is not allowed."""

    def check_uri(self, uri: str, path: str) -> None:
        """Refuse what is no URI of a node, or names a transport that is not allowed, without connecting. Raises
        InputError at ``path``."""

    def check_settings(self, uri: str, asked: Mapping[str, str]) -> None:
        """Refuse ``platformConfig`` that the platform of ``uri`` does not know, without asking the node; a value may be
        UNKNOWN. Raises InputError."""

    def check_overlay(self, uri: str, asked: Sequence[OverlaySpec]) -> None:
        """Refuse an ``xmlOverlay`` that no guest of the platform of ``uri`` can have, without asking the node; parts
        may be UNKNOWN. Raises InputError at the entry."""

    def close(self) -> None:
        """Close all connections."""
