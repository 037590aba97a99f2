"""The one place that joins the parts: configuration, nodes, resources. Hosts and the command line start here."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import kiln
from kiln.framework.context import Context
from kiln.framework.errors import Bug
from kiln.framework.model import Impact, Model, prop
from kiln.framework.provider import Provider
from kiln.framework.resource import AnyResource
from kiln.framework.values import UNKNOWN
from kiln.ports.nodes import Nodes
from kiln.resources.disk import Disk
from kiln.resources.image import Image
from kiln.resources.names import Name
from kiln.resources.network import Network
from kiln.resources.node import Node
from kiln.resources.server import Server
from kiln.resources.server.seeds import remove_ended_seeds
from kiln.resources.site import DEFAULT_POOL, Site
from kiln.resources.snapshot import Snapshot

SYSTEM_URI = "qemu:///system"
KINDS = (Node, Image, Disk, Server, Network, Snapshot)


class ProviderConfig(Model):
    """Configuration of the provider."""

    uri: str = prop(
        "The libvirt URI of the node for resources that state none. Resolved once and kept in the stack's state.",
        sticky=True,
        impact=Impact.LIVE,
        default_doc="the environment variable `LIBVIRT_DEFAULT_URI`, else `qemu:///system`",
    )
    storage_pool: Name = prop(
        "The storage pool for resources that state none. Made on first need; an existing one is used as it is.",
        default=DEFAULT_POOL,
        impact=Impact.LIVE,
    )
    image_store: str | None = prop(
        "Directory in which a relative `source` is looked up when the program's own directory does not have it.",
        impact=Impact.LIVE,
    )
    allow_insecure_transport: bool = prop(
        "Whether URIs whose traffic is neither encrypted nor authenticated (`qemu+tcp`) may be used.",
        default=False,
        impact=Impact.LIVE,
    )


class KilnProvider(Provider):
    """Kiln as a provider. Nothing is connected before a resource needs its node.

    Args:
        reach: gives the nodes that can be reached, as ``nodes`` does.
    """

    name: ClassVar[str] = "kiln"
    version: ClassVar[str] = kiln.__version__
    display_name: ClassVar[str] = "Kiln"
    description: ClassVar[str] = "Virtual machines on hosts that you run yourself, through libvirt."
    Config = ProviderConfig
    kinds: ClassVar[tuple[type[AnyResource], ...]] = KINDS

    def __init__(self, reach: Callable[..., Nodes] | None = None) -> None:
        self._reach = reach or nodes
        self._nodes: Nodes | None = None
        self._resources: dict[str, AnyResource] = {}

    def check_config(self, ctx: Context, new: Any, old: Any) -> ProviderConfig:
        """Resolve the URI once: stated, else kept from before, else from the environment."""
        config: ProviderConfig = new
        if config.uri is None:
            uri = os.environ.get("LIBVIRT_DEFAULT_URI") or SYSTEM_URI
            config = config.model_copy(update={"uri": uri})
        if config.uri is not UNKNOWN and config.allow_insecure_transport is not UNKNOWN:
            self._reach(allow_insecure_transport=config.allow_insecure_transport).check_uri(config.uri, "uri")
        return config

    def configure(self, config: Any) -> None:
        """Make the resources; called once per run."""
        checked = self.check_config(Context(), config, None)
        self.close()
        self._nodes = self._reach(allow_insecure_transport=checked.allow_insecure_transport)
        site = Site(
            self._nodes,
            checked.uri,
            uri_stated=config.uri is not None,
            storage_pool=checked.storage_pool,
            image_store=checked.image_store,
            tidy=remove_ended_seeds,
        )
        self._resources = {kind.name: kind(site) for kind in KINDS}

    @property
    def resources(self) -> Mapping[str, AnyResource]:
        """The configured resources by name."""
        if not self._resources:
            raise Bug("a resource was asked for before the provider was configured")
        return self._resources

    def close(self) -> None:
        """Close the connections to all nodes."""
        if self._nodes is not None:
            self._nodes.close()


def nodes(*, allow_insecure_transport: bool = False) -> Nodes:
    """The nodes this process can reach. libvirt is loaded only when one is."""
    from kiln.platforms.libvirt.nodes import Connections

    return Connections(allow_insecure_transport=allow_insecure_transport)
