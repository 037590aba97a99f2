"""What all resources share in one run: the nodes, and the defaults that the provider and its Node resources state."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from kiln.framework.context import Context
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
        """The changes, with a ``node`` that leads to the machine of this identity weighed as live.

        Only the new URI is asked: the old one may have changed because it answers no more.
        """
        for change in changes:
            if change.field == "node" and change.new is not UNKNOWN and identity == self._identity(ctx, change.new):
                yield replace(change, impact=Impact.LIVE, reason="the same machine")
            else:
                yield change

    def _identity(self, ctx: Context, uri: str) -> str:
        return self.node(ctx, uri).identity(ctx)

    def ensure_pool(self, ctx: Context, uri: str, pool: str) -> None:
        """Make the pool of a resource on first need: only the pools that defaults name are ever made."""
        known = self.defaults(uri)
        if pool in (known.pool, self.storage_pool):
            self.node(ctx, uri).volumes.ensure_pool(ctx, pool, known.pool_path if pool == known.pool else None)
