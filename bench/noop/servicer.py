"""``pulumirpc.ResourceProvider`` with the least that the engine accepts; other RPCs are UNIMPLEMENTED."""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf.empty_pb2 import Empty

# The stubs without `import pulumi`, as Kiln's plugin loads them: a floor that loaded more would be no floor.
from kiln.hosts.pulumi.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

Wire = grpc.ServicerContext


class Servicer(provider_pb2_grpc.ResourceProviderServicer):
    """Accepts everything, does nothing, and sees a change where a program states something else."""

    def Handshake(self, request: Any, context: Wire) -> provider_pb2.ProviderHandshakeResponse:
        """Say what values may be sent."""
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True, accept_resources=True)

    def GetPluginInfo(self, request: Empty, context: Wire) -> plugin_pb2.PluginInfo:
        """Say a version."""
        return plugin_pb2.PluginInfo(version="0.0.0")

    def Configure(self, request: Any, context: Wire) -> provider_pb2.ConfigureResponse:
        """Take any configuration."""
        return provider_pb2.ConfigureResponse(acceptSecrets=True, acceptResources=True, supportsPreview=True)

    def Check(self, request: provider_pb2.CheckRequest, context: Wire) -> provider_pb2.CheckResponse:
        """Accept the inputs as they are."""
        return provider_pb2.CheckResponse(inputs=request.news)

    def Diff(self, request: provider_pb2.DiffRequest, context: Wire) -> provider_pb2.DiffResponse:
        """See whether the program states something else."""
        same = request.old_inputs == request.news
        found = provider_pb2.DiffResponse.DIFF_NONE if same else provider_pb2.DiffResponse.DIFF_SOME
        return provider_pb2.DiffResponse(changes=found)

    def Create(self, request: provider_pb2.CreateRequest, context: Wire) -> provider_pb2.CreateResponse:
        """Make nothing, under the resource's name."""
        return provider_pb2.CreateResponse(id=request.urn.rpartition("::")[2], properties=request.properties)

    def Read(self, request: provider_pb2.ReadRequest, context: Wire) -> provider_pb2.ReadResponse:
        """Find everything as it was."""
        return provider_pb2.ReadResponse(id=request.id, properties=request.properties, inputs=request.inputs)

    def Update(self, request: provider_pb2.UpdateRequest, context: Wire) -> provider_pb2.UpdateResponse:
        """Change nothing."""
        return provider_pb2.UpdateResponse(properties=request.news)

    def Delete(self, request: provider_pb2.DeleteRequest, context: Wire) -> Empty:
        """Remove nothing."""
        return Empty()

    def Cancel(self, request: Empty, context: Wire) -> Empty:
        """Stop nothing."""
        return Empty()
