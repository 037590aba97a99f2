"""The process of the no-op plugin: prints its port, serves until the engine interrupts it."""

from __future__ import annotations

import signal
import sys
import threading
from concurrent import futures

import grpc
from kiln.hosts.pulumi.proto import provider_pb2_grpc

from bench.noop.servicer import Servicer

WORKERS = 64
"""As many as Kiln's own server has."""


def main() -> None:
    """Serve."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    server = grpc.server(futures.ThreadPoolExecutor(WORKERS))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Servicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    stop.wait()
    server.stop(0).wait()
