"""Where connected nodes come from. Fits ``ports.Nodes``."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from kiln.framework.context import Context
from kiln.framework.errors import InputError, KilnError
from kiln.platforms.libvirt import overlays, settings
from kiln.platforms.libvirt.connection import Link
from kiln.platforms.libvirt.node import LibvirtNode
from kiln.platforms.libvirt.uris import admit
from kiln.ports.overlays import OverlaySpec


class Connections:
    """One node per URI, shared by all operations; its connections are opened at first use and again after they died."""

    def __init__(self, *, allow_insecure_transport: bool = False) -> None:
        self._allow_insecure_transport = allow_insecure_transport
        self._lock = threading.Lock()
        self._nodes: dict[str, tuple[LibvirtNode, Link, Link]] = {}

    def get(self, ctx: Context, uri: str) -> LibvirtNode:
        """The node at ``uri``, connected. Raises Unreachable within 15 s, or Refused for an insecure transport."""
        with self._lock:
            if uri not in self._nodes:
                address = admit(uri, allow_insecure_transport=self._allow_insecure_transport)
                link, bulk = Link(uri, address), Link(uri, address)
                self._nodes[uri] = (LibvirtNode(link, bulk), link, bulk)
            node, link, _ = self._nodes[uri]
        link.open(ctx)
        return node

    def check_uri(self, uri: str, path: str) -> None:
        """Refuse what is no libvirt URI, or names a transport that is not allowed. Raises InputError at ``path``."""
        try:
            admit(uri, allow_insecure_transport=self._allow_insecure_transport)
        except KilnError as error:
            raise InputError.because(path, error) from error

    def check_settings(self, uri: str, asked: Mapping[str, str]) -> None:
        """Refuse ``platformConfig`` that libvirt does not know, whatever the URI. Raises InputError."""
        settings.check(asked)

    def check_overlay(self, uri: str, asked: Sequence[OverlaySpec]) -> None:
        """Refuse an ``xmlOverlay`` that no guest can have, whatever the URI. Raises InputError."""
        overlays.check(asked)

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            nodes, self._nodes = list(self._nodes.values()), {}
        for _, link, bulk in nodes:
            link.close()
            bulk.close()
