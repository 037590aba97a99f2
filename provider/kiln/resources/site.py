"""What all resources share in one run: the nodes, and the defaults that the provider and its Node resources state."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar

from kiln.framework.context import Context
from kiln.framework.errors import Cancelled, InputError, KilnError, NotFound
from kiln.framework.model import Impact
from kiln.framework.plan import Change
from kiln.framework.values import UNKNOWN
from kiln.ports.nodes import Node, Nodes

T = TypeVar("T")

DEFAULT_POOL = "kiln"


@dataclass(frozen=True)
class NodeDefaults:
    """What a Node resource says about resources that name its URI. Any of them may be UNKNOWN in a preview."""

    pool: str | None = None
    pool_path: str | None = None
    network: str | None = None
    accelerator: Literal["auto", "kvm", "tcg"] = "auto"


@dataclass
class Site:
    """The provider's configuration in effect and the nodes it reaches.

    Node defaults are learnt when a Node resource is checked, which the engine does in every run and before it checks a
    resource that takes the node's ``uri`` output.
    """

    nodes: Nodes
    uri: str
    storage_pool: str = DEFAULT_POOL
    image_store: str | None = None
    uri_stated: bool = True
    tidy: Callable[[Context, Node], None] | None = None
    _defaults: dict[str, tuple[str, NodeDefaults]] = field(default_factory=dict)
    _changed: set[str] = field(default_factory=set)
    _silent: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def learn(self, ctx: Context, uri: str, defaults: NodeDefaults) -> None:
        """Remember what a Node resource states, and warn where another one of the same URI states something else."""
        with self._lock:
            urn, before = self._defaults.get(uri, (ctx.urn, defaults))
            self._defaults[uri] = (ctx.urn, defaults)
        if urn != ctx.urn and before != defaults:
            ctx.log.warning(
                f"two Nodes of this program have the URI '{uri}' and state different pools, networks or accelerators: "
                "which of them holds for the resources there is left to chance. Drop one, or let both state the same"
            )

    def knows(self, uri: str) -> bool:
        """Whether a Node resource of this run said what holds for ``uri``."""
        with self._lock:
            return uri in self._defaults

    def defaults(self, uri: str) -> NodeDefaults:
        """What holds for resources on ``uri``."""
        with self._lock:
            return self._defaults.get(uri, ("", NodeDefaults()))[1]

    def pool_for(self, uri: str) -> str:
        """The pool of a resource that states none; UNKNOWN while the node is."""
        if uri is UNKNOWN:
            return UNKNOWN
        return self.defaults(uri).pool or self.storage_pool

    def node(self, ctx: Context, uri: str, path: str = "node") -> Node:
        """The connected node at ``uri``, which the property ``path`` names."""
        try:
            return self.nodes.get(ctx, uri)
        except Cancelled:
            raise
        except KilnError as error:
            error.at(path=path)
            raise

    def node_to_look_at(self, ctx: Context, uri: str) -> Node | None:
        """The node for a check that can do without it, None when it is not known or does not answer.

        A machine that the program is yet to make does not answer in its preview. It is not asked again in this run,
        since every check would wait for it.
        """
        if uri is UNKNOWN or uri in self._silent:
            return None
        try:
            return self.nodes.get(ctx, uri)
        except Cancelled:
            raise
        except KilnError as error:
            ctx.log.debug(f"what is asked for is not compared with what the node has: {error}")
            self._silent.add(uri)
            return None

    def look(self, ctx: Context, uri: str, at: Callable[[Node], T]) -> T | None:
        """What a check sees that looks ``at`` the node, None where that does not answer: its InputErrors count, other
        errors do not."""
        node = self.node_to_look_at(ctx, uri)
        if node is None:
            return None
        try:
            return at(node)
        except (InputError, Cancelled):
            raise
        except KilnError as error:
            ctx.log.debug(f"what is asked for is not compared with what the node has: {error}")
            return None

    def uri_for(self, stated: str | None, old: str | None) -> str:
        """The node of a resource: what it states; else what it had, where the provider's URI is only a guess from the
        environment; else the provider's. Raises InputError for what cannot be the URI of a node."""
        uri = stated
        if uri is None:
            uri = old if old is not None and not self.uri_stated else self.uri
        if uri is not UNKNOWN:
            self.nodes.check_uri(uri, "node")
        return uri

    def node_to_change(self, ctx: Context, uri: str, path: str = "node") -> Node:
        """The connected node, tidied up once in a run before anything on it is changed."""
        node = self.node(ctx, uri, path)
        with self._lock:
            first = uri not in self._changed
            self._changed.add(uri)
        if first and self.tidy is not None:
            self.tidy(ctx, node)
        return node

    def weigh_node(self, ctx: Context, identity: str | None, changes: Iterable[Change]) -> Iterator[Change]:
        """The changes, with a ``node`` that leads to the machine of this identity weighed as live."""
        for change in changes:
            if change.field == "node" and self.same_machine(ctx, identity, change):
                yield replace(change, impact=Impact.LIVE, reason="the same machine")
            else:
                yield change

    def same_machine(self, ctx: Context, identity: str | None, change: Change, path: str = "node") -> bool:
        """Whether a changed URI leads to the machine of this identity.

        The old URI may have changed because it answers no more, so it is asked only where the identity does not tell:
        a machine without a UUID of its own is known by its libvirtd, as long as that runs.
        """
        if change.new is UNKNOWN:
            return False
        new = self.node(ctx, change.new, path)
        if new.identity(ctx) == identity:
            return True
        try:
            return self.nodes.get(ctx, change.old).facts(ctx).daemon == new.facts(ctx).daemon
        except Cancelled:
            raise
        except KilnError:
            return False

    def ensure_pool(self, ctx: Context, uri: str, pool: str) -> None:
        """Make the pool of a resource on first need: only the pools that defaults name are ever made.

        Raises:
            InputError: at ``pool``, when no volume can be made in it.
        """
        known, node = self.defaults(uri), self.node(ctx, uri)
        if pool in (known.pool, self.storage_pool):
            try:
                node.volumes.ensure_pool(ctx, pool, known.pool_path if pool == known.pool else None)
            except KilnError as error:
                error.at(path="pool")
                raise
        require_pool(ctx, node, pool)


def require_known_pool(ctx: Context, node: Node, name: str) -> None:
    """See that a pool is there and runs whose volumes are asked for: else nothing is known of them. Raises KilnError,
    which is never a NotFound: nothing that may be in the pool is told to be gone."""
    try:
        pool = node.volumes.pool(ctx, name)
    except NotFound as error:
        raise KilnError(
            f"there is no storage pool '{name}' on {node.uri} any more, so nothing is known of what is in it",
            action=f"define it again (virsh -c '{node.uri}' pool-define-as), or, if its files are gone, "
            "`pulumi state delete` what was in it",
        ).at(path="pool", node=node.uri) from error
    if not pool.active:
        raise KilnError(
            f"the storage pool '{name}' on {node.uri} does not run, so nothing is known of what is in it",
            action=f"start it (virsh -c '{node.uri}' pool-start {name}) and run again",
        ).at(path="pool", node=node.uri)


def require_pool(ctx: Context, node: Node, name: str) -> None:
    """See that a pool is there and runs. Raises InputError at ``pool``."""
    try:
        pool = node.volumes.pool(ctx, name)
    except NotFound as error:
        raise InputError(
            "pool",
            f"there is no storage pool '{name}' on {node.uri}",
            action=f"state one that it has (virsh -c '{node.uri}' pool-list --all), or make this one with virsh "
            "pool-define-as, pool-build and pool-start",
        ) from error
    if not pool.active:
        raise InputError(
            "pool",
            f"the storage pool '{name}' on {node.uri} does not run",
            action=f"start it (virsh -c '{node.uri}' pool-start {name}), or use another pool",
        )
    if pool.lost:
        raise InputError(
            "pool",
            f"the directory of the storage pool '{name}' on {node.uri} is gone",
            cause=f"there is no {pool.path}",
            action="mount what belongs there, or make it anew (mkdir), or use another pool",
        )
