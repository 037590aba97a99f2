"""Kiln's resources in memory bound to ``pulumi.dynamic``, and the plugin's process that a test can reach into.

``python -m tests.conformance.dynamic FILES SOCKET`` is Pulumi's dynamic plugin with a world beside it.
"""

from __future__ import annotations

import runpy
import sys
import threading
from functools import cache
from multiprocessing.connection import Listener
from pathlib import Path

from kiln.app import KilnProvider
from kiln.framework import schema
from kiln.hosts.dynamic.resources import DynamicResource, resource_class
from kiln.hosts.dynamic.server import Instance

from tests.conformance.world import World, offer

MODULE = "tests.conformance.dynamic"


@cache
def classes() -> dict[str, type[DynamicResource]]:
    """The class of each kind."""
    described = schema.of(KilnProvider())
    return {kind.name: resource_class(described, kind, MODULE) for kind in described.resources}


@cache
def world(files: str) -> World:
    """The one world of this process."""
    return World(Path(files))


@cache
def provider_instance() -> Instance:
    """The provider of this process's world; the stubs that Pulumi unpickles ask for it."""
    return Instance(lambda: world(sys.argv[1]).provider)


def main() -> None:
    """Serve the world and the plugin."""
    from tests.conformance import dynamic  # what the stubs import: this file runs as __main__

    listener = Listener(sys.argv[2])
    threading.Thread(target=offer, args=(dynamic.world(sys.argv[1]), listener), daemon=True).start()
    runpy.run_module("pulumi.dynamic", run_name="__main__")


if __name__ == "__main__":
    main()
