"""The work on one guest: what is known of it so far, and the domain that follows from that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from kiln.framework.context import Context
from kiln.framework.errors import KilnError
from kiln.ports.definition import Definition
from kiln.ports.domains import BootSpec, Console, Domain, DomainSpec
from kiln.ports.marks import Mark
from kiln.ports.nodes import Node
from kiln.ports.volumes import VolumeRef
from kiln.resources.server.layout import Attached, Ground, Storage, direct_boot, domain_spec, nics_of
from kiln.resources.server.model import ServerInputs
from kiln.resources.server.storage import RootPlan
from kiln.resources.site import Site


@dataclass
class Work:
    """What the steps of one operation know and leave for each other.

    ``before`` is the definition of a guest that runs with it and is about to be restarted with another. ``instance`` is
    cloud-init's id of the instance that the guest boots as. ``loose_seed`` is one that is attached no more.
    ``hidden`` are values that no error may show.

    Of an update, ``restarts`` says that a guest that is on has to be off before it has what it is to become, ``is_off``
    that it is or was, and ``is_defined`` that the new definition is there. ``waits`` are the properties that a guest
    which runs on is to have at its next start.
    """

    inputs: ServerInputs
    uuid: str
    mark: Mark
    ground: Ground | None = None
    root_plan: RootPlan | None = None
    root: Attached | None = None
    disks: Sequence[Attached] = ()
    seed: Attached | None = None
    loose_seed: VolumeRef | None = None
    instance: str = ""
    password: str | None = field(default=None, repr=False)
    vnc_password: str | None = field(default=None, repr=False)
    domain: Domain | None = None
    console: Console | None = None
    marks: dict[VolumeRef, Mark] = field(default_factory=dict)
    hidden: frozenset[str] = field(default=frozenset(), repr=False)
    is_new: bool = False
    waits: frozenset[str] = frozenset()
    first_boot_ended: bool = False
    addresses: list[str] = field(default_factory=list)
    before: Definition | None = None
    is_put_back: bool = False
    restarts: bool = False
    is_defined: bool = False
    is_off: bool = False
    cannot_put_back: KilnError | None = None

    def saw(self, domain: Domain) -> None:
        """Remember the domain as the node reported it."""
        self.domain = domain

    def close(self) -> None:
        """Let go of the console stream."""
        if self.console is not None:
            self.console.close()
            self.console = None


def boot_of(work: Work) -> BootSpec | None:
    """What the guest boots directly, if anything."""
    return work.root_plan.boot if work.root_plan is not None else direct_boot(work.inputs.boot, None)


def spec_of(work: Work, mark: Mark) -> DomainSpec:
    """The domain of the guest as its inputs ask for it."""
    assert work.ground is not None
    storage = Storage(work.root, work.disks, work.seed)
    known = device_names(work.domain) if work.domain is not None else {}
    return domain_spec(work.inputs, work.uuid, storage, work.ground, mark, boot_of(work), work.vnc_password, known)


def device_names(domain: Domain) -> dict[str, str]:
    """The device names of a guest's disks by their paths, those it has while it runs first."""
    live = domain.live.disks if domain.live is not None else ()
    return {disk.path: disk.target for disk in (*domain.disks, *live) if disk.path is not None}


def ground_of(ctx: Context, site: Site, node: Node, uri: str) -> Ground:
    """What the node decides for its guests."""
    accelerator = node.accelerator(ctx, site.defaults(uri).accelerator).name
    network = default_network(site, node, uri)
    return Ground(node.identity(ctx), node.facts(ctx).arch, accelerator, network, node.session)


def ground_kept(ground: Ground, domain: Domain, before: ServerInputs, new: ServerInputs, *, known: bool) -> Ground:
    """The same for a guest that exists: an interface whose network is stated neither ``before`` nor now keeps the one
    it has, and where this run did not say what holds on the node (it is for some targets alone, ``known``), the guest
    keeps its accelerator."""
    kept = [
        nic.network
        for nic, was, asked in zip(domain.nics, nics_of(before), nics_of(new), strict=False)
        if nic.network is not None and not any((was.network, was.bridge, asked.network, asked.bridge))
    ]
    network = kept[0] if kept else ground.network
    return replace(ground, network=network, accelerator=ground.accelerator if known else domain.accelerator)


def default_network(site: Site, node: Node, uri: str) -> str | None:
    """The network of guests that state none; None where they get user-mode networking."""
    return None if node.session else site.defaults(uri).network or "default"
