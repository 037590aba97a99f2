"""Kiln's resources without a plugin: ``from kiln.dynamic import Server``.

They take the same arguments and have the same outputs as those of ``pulumi_kiln``, and run in the program's own Python
environment. What ``pulumi.dynamic`` cannot do is listed in ``kiln.hosts.dynamic``; prefer the plugin where you can.
"""

from __future__ import annotations

from functools import cache

from kiln.app import KilnProvider
from kiln.framework import schema
from kiln.hosts.dynamic.resources import resource_class
from kiln.hosts.dynamic.server import Instance

_SCHEMA = schema.of(KilnProvider())
_CLASSES = {kind.name: resource_class(_SCHEMA, kind, __name__) for kind in _SCHEMA.resources}

Node = _CLASSES["Node"]
Image = _CLASSES["Image"]
Disk = _CLASSES["Disk"]
Server = _CLASSES["Server"]
Network = _CLASSES["Network"]
Snapshot = _CLASSES["Snapshot"]

__all__ = ["Disk", "Image", "Network", "Node", "Server", "Snapshot", "provider_instance"]


@cache
def provider_instance() -> Instance:
    """The one provider of this process; the stubs that Pulumi unpickles ask for it."""
    return Instance(KilnProvider)
