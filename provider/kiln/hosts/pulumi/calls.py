"""What every RPC shares: a context with deadline, log and cancellation, and the conversion of errors."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, Concatenate, Protocol, TypeVar

import grpc

from kiln.framework.context import Cancellation, Context, StepObserver
from kiln.framework.errors import KilnError
from kiln.framework.operations import Partial
from kiln.hosts.pulumi import decode, lookup
from kiln.hosts.pulumi.errors import Failure, MissingConfiguration, failure
from kiln.hosts.pulumi.log import EngineLog
from kiln.hosts.pulumi.proto import provider_pb2

Request = TypeVar("Request")
Response = TypeVar("Response")


class Calls:
    """The operations under way. ``observer`` sees each step of each of them."""

    def __init__(self, engine: EngineLog, observer: StepObserver | None = None) -> None:
        self.engine = engine
        self._observer = observer
        self._lock = threading.Lock()
        self._under_way: set[Cancellation] = set()

    @contextmanager
    def begin(self, request: Any) -> Iterator[Context]:
        """The context of the operation that ``request`` asks for; it ends with the block."""
        cancellation = Cancellation()
        urn = getattr(request, "urn", "")
        timeout = getattr(request, "timeout", 0.0)
        ctx = Context(
            log=self.engine.bound(urn),
            cancellation=cancellation,
            deadline=time.monotonic() + timeout if timeout else None,
            urn=urn,
            preview=getattr(request, "preview", False),
            observer=self._observer,
        )
        with self._lock:
            self._under_way.add(cancellation)
        try:
            yield ctx
        finally:
            with self._lock:
                self._under_way.discard(cancellation)

    def cancel(self) -> None:
        """Cancel all operations under way. Later ones are not affected: an attached plugin serves many runs."""
        with self._lock:
            under_way = list(self._under_way)
        for cancellation in under_way:
            cancellation.cancel()


class HasCalls(Protocol):
    """A servicer whose RPCs are made with ``rpc``."""

    calls: Calls

    @property
    def homepage(self) -> str:
        """Where defects are reported."""


S = TypeVar("S", bound=HasCalls)
Method = Callable[[S, Any, Context], Response]
Rpc = Callable[[S, Any, grpc.ServicerContext], Response]


def rpc(method: Callable[Concatenate[S, Request, Context, ...], Response]) -> Rpc[S, Response]:
    """Make an RPC of a method that takes a request and a ``framework.context.Context`` and raises ``KilnError``."""

    @wraps(method)
    def serve(self: S, request: Any, wire: grpc.ServicerContext) -> Response:
        with self.calls.begin(request) as ctx:
            try:
                return method(self, request, ctx)
            except Exception as error:
                told = _tell(self, ctx, request, error)
        wire.set_trailing_metadata(told.metadata)
        wire.abort(told.code, told.message)

    return serve


def _tell(servicer: HasCalls, ctx: Context, request: Any, error: Exception) -> Failure:
    if not isinstance(error, KilnError | Partial | MissingConfiguration):
        ctx.log.debug(traceback.format_exc())
    inputs = None
    if isinstance(error, Partial):
        field = "news" if "news" in request.DESCRIPTOR.fields_by_name else "properties"
        inputs = decode.properties(getattr(request, field))
    # The engine prints what fails in a Diff by itself when it shows diffs, and all else under its resource.
    alone = isinstance(request, provider_pb2.DiffRequest) and request.urn
    about = lookup.called(request) if alone else ""
    return failure(error, servicer.homepage, inputs, about)
