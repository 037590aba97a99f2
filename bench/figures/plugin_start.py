"""``plugin-start``: from spawning the plugin to its port, against an interpreter that imports gRPC and ends."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench.engine import kiln_plugin
from bench.measure import Figure, Sides, Tell
from bench.scratch import Scratch

NOBODY = "127.0.0.1:9"
"""The engine's address that the plugin is given; it says nothing to the engine before it is asked something."""


@contextmanager
def sides(scratch: Scratch, tell: Tell) -> Iterator[Sides]:
    """Spawn one and the other, after each ran once so that their modules are compiled and in the page cache."""
    plugin_start()
    grpc_import()
    yield Sides(ours=plugin_start, floor=grpc_import)


def plugin_start() -> float:
    """Seconds from spawn to the line with the port."""
    plugin = kiln_plugin()
    command = [str(plugin.executable), NOBODY]
    begun = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            port = process.stdout.readline()
            seconds = time.perf_counter() - begun
        finally:
            process.terminate()
    if not port.strip().isdigit():
        raise RuntimeError(f"the plugin printed {port!r} in place of a port")
    return seconds


def grpc_import() -> float:
    """Seconds that ``python -c 'import grpc'`` takes."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import grpc"], check=True)
    return time.perf_counter() - begun


FIGURE = Figure("plugin-start", "s", 4.0, sides, repeat=7)
