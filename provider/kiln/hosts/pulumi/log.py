"""Messages for the user, sent to the engine: the only output of a plugin that Pulumi shows.

Each message belongs to a resource's URN. Progress is sent as ephemeral messages of a stream of their own: the display
shows the latest one beside the resource and forgets it. A message that cannot be delivered is dropped, because a run
must not fail for want of someone to tell.
"""

from __future__ import annotations

import threading
import time

import grpc

from kiln.hosts.pulumi.proto import engine_pb2, engine_pb2_grpc

SEND_SECONDS = 2.0
"""How long a message may hold up the work it tells about."""

STATUS_SECONDS = 0.25
"""The least time between two progress messages of one operation."""

STATUS_STREAM = 1
"""Messages of one stream are shown as one text, so progress must not share stream 0 with what is to be kept."""


class EngineLog:
    """The connection to the engine that messages go through; it can be pointed at another engine at any time."""

    def __init__(self, address: str = "") -> None:
        self._lock = threading.Lock()
        self._channel: grpc.Channel | None = None
        self._address = ""
        self.connect(address)

    def connect(self, address: str) -> None:
        """Send to the engine at ``address`` (host:port) from now on; an empty one changes nothing."""
        if not address:
            return
        with self._lock:
            if address == self._address:
                return
            old, self._address = self._channel, address
            self._channel = grpc.insecure_channel(address)
        if old is not None:
            old.close()

    def close(self) -> None:
        """Let go of the connection; later messages are dropped."""
        with self._lock:
            old, self._channel, self._address = self._channel, None, ""
        if old is not None:
            old.close()

    def bound(self, urn: str) -> ResourceLog:
        """A log for the operation on one resource."""
        return ResourceLog(self, urn)

    def send(self, request: engine_pb2.LogRequest) -> None:
        """Deliver one message, or drop it when the engine does not take it."""
        with self._lock:
            channel = self._channel
        if channel is None:
            return
        try:
            engine_pb2_grpc.EngineStub(channel).Log(request, timeout=SEND_SECONDS)
        except (grpc.RpcError, ValueError):  # ValueError: the channel was closed meanwhile
            return


class ResourceLog:
    """``framework.context.Log`` for one operation on the resource ``urn``."""

    def __init__(self, engine: EngineLog, urn: str) -> None:
        self._engine = engine
        self._urn = urn
        self._next_status = 0.0

    def info(self, message: str) -> None:
        """Tell the user something worth keeping."""
        self._send(engine_pb2.INFO, message)

    def warning(self, message: str) -> None:
        """Tell the user something they should act on."""
        self._send(engine_pb2.WARNING, message)

    def debug(self, message: str) -> None:
        """Tell a developer something; shown with ``--debug``."""
        self._send(engine_pb2.DEBUG, message)

    def status(self, message: str) -> None:
        """Show progress beside the resource; messages that come too fast are dropped."""
        now = time.monotonic()
        if now < self._next_status:
            return
        self._next_status = now + STATUS_SECONDS
        self._engine.send(
            engine_pb2.LogRequest(
                severity=engine_pb2.INFO, message=message, urn=self._urn, streamId=STATUS_STREAM, ephemeral=True
            )
        )

    def _send(self, severity: engine_pb2.LogSeverity.ValueType, message: str) -> None:
        self._engine.send(engine_pb2.LogRequest(severity=severity, message=message, urn=self._urn))
