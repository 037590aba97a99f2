"""The gRPC stubs that the ``pulumi`` distribution ships, without the rest of it.

``import pulumi`` costs a plugin 0.1 s and 10 MiB (the automation API, OpenTelemetry, dill) for code that only programs
use. The stubs import nothing but each other, by relative imports, so this module becomes their package by naming the
directory they lie in. Protobuf hands out one class per message, so stubs loaded from both places are the same classes.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pulumi.runtime.proto import (
        engine_pb2,
        engine_pb2_grpc,
        plugin_pb2,
        provider_pb2,
        provider_pb2_grpc,
        status_pb2,
    )
else:
    __path__ = [str(Path(find_spec("pulumi").origin).parent / "runtime" / "proto")]

    from kiln.hosts.pulumi.proto import (
        engine_pb2,
        engine_pb2_grpc,
        plugin_pb2,
        provider_pb2,
        provider_pb2_grpc,
        status_pb2,
    )

__all__ = ["engine_pb2", "engine_pb2_grpc", "plugin_pb2", "provider_pb2", "provider_pb2_grpc", "status_pb2"]
