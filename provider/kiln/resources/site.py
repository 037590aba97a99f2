"""What all resources share in one run: the nodes, and the defaults that the provider and its Node resources state."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from kiln.framework.context import Context
from kiln.framework.errors import KilnError
from kiln.framework.model import Impact
from kiln.framework.plan import Change
from kiln.framework.values import UNKNOWN
from kiln.ports.nodes import Node, Nodes

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
    _defaults: dict[str, NodeDefaults] = field(default_factory=dict)
    _changed: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def learn(self, uri: str, defaults: NodeDefaults) -> None:
        """Remember what a Node resource states."""
        with self._lock:
            self._defaults[uri] = defaults

    def defaults(self, uri: str) -> NodeDefaults:
        """What holds for resources on ``uri``."""
        with self._lock:
            return self._defaults.get(uri, NodeDefaults())

    def pool_for(self, uri: str) -> str:
        """The pool of a resource that states none; UNKNOWN while the node is."""
        if uri is UNKNOWN:
            return UNKNOWN
        return self.defaults(uri).pool or self.storage_pool

    def node(self, ctx: Context, uri: str) -> Node:
        """The connected node at ``uri``."""
        return self.nodes.get(ctx, uri)

    def uri_for(self, stated: str | None, old: str | None) -> str:
        """The node of a resource: what it states; else what it had, where the provider's URI is only a guess from the
        environment; else the provider's."""
        if stated is not None:
            return stated
        return old if old is not None and not self.uri_stated else self.uri

    def node_to_change(self, ctx: Context, uri: str) -> Node:
        """The connected node, tidied up once in a run before anything on it is changed."""
        node = self.node(ctx, uri)
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

    def same_machine(self, ctx: Context, identity: str | None, change: Change) -> bool:
        """Whether a changed URI leads to the machine of this identity.

        The old URI may have changed because it answers no more, so it is asked only where the identity does not tell:
        a machine without a UUID of its own is known by its libvirtd, as long as that runs.
        """
        if change.new is UNKNOWN:
            return False
        new = self.node(ctx, change.new)
        if new.identity(ctx) == identity:
            return True
        with contextlib.suppress(KilnError):
            return self.node(ctx, change.old).facts(ctx).daemon == new.facts(ctx).daemon
        return False

    def ensure_pool(self, ctx: Context, uri: str, pool: str) -> None:
        """Make the pool of a resource on first need: only the pools that defaults name are ever made."""
        known = self.defaults(uri)
        if pool in (known.pool, self.storage_pool):
            self.node(ctx, uri).volumes.ensure_pool(ctx, pool, known.pool_path if pool == known.pool else None)
