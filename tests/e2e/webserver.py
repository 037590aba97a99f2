"""A web server on the loopback that behaves as told, well or badly."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

Behaviour = Literal["good", "missing", "reset", "short", "stuck"]


@contextmanager
def serving(content: bytes, behaviour: Behaviour = "good") -> Iterator[str]:
    """A URL at which ``content`` is served, is missing, breaks off in a reset, ends early, or stops coming half-way."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, *, body: bool) -> None:
            if behaviour == "missing":
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if not body:
                return
            self.wfile.write(content if behaviour == "good" else content[: len(content) // 2])
            self.wfile.flush()
            if behaviour == "stuck":
                over.wait()
            if behaviour == "reset":
                # A zero linger time makes close() send RST (socket(7), SO_LINGER).
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if behaviour != "good":
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/disk.img"
    finally:
        over.set()
        server.shutdown()
        server.server_close()
        thread.join()
