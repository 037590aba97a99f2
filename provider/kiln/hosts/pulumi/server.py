"""``pulumirpc.ResourceProvider``: one short method per RPC, the rest is shared (``calls``) or translation.

What each RPC must answer, and the engine's reading of it, is in ``sdk/go/common/resource/plugin/provider_plugin.go``
of pulumi 3.258. RPCs that are not here answer UNIMPLEMENTED, which the engine takes for "has none".
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent import futures

import grpc
from google.protobuf.empty_pb2 import Empty

from kiln.framework import operations
from kiln.framework.context import Context, StepObserver
from kiln.framework.errors import InputError, InputErrors
from kiln.framework.model import parse, unfinished
from kiln.framework.operations import mark_secrets
from kiln.framework.plan import Plan
from kiln.framework.provider import Provider
from kiln.framework.resource import AnyResource
from kiln.framework.values import reveal
from kiln.hosts.pulumi import config, decode, difference, encode, lookup
from kiln.hosts.pulumi.calls import Calls, rpc
from kiln.hosts.pulumi.failures import check_failures
from kiln.hosts.pulumi.log import EngineLog
from kiln.hosts.pulumi.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

WORKERS = 2048
"""Calls that run at a time, more than an engine makes: it starts as many operations as ``--parallel`` allows (four for
each processor), each waits on a node, and a Cancel must not wait for them. Threads are started as they are needed."""

OPTIONS = (("grpc.max_receive_message_length", 400 * 1024 * 1024), ("grpc.max_send_message_length", 400 * 1024 * 1024))
"""The engine's own limit; gRPC's is 4 MiB, less than one text asset may hold."""


class Servicer(provider_pb2_grpc.ResourceProviderServicer):
    """A ``framework.provider.Provider`` as a Pulumi resource provider.

    It can be served before there is a provider, so that the engine connects while ``load`` imports it; what needs the
    provider waits for it, and is told when it cannot be made.
    """

    def __init__(self, engine: EngineLog, observer: StepObserver | None = None) -> None:
        self.calls = Calls(engine, observer)
        self._loaded: futures.Future[Provider] = futures.Future()

    def load(self, make: Callable[[], Provider]) -> None:
        """Make the provider."""
        try:
            self._loaded.set_result(make())
        except Exception as error:
            self._loaded.set_exception(error)

    @property
    def provider(self) -> Provider:
        """The provider, once it is made."""
        return self._loaded.result()

    @property
    def homepage(self) -> str:
        """Where defects are reported; empty when there is no provider to say so."""
        return "" if self._loaded.exception() else self.provider.homepage

    def close(self) -> None:
        """Cancel what is under way and let go of what the provider holds."""
        self.calls.cancel()
        if not self._loaded.exception():
            self.provider.close()

    @rpc
    def Handshake(
        self, request: provider_pb2.ProviderHandshakeRequest, ctx: Context
    ) -> provider_pb2.ProviderHandshakeResponse:
        """Agree on what values may be sent; an engine that asks takes previews to be supported."""
        self.calls.engine.connect(request.engine_address)
        return provider_pb2.ProviderHandshakeResponse(
            accept_secrets=True, accept_resources=True, supports_autonaming_configuration=True
        )

    @rpc
    def Attach(self, request: plugin_pb2.PluginAttach, ctx: Context) -> Empty:
        """Serve another engine from now on (PULUMI_DEBUG_PROVIDERS)."""
        self.calls.engine.connect(request.address)
        return Empty()

    @rpc
    def GetPluginInfo(self, request: Empty, ctx: Context) -> plugin_pb2.PluginInfo:
        """The version of the provider."""
        return plugin_pb2.PluginInfo(version=self.provider.version)

    @rpc
    def GetSchema(self, request: provider_pb2.GetSchemaRequest, ctx: Context) -> provider_pb2.GetSchemaResponse:
        """The package schema as JSON."""
        from kiln.framework import schema as neutral  # asked for by tools, not by runs
        from kiln.hosts.pulumi import schema

        document = schema.document(neutral.of(self.provider))
        return provider_pb2.GetSchemaResponse(schema=json.dumps(document))

    @rpc
    def GetMapping(self, request: provider_pb2.GetMappingRequest, ctx: Context) -> provider_pb2.GetMappingResponse:
        """Which provider of another engine this one stands for: none."""
        return provider_pb2.GetMappingResponse()

    @rpc
    def CheckConfig(self, request: provider_pb2.CheckRequest, ctx: Context) -> provider_pb2.CheckResponse:
        """The configuration with its defaults, or what is wrong with it."""
        try:
            checked = config.check(self.provider, ctx, request.news, request.olds)
        except (InputError, InputErrors) as error:
            return check_failures(error, self.provider.Config, decode.properties(request.news))
        return provider_pb2.CheckResponse(inputs=encode.properties(checked))

    @rpc
    def DiffConfig(self, request: provider_pb2.DiffRequest, ctx: Context) -> provider_pb2.DiffResponse:
        """What changes in the configuration."""
        return difference.response(config.diff(self.provider, request.old_inputs, request.news))

    @rpc
    def Configure(self, request: provider_pb2.ConfigureRequest, ctx: Context) -> provider_pb2.ConfigureResponse:
        """Take the configuration. The flags are for engines that know no Handshake."""
        config.configure(self.provider, ctx, request)
        return provider_pb2.ConfigureResponse(
            acceptSecrets=True, supportsPreview=True, acceptResources=True, supports_autonaming_configuration=True
        )

    @rpc
    def Check(self, request: provider_pb2.CheckRequest, ctx: Context) -> provider_pb2.CheckResponse:
        """All inputs with their defaults, or what is wrong with them."""
        resource, ctx = self._resource(request, ctx)
        news, olds = decode.properties(request.news), decode.properties(request.olds)
        name, autoname = lookup.name_of(request), lookup.autoname(request)
        try:
            checked = operations.check(ctx, resource, news, olds or None, name, autoname)
        except (InputError, InputErrors) as error:
            return check_failures(error, resource.Inputs, news)
        return provider_pb2.CheckResponse(inputs=encode.properties(checked))

    @rpc
    def Diff(self, request: provider_pb2.DiffRequest, ctx: Context) -> provider_pb2.DiffResponse:
        """What going from the old inputs to the new ones does. A refresh asks it of every resource."""
        resource, ctx = self._resource(request, ctx)
        settled = not resource.names_content and unfinished(resource.State).keys().isdisjoint(request.olds.fields)
        if settled and request.old_inputs == request.news:
            return difference.response(Plan())
        state, olds = decode.properties(request.olds), decode.properties(request.old_inputs)
        plan = operations.diff(ctx, resource, request.id, state, olds or state, decode.properties(request.news))
        return difference.response(plan, resource.State)

    @rpc
    def Create(self, request: provider_pb2.CreateRequest, ctx: Context) -> provider_pb2.CreateResponse:
        """Make the object; in a preview, say what it will be."""
        resource, ctx = self._resource(request, ctx)
        inputs = decode.properties(request.properties)
        made = operations.create(ctx, resource, inputs, preview=request.preview)
        return provider_pb2.CreateResponse(id=made.id, properties=encode.properties(made.state))

    @rpc
    def Read(self, request: provider_pb2.ReadRequest, ctx: Context) -> provider_pb2.ReadResponse:
        """The object as it is; an answer without an id says that it is definitely gone."""
        resource, ctx = self._resource(request, ctx)
        found = operations.read(ctx, resource, request.id, *lookup.recorded(resource, request))
        if found is None:
            return provider_pb2.ReadResponse()
        if found.same:
            return provider_pb2.ReadResponse(id=request.id, properties=request.properties, inputs=request.inputs)
        return provider_pb2.ReadResponse(
            id=found.id, properties=encode.properties(found.state), inputs=encode.properties(found.inputs or {})
        )

    @rpc
    def Update(self, request: provider_pb2.UpdateRequest, ctx: Context) -> provider_pb2.UpdateResponse:
        """Change the object in place, or finish a partial create; in a preview, say what it will be."""
        resource, ctx = self._resource(request, ctx)
        state, olds = decode.properties(request.olds), decode.properties(request.old_inputs)
        news = decode.properties(request.news)
        changed = operations.update(ctx, resource, request.id, state, olds or state, news, preview=request.preview)
        return provider_pb2.UpdateResponse(properties=encode.properties(changed.state))

    @rpc
    def Delete(self, request: provider_pb2.DeleteRequest, ctx: Context) -> Empty:
        """Remove the object; one that is gone is a success."""
        resource, ctx = self._resource(request, ctx)
        operations.delete(ctx, resource, request.id, decode.properties(request.properties))
        return Empty()

    @rpc
    def Invoke(self, request: provider_pb2.InvokeRequest, ctx: Context) -> provider_pb2.InvokeResponse:
        """Call a function."""
        function = lookup.by_token(self.provider.functions, request.tok)
        arguments = decode.properties(request.args)
        try:
            result = function.run(ctx, parse(function.Inputs, reveal(arguments)))
        except (InputError, InputErrors) as error:
            failures = check_failures(error, function.Inputs, arguments).failures
            return provider_pb2.InvokeResponse(failures=failures)
        marked = mark_secrets(function.Result, result.wire(), set())
        response = provider_pb2.InvokeResponse()
        getattr(response, "return").CopyFrom(encode.properties(marked))  # the field's name is a keyword of Python
        return response

    @rpc
    def Cancel(self, request: Empty, ctx: Context) -> Empty:
        """Stop what is under way. The engine calls this at the end of every run, so nothing is reported."""
        self.calls.cancel()
        return Empty()

    def _resource(self, request: object, ctx: Context) -> tuple[AnyResource, Context]:
        """The resource a request is about, and a context that ends in the resource's own time if no other is set."""
        resource = lookup.by_token(self.provider.resources, lookup.type_of(request))
        return resource, ctx if ctx.deadline is not None else ctx.limited(resource.timeout)


def serve(servicer: Servicer, address: str = "127.0.0.1:0") -> tuple[grpc.Server, int]:
    """Start serving; returns the server and its port."""
    pool = futures.ThreadPoolExecutor(max_workers=WORKERS, thread_name_prefix="rpc")
    server = grpc.server(pool, options=OPTIONS)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
    port = server.add_insecure_port(address)
    server.start()
    return server, port
