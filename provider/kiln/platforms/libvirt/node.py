"""One libvirt node. Fits ``ports.Node``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from kiln.framework.context import Context
from kiln.platforms.libvirt import accelerator, bootfiles, facts, machines, prerequisites
from kiln.platforms.libvirt.connection import Link
from kiln.platforms.libvirt.contents import Contents
from kiln.platforms.libvirt.domains import LibvirtDomains
from kiln.platforms.libvirt.facts import Capabilities
from kiln.platforms.libvirt.moves import LibvirtMoves
from kiln.platforms.libvirt.networks import LibvirtNetworks
from kiln.platforms.libvirt.snapshots import LibvirtSnapshots
from kiln.platforms.libvirt.uris import is_local, is_session
from kiln.platforms.libvirt.volumes import LibvirtVolumes
from kiln.ports.nodes import Accelerator, NodeFacts, Prerequisite


class LibvirtNode:
    """A node and what is on it. ``bulk`` is a second connection, for long transfers."""

    def __init__(self, link: Link, bulk: Link) -> None:
        self._link = link
        contents = Contents(link)
        self.domains = LibvirtDomains(link, contents)
        self.volumes = LibvirtVolumes(link, bulk, contents)
        self.networks = LibvirtNetworks(link)
        self.snapshots = LibvirtSnapshots(link, self.domains, contents)
        self.moves = LibvirtMoves(link, contents, self.domains.changing)

    @property
    def uri(self) -> str:
        """The libvirt URI it was reached by."""
        return self._link.uri

    @property
    def session(self) -> bool:
        """True for an unprivileged daemon."""
        return is_session(self.uri)

    def identity(self, ctx: Context) -> str:
        """``<driver>:<host uuid>``."""
        return self.facts(ctx).identity

    def facts(self, ctx: Context) -> NodeFacts:
        """What the node is, read once per connection."""
        return self._link.once(ctx, "read what the node is", lambda opened: facts.node_facts(self.uri, opened))

    def max_vcpus(self, ctx: Context, settings: Mapping[str, str]) -> int | None:
        """The most virtual CPUs of a guest with this ``platformConfig``."""
        host = self._capabilities(ctx)
        return self._link.once(
            ctx,
            f"read what machine type '{settings.get('machine', '')}' takes",
            lambda opened: machines.max_vcpus(opened, host, self.uri, settings),
        )

    def file_flaw(self, ctx: Context, path: str) -> str | None:
        """Why a guest cannot be booted from a file on the node; told for this machine alone."""
        return bootfiles.flaw(path, session=self.session) if is_local(self.uri) else None

    def accelerator(self, ctx: Context, wanted: Literal["auto", "kvm", "tcg"]) -> Accelerator:
        """The accelerator guests will get."""
        return self._accelerator(ctx, wanted, afresh=False)

    def prerequisites(
        self, ctx: Context, pool: str, network: str | None, *, afresh: bool = False
    ) -> Sequence[Prerequisite]:
        """Everything a node needs, checked now; ``afresh`` tries again also what is remembered."""
        return prerequisites.check(
            ctx, self._link, self, lambda: self._accelerator(ctx, "auto", afresh=afresh), pool=pool, network=network
        )

    def _accelerator(self, ctx: Context, wanted: Literal["auto", "kvm", "tcg"], *, afresh: bool) -> Accelerator:
        return accelerator.choose(ctx, self._link, self.identity(ctx), self._capabilities(ctx), wanted, afresh=afresh)

    def _capabilities(self, ctx: Context) -> Capabilities:
        return self._link.once(ctx, "read the node's capabilities", facts.capabilities)
