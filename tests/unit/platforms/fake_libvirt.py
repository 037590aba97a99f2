"""As much of the libvirt module as a connection needs, with a daemon that can be made to hang, break and refuse."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kiln.framework.context import Context
from kiln.platforms.libvirt.connection import CALLS_IN_FLIGHT, Link, Opened


class FakeError(Exception):
    """A libvirtError by its shape."""

    def __init__(self, code: int, message: str = "it failed", domain: int = 10) -> None:
        super().__init__(message)
        self.code, self.message, self.domain = code, message, domain

    def get_error_code(self) -> int:
        return self.code

    def get_error_message(self) -> str:
        return self.message

    def get_error_domain(self) -> int:
        return self.domain


class FakeConnect:
    """A ``virConnect``."""

    def __init__(self, library: FakeLibvirt) -> None:
        self.library = library
        self.closed = threading.Event()
        self.on_close: Callable[..., None] | None = None

    def getHostname(self) -> str:
        self.library.serve()
        return "host"

    def setKeepAlive(self, _interval: int, _count: int) -> None:
        if not self.library.keeps_alive:
            raise FakeError(3, "not supported by the connection driver")

    def registerCloseCallback(self, callback: Callable[..., None], _opaque: object) -> None:
        self.on_close = callback

    def close(self) -> None:
        self.closed.set()
        self.library.closings.release()


class FakeLibvirt:
    """The module. ``hang`` blocks calls until it is set again; ``error`` is raised by them."""

    libvirtError = FakeError

    def __init__(self) -> None:
        self.free = threading.Event()
        self.free.set()
        self.closings = threading.Semaphore(0)
        self.error: FakeError | None = None
        self.keeps_alive = True
        self.opened: list[FakeConnect] = []
        self.addresses: list[str] = []

    def openAuth(self, address: str, _auth: Any, _flags: int) -> FakeConnect:
        self.addresses.append(address)
        self.serve()
        self.opened.append(FakeConnect(self))
        return self.opened[-1]

    def serve(self) -> None:
        assert self.free.wait(30)
        if self.error is not None:
            raise self.error


@contextmanager
def occupied(link: Link, seconds: float | None = None) -> Iterator[None]:
    """All threads that make the link's calls are busy: until the end, or for so many seconds."""
    busy, release = threading.Barrier(CALLS_IN_FLIGHT + 1), threading.Event()

    def occupy(_opened: Opened) -> None:
        busy.wait()
        assert release.wait(10)

    link.open(Context())
    threads = [threading.Thread(target=link.run, args=(Context(), "occupy", occupy)) for _ in range(CALLS_IN_FLIGHT)]
    for thread in threads:
        thread.start()
    busy.wait()
    if seconds is not None:
        threads.append(threading.Timer(seconds, release.set))
        threads[-1].start()
    try:
        yield
    finally:
        release.set()
        for thread in threads:
            thread.join()
