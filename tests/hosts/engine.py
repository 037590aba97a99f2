"""Pulumi's side of the wire for tests: an engine that keeps what it is told, and a client of a served provider."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent import futures
from functools import cache
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.empty_pb2 import Empty
from google.protobuf.struct_pb2 import Struct
from kiln.framework.context import StepObserver
from kiln.framework.values import reveal
from kiln.hosts.dynamic.resources import DynamicResource
from kiln.hosts.dynamic.server import LOGICAL_NAME, Stub
from kiln.hosts.pulumi import decode, encode
from kiln.hosts.pulumi.errors import DETAILS_KEY
from kiln.hosts.pulumi.log import EngineLog
from kiln.hosts.pulumi.proto import engine_pb2, engine_pb2_grpc, provider_pb2, provider_pb2_grpc, status_pb2
from kiln.hosts.pulumi.server import Servicer, serve

URN = "urn:pulumi:dev::project::toy:index:Thing::"
TYPE = "toy:index:Thing"
PROVIDER_KEY = "__provider"


class FakeEngine(engine_pb2_grpc.EngineServicer):
    """Keeps every message it is sent."""

    def __init__(self) -> None:
        self.messages: list[engine_pb2.LogRequest] = []
        self._server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
        engine_pb2_grpc.add_EngineServicer_to_server(self, self._server)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def Log(self, request: engine_pb2.LogRequest, context: grpc.ServicerContext) -> Empty:
        self.messages.append(request)
        return Empty()

    def texts(self) -> list[str]:
        return [message.message for message in self.messages]

    def stop(self) -> None:
        self._server.stop(None).wait()


class Client:
    """One kind of a served provider, spoken to in plain data. ``world`` is what its objects are in."""

    def __init__(self, channel: grpc.Channel, world: Any, type: str = TYPE) -> None:
        self.stub = provider_pb2_grpc.ResourceProviderStub(channel)
        self.world = world
        self.type = type
        self.urn = f"urn:pulumi:dev::project::{type}::"
        self._channel = channel

    def stop(self) -> None:
        self._channel.close()

    def _bag(self, data: Mapping[str, Any]) -> Struct:
        return encode.properties(data)

    def _inputs(self, name: str, data: Mapping[str, Any]) -> Struct:
        """What a program registers."""
        return self._bag(data)

    def check(
        self, name: str, news: Mapping[str, Any], olds: Mapping[str, Any] | None = None, **more: Any
    ) -> provider_pb2.CheckResponse:
        request = provider_pb2.CheckRequest(
            urn=self.urn + name,
            name=name,
            type=self.type,
            news=self._inputs(name, news),
            olds=self._bag(olds) if olds else None,
            **more,
        )
        response: provider_pb2.CheckResponse = self.stub.Check(request)
        return response

    def checked(self, name: str, news: Mapping[str, Any], olds: Mapping[str, Any] | None = None) -> dict[str, Any]:
        response = self.check(name, news, olds)
        assert not response.failures, response.failures
        return decode.properties(response.inputs)

    def create(
        self, name: str, inputs: Mapping[str, Any], *, preview: bool = False, timeout: float = 0
    ) -> tuple[str, dict[str, Any]]:
        response = self.stub.Create(self.create_request(name, inputs, preview=preview, timeout=timeout))
        return response.id, decode.properties(response.properties)

    def create_request(
        self, name: str, inputs: Mapping[str, Any], *, preview: bool = False, timeout: float = 0
    ) -> provider_pb2.CreateRequest:
        return provider_pb2.CreateRequest(
            urn=self.urn + name,
            name=name,
            type=self.type,
            properties=self._bag(inputs),
            preview=preview,
            timeout=timeout,
        )

    def diff(
        self, id: str, state: Mapping[str, Any], olds: Mapping[str, Any], news: Mapping[str, Any]
    ) -> provider_pb2.DiffResponse:
        request = provider_pb2.DiffRequest(
            id=id,
            urn=self.urn + "one",
            type=self.type,
            olds=self._bag(state),
            old_inputs=self._bag(olds),
            news=self._bag(news),
        )
        response: provider_pb2.DiffResponse = self.stub.Diff(request)
        return response

    def read(
        self, id: str, inputs: Mapping[str, Any] | None = None, state: Mapping[str, Any] | None = None
    ) -> provider_pb2.ReadResponse:
        request = provider_pb2.ReadRequest(id=id, urn=self.urn + "one", type=self.type)
        if inputs is not None:
            request.inputs.CopyFrom(self._bag(inputs))
        if state is not None:
            request.properties.CopyFrom(self._bag(state))
        response: provider_pb2.ReadResponse = self.stub.Read(request)
        return response

    def update(
        self,
        id: str,
        state: Mapping[str, Any],
        olds: Mapping[str, Any],
        news: Mapping[str, Any],
        *,
        preview: bool = False,
    ) -> dict[str, Any]:
        request = provider_pb2.UpdateRequest(
            id=id,
            urn=self.urn + "one",
            type=self.type,
            olds=self._bag(state),
            old_inputs=self._bag(olds),
            news=self._bag(news),
            preview=preview,
        )
        return decode.properties(self.stub.Update(request).properties)

    def delete(self, id: str, state: Mapping[str, Any]) -> None:
        properties = self._bag(state)
        self.stub.Delete(provider_pb2.DeleteRequest(id=id, urn=self.urn + "one", type=self.type, properties=properties))

    def start_create(self, name: str, inputs: Mapping[str, Any]) -> futures.Future[tuple[str, dict[str, Any]]]:
        """A create in a thread of its own."""
        future: futures.Future[tuple[str, dict[str, Any]]] = futures.Future()

        def work() -> None:
            try:
                future.set_result(self.create(name, inputs))
            except grpc.RpcError as error:
                future.set_exception(error)

        threading.Thread(target=work, daemon=True).start()
        return future


class Plugin(Client):
    """A provider served by the Pulumi host in this process."""

    def __init__(
        self,
        provider: Any,
        engine: FakeEngine,
        observer: StepObserver | None = None,
        *,
        type: str = TYPE,
        config: Mapping[str, Any] | None = None,
        world: Any = None,
    ) -> None:
        self.provider = provider
        self._config = {"must": "yes"} if config is None else config
        self._engine = engine
        self._log = EngineLog(engine.address)
        servicer = Servicer(self._log, observer)
        servicer.load(lambda: provider)
        self._server, port = serve(servicer)
        within = provider.world if world is None else world
        super().__init__(grpc.insecure_channel(f"127.0.0.1:{port}"), within, type)

    def start(self) -> None:
        """What the engine does before it uses a resource."""
        self.stub.Handshake(provider_pb2.ProviderHandshakeRequest(engine_address=self._engine.address))
        self.stub.Configure(provider_pb2.ConfigureRequest(args=encode.properties(self._config)))

    def stop(self) -> None:
        super().stop()
        self._server.stop(None).wait()
        self._log.close()


class DynamicProcess:
    """Pulumi's own dynamic plugin, a process of its own. ``command`` is what it is started by."""

    def __init__(self, config: Mapping[str, Any], command: Sequence[str] = ("-m", "pulumi.dynamic")) -> None:
        root = Path(__file__).parents[2]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(root / "provider"), str(root)])}
        argv = [sys.executable, "-u", *command]
        self._process = subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.address = f"127.0.0.1:{self._process.stdout.readline().strip()}"
        with grpc.insecure_channel(self.address) as channel:
            request = provider_pb2.ConfigureRequest(args=encode.properties(config))
            provider_pb2_grpc.ResourceProviderStub(channel).Configure(request)

    def stop(self) -> None:
        self._process.terminate()
        self._process.communicate()


class DynamicPlugin(Client):
    """The resources of a class served by Pulumi's dynamic plugin."""

    def __init__(self, process: DynamicProcess, resource: type[DynamicResource], world: Any, module: str) -> None:
        type = f"pulumi-python:dynamic/{module}:{resource.__name__}"
        super().__init__(grpc.insecure_channel(process.address), world, type)
        self._stub = _serialized(resource._stub)

    def _bag(self, data: Mapping[str, Any]) -> Struct:
        """The engine does not send secrets to a provider that does not say it accepts them."""
        return encode.properties({**reveal(data), PROVIDER_KEY: self._stub})

    def _inputs(self, name: str, data: Mapping[str, Any]) -> Struct:
        return self._bag({**data, LOGICAL_NAME: name})


@cache
def _serialized(stub: Stub) -> str:
    """The stub as it is stored with each resource. Pulumi wraps the pickler's way with dicts once more each time, so
    that after some 900 times no dict can be pickled in this process; a stub holds none."""
    from pulumi.dynamic.dynamic import serialize_provider

    return str(serialize_provider(stub))


def detail(error: Any, kind: Any) -> Any:
    """The typed detail of a failed call."""
    for key, value in error.trailing_metadata():
        if key == DETAILS_KEY:
            status = status_pb2.Status.FromString(value)
            message = kind()
            packed: AnyMessage = status.details[0]
            assert packed.Unpack(message), packed.type_url
            return message
    raise AssertionError("the error carries no detail")
