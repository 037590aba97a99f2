"""The plugin's process, ``pulumi-resource-kiln``.

The engine starts it with its own address as the only argument and reads the port from the first line of standard
output; nothing else may be printed there. At the end of every run the engine calls Cancel and sends SIGINT, and kills
what is left five seconds later. A plugin whose engine was killed notices that it has a new parent and ends as well.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

from kiln.hosts.pulumi.loading import load

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kiln.framework.provider import Provider

M_ARENA_MAX = -8
"""glibc, malloc.h."""

GRACE_SECONDS = 4.0
"""How long operations under way may take to end once the process is told to stop; less than the engine's five."""

WATCH_SECONDS = 2.0
"""How often the process looks whether its engine is still there."""

HELP = """\
pulumi-resource-kiln is Kiln's plugin for Pulumi; `pulumi` starts it by itself.

usage: pulumi-resource-kiln [ENGINE_ADDRESS]   serve, printing the port on the first line of output
       pulumi-resource-kiln --version          print the version
       pulumi-resource-kiln --help             print this text

To debug it, start it by hand under a debugger, take the port it prints, and run
`PULUMI_DEBUG_PROVIDERS=kiln:PORT pulumi up` in your project. Ctrl-C ends it.
To use a checkout instead of an installed plugin, name the directory of this program in Pulumi.yaml:

    plugins:
      providers:
        - name: kiln
          path: ../.venv/bin
"""


def main() -> None:
    """Entry point of the console script.

    All is closed when ``run`` returns. The engine waits for the process, so the interpreter is not taken apart as well.
    """
    # libvirt's client forks, to run ssh or a session's daemon. gRPC's own handlers of fork(2), which are put in place
    # when it is imported, kill such a child as long as requests are served.
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
    # pydantic looks for plugins of its own in everything that is installed, at the first model of each process.
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "1"
    status = run(load_provider=load, arguments=sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def run(load_provider: Callable[[], Provider], arguments: Sequence[str]) -> int:
    """Serve the provider that ``load_provider`` makes until a signal comes; returns the exit status."""
    if "--help" in arguments or "-h" in arguments:
        sys.stdout.write(HELP)
        return 0
    if "--version" in arguments:
        from kiln import __version__

        sys.stdout.write(__version__ + "\n")
        return 0
    address = next((argument for argument in arguments if not argument.startswith("-")), "")
    serve(load_provider, address)
    return 0


def serve(load_provider: Callable[[], Provider], address: str) -> None:
    """Serve the provider to the engine at ``address`` (none: to whoever attaches) until a signal comes."""
    from kiln.hosts.pulumi import server as host
    from kiln.hosts.pulumi.log import EngineLog

    _keep_memory_small()
    parent = os.getppid()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    engine = EngineLog(address)
    servicer = host.Servicer(engine)
    server, port = host.serve(servicer)
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    servicer.load(load_provider)
    _wait(stop, parent if address else None)
    servicer.calls.cancel()
    server.stop(GRACE_SECONDS).wait(GRACE_SECONDS + 1)
    servicer.close()
    engine.close()


def _keep_memory_small() -> None:
    """Let the C library's allocator share two arenas among all threads.

    By default each of the dozens of threads that serve calls gets an arena of its own (mallopt(3), M_ARENA_MAX), which
    costs about 16 MiB at 100 resources; Python takes its lock around almost every allocation anyway.
    """
    import ctypes

    with contextlib.suppress(AttributeError, OSError):  # a C library that is not glibc
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 2)


def _wait(stop: threading.Event, parent: int | None) -> None:
    """Wait for the signal, or for the end of the engine, the process ``parent``."""
    while not stop.wait(WATCH_SECONDS):
        if parent is not None and os.getppid() != parent:
            return


if __name__ == "__main__":
    main()
