"""A guest's serial console as a stream of bytes.

The stream does not block: libvirt's event loop hands over what the guest wrote, which waits in a bounded buffer for the
reader. A reader that falls behind loses the oldest output, never the guest's progress.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any

from kiln.framework.context import Context
from kiln.framework.errors import KilnError
from kiln.platforms.libvirt.codes import ConsoleFlag, StreamEvent, StreamFlag
from kiln.platforms.libvirt.connection import Link, Opened

BUFFER_BYTES = 4 << 20
_PIECE = 64 << 10
_CLOSE_SECONDS = 5.0


class StreamConsole:
    """Fits ``ports.Console``. Made by ``open_console`` on a worker thread of the link."""

    def __init__(self, link: Link, stream: Any) -> None:
        self._link = link
        self._stream = stream
        self._buffer = bytearray()
        self._changed = threading.Condition()
        self._ended = False
        self._closed = False

    def read(self, ctx: Context, seconds: float) -> bytes:
        """What the guest wrote since the last call; waits up to ``seconds`` for the first byte, then b"".

        After the guest has gone every call waits its whole time, so that a polling caller does not spin.
        """
        ctx.check("reading the console")
        give_up = time.monotonic() + ctx.remaining(seconds)

        def awake() -> None:
            with self._changed:
                self._changed.notify_all()

        with ctx.cancellation.on_cancel(awake), self._changed:
            self._changed.wait_for(
                lambda: self._buffer or ctx.cancellation.cancelled, max(0.0, give_up - time.monotonic())
            )
            data = bytes(self._buffer)
            self._buffer.clear()
        if not data:
            ctx.check("reading the console")
        return data

    def close(self) -> None:
        """End the stream; the guest is not disturbed."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
        with contextlib.suppress(KilnError):
            self._link.run(Context().limited(_CLOSE_SECONDS), "close the console", lambda _: self._release())

    def receive(self, _stream: Any, events: int, _opaque: Any) -> None:
        """Take over what the guest wrote; called by libvirt's event loop, which an error must never reach."""
        with self._changed:
            if self._closed or self._ended:
                return
            try:
                self._take()
            except Exception:
                self._ended = True
            if events & (StreamEvent.ERROR | StreamEvent.HANGUP):
                self._ended = True
            if self._ended:
                # A stream that has ended stays "readable", and the loop would call for ever.
                with contextlib.suppress(Exception):
                    self._stream.eventRemoveCallback()
            self._changed.notify_all()

    def _take(self) -> None:
        while isinstance(piece := self._stream.recv(_PIECE), bytes):
            if not piece:
                self._ended = True
                return
            self._buffer += piece
            del self._buffer[:-BUFFER_BYTES]

    def _release(self) -> None:
        if not self._ended:
            with contextlib.suppress(Exception):
                self._stream.eventRemoveCallback()
        with contextlib.suppress(Exception):
            self._stream.abort()


def open_console(link: Link, opened: Opened, domain: Any) -> StreamConsole:
    """The console of ``domain`` (a ``virDomain`` of ``opened``), taken over from whoever has it open.

    Runs on a worker thread. Raises libvirtError.
    """
    stream = opened.handle.newStream(StreamFlag.NONBLOCK)
    domain.openConsole(None, stream, ConsoleFlag.FORCE)
    console = StreamConsole(link, stream)
    stream.eventAddCallback(StreamEvent.READABLE | StreamEvent.ERROR | StreamEvent.HANGUP, console.receive, None)
    return console
