"""An http server that does what a script says, wrong things above all."""

from __future__ import annotations

import contextlib
import itertools
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Reply:
    """What one connection gets: these bytes, and then an orderly close, a reset, or silence until the test is over."""

    data: bytes | Callable[[Mapping[str, str]], bytes]
    then: str = "close"
    before_silence: Callable[[], None] | None = None


def response(body: bytes, status: str = "200 OK", length: int | None = None, /, **headers: str) -> bytes:
    """An http response; ``length`` overrides what Content-Length says, a negative one leaves it out."""
    lines = [f"HTTP/1.1 {status}", "Connection: close", *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items())]
    if length is None or length >= 0:
        lines.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def part(body: bytes, start: int, total: int, tag: str, **headers: str) -> bytes:
    """A 206 response."""
    span = f"bytes {start}-{start + len(body) - 1}/{total}"
    return response(body, "206 Partial Content", None, ETag=tag, Content_Range=span, **headers)


def rest(body: bytes, tag: str) -> Reply:
    """What a good server says to a request for a range, or for all."""

    def data(request: Mapping[str, str]) -> bytes:
        start = int(request.get("range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        return part(body[start:], start, len(body), tag) if "range" in request else response(body, ETag=tag)

    return Reply(data)


@dataclass
class Server:
    """A running server: its address and the requests it got, each as lower-case headers."""

    url: str
    requests: list[dict[str, str]] = field(default_factory=list)


@contextmanager
def serving(replies: Sequence[Reply | bytes]) -> Iterator[Server]:
    """Serve each connection with the next reply; the last one is repeated."""
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()
    server = Server(f"http://127.0.0.1:{listener.getsockname()[1]}")
    script = [reply if isinstance(reply, Reply) else Reply(reply) for reply in replies]

    def run() -> None:
        threads = []
        for index in itertools.count():
            connection, _ = listener.accept()
            if over.is_set():
                connection.close()
                break
            reply = script[min(index, len(script) - 1)]
            threads.append(threading.Thread(target=_serve, args=(connection, reply, server, over)))
            threads[-1].start()
        for each in threads:
            each.join()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield server
    finally:
        over.set()
        with socket.create_connection(listener.getsockname()):
            thread.join()
        listener.close()


def _serve(connection: socket.socket, reply: Reply, server: Server, over: threading.Event) -> None:
    with connection:
        head = b""
        while b"\r\n\r\n" not in head:
            data = connection.recv(4096)
            if not data:
                return
            head += data
        lines = head.decode().split("\r\n")
        fields = (line.partition(":") for line in lines[1:] if ":" in line)
        request = {"": lines[0]} | {name.lower(): value.strip() for name, _, value in fields}
        server.requests.append(request)
        with contextlib.suppress(OSError):  # the client may have gone
            connection.sendall(reply.data(request) if callable(reply.data) else reply.data)
        if reply.then == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if reply.then == "silence":
            if reply.before_silence:
                reply.before_silence()
            over.wait()
