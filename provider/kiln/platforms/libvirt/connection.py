"""Connections to libvirt: the only module that imports it.

::

    closed ──open, at most 15 s──▶ alive ──call ran out of time, or the connection broke──▶ dead ──next use──▶ closed

Every call runs on a worker thread with a deadline, because libvirt's own calls have none and a daemon that hangs
answers neither them nor ``open``. A connection on which a call ran out of time is never used again: what became of the
call is not known. At most four calls are in flight per connection; libvirtd takes five and would stop reading, and with
that stop answering keepalives, at the fifth.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from kiln.framework.context import Context
from kiln.framework.errors import DeadlineExceeded, KilnError, Unreachable
from kiln.platforms.libvirt.codes import Credential
from kiln.platforms.libvirt.faults import broken, code_of, reach_advice, translate, unopened
from kiln.platforms.libvirt.workers import Task, Workers

T = TypeVar("T")

OPEN_SECONDS = 15.0
CALL_SECONDS = 60.0
CALLS_IN_FLIGHT = 4
KEEPALIVE_SECONDS = 5
KEEPALIVE_MISSES = 5


class Opened:
    """One live connection.

    ``handle`` is a ``virConnect``, ``pools`` are pool objects already looked up on it, and ``facts`` what was read over
    it and only another daemon would tell otherwise (see ``Link.once``).
    """

    def __init__(self, handle: Any, workers: Workers) -> None:
        self.handle = handle
        self.workers = workers
        self.pools: dict[str, Any] = {}
        self.dead = threading.Event()
        self.facts: dict[str, Any] = {}

    def close(self) -> None:
        """Close in the background; a hung daemon must not hold up whoever lets go of it."""
        self.dead.set()
        self.workers.submit(self.handle.close)
        self.workers.close()


class Link:
    """The connection to one URI, opened at first use and again after it died. Safe for any number of threads.

    Args:
        uri: what the user wrote; errors name it.
        address: what is opened (see ``uris.admit``).
    """

    def __init__(self, uri: str, address: str | None = None) -> None:
        self.uri = uri
        self._address = address or uri
        self._lock = threading.Lock()
        self._opened: Opened | None = None
        self._opening: Task[Opened] | None = None

    def run(self, ctx: Context, doing: object, work: Callable[[Opened], T], *, seconds: float = CALL_SECONDS) -> T:
        """Run ``work``, one or more libvirt calls, with a deadline of ``seconds`` or the context's if that is nearer.

        ``doing`` is a verb phrase for errors, "define guest 'web'", or something whose text is one when they are told.

        Raises:
            Unreachable: the node does not answer.
            DeadlineExceeded: it did not answer in time; the connection is given up.
            Cancelled: the user interrupted, and the call did not end within a few seconds either.
            KilnError: what libvirt said, translated (see ``faults``).
        """
        ctx.check(str(doing))
        opened = self.open(ctx)
        return self.wait(ctx, doing, opened, opened.workers.submit(lambda: work(opened)), seconds=seconds)

    def once(self, ctx: Context, doing: str, read: Callable[[Opened], T]) -> T:
        """What ``read`` returns, kept under ``doing`` as long as the connection lives. Raises as ``run`` does.

        Two who ask at once may both read."""
        facts = self.open(ctx).facts
        if doing not in facts:
            facts[doing] = self.run(ctx, doing, read)
        found: T = facts[doing]
        return found

    def wait(
        self,
        ctx: Context,
        doing: object,
        opened: Opened,
        task: Task[T],
        *,
        seconds: float = CALL_SECONDS,
        shared: bool = False,
    ) -> T:
        """What ``task``, submitted to ``opened``, returns; raises as ``run`` does. Others wait for a ``shared`` one."""
        try:
            return task.result(ctx, doing, seconds, shared=shared)
        except DeadlineExceeded as error:
            if task.begun:
                opened.dead.set()
            error.action = error.action or reach_advice(self.uri, "")
            raise error.at(node=self.uri) from None
        except KilnError as error:
            error.at(node=self.uri)
            raise
        except ConnectionAbortedError as error:
            raise Unreachable(f"could not {doing}", cause=str(error), action="run again").at(node=self.uri) from error
        except Exception as error:
            if code_of(error) is None:
                raise
            if broken(error):
                opened.dead.set()
            raise translate(error, str(doing), self.uri) from error

    def open(self, ctx: Context) -> Opened:
        """The live connection. Raises Unreachable after at most 15 s; many callers share one attempt."""
        attempt = self._current()
        if isinstance(attempt, Opened):
            return attempt
        doing = f"connect to {self.uri}"
        try:
            return attempt.result(ctx, doing, OPEN_SECONDS)
        except DeadlineExceeded as error:
            self._forget(attempt)
            cause = "the daemon does not answer, or the network drops what is sent to it"
            raise Unreachable(error.what, cause=cause, action=reach_advice(self.uri, cause)).at(
                node=self.uri
            ) from error
        except Exception as error:
            if code_of(error) is None:
                raise
            raise unopened(error, doing, self.uri) from error

    def close(self) -> None:
        """Let go of the connection, if there is one."""
        with self._lock:
            opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()

    def _current(self) -> Opened | Task[Opened]:
        with self._lock:
            if self._opened is not None and self._opened.dead.is_set():
                self._opened.close()
                self._opened = None
            if self._opened is not None:
                return self._opened
            if self._opening is None:
                self._opening = self._attempt()
            return self._opening

    def _attempt(self) -> Task[Opened]:
        workers = Workers(CALLS_IN_FLIGHT, "libvirt")

        def connect() -> Opened:
            with self._lock:
                pass  # held by our caller until ``task`` is bound and in place
            try:
                opened = _open(self._address, workers)
            except BaseException:
                self._forget(task)
                workers.close()
                raise
            with self._lock:
                wanted = self._opening is task
                if wanted:
                    self._opened, self._opening = opened, None
            if not wanted:  # every caller has given up waiting for it
                opened.close()
            return opened

        task = workers.submit(connect)
        return task

    def _forget(self, attempt: Task[Opened]) -> None:
        with self._lock:
            if self._opening is attempt:
                self._opening = None


def _open(address: str, workers: Workers) -> Opened:
    library = _library()
    refuse = [[Credential.AUTHNAME, Credential.PASSPHRASE], lambda *_: -1, None]
    handle = library.openAuth(address, refuse, 0)
    opened = Opened(handle, workers)
    # Drivers inside this process (the test driver) have neither.
    with contextlib.suppress(library.libvirtError):
        handle.setKeepAlive(KEEPALIVE_SECONDS, KEEPALIVE_MISSES)
    with contextlib.suppress(library.libvirtError):
        handle.registerCloseCallback(lambda *_: opened.dead.set(), None)
    return opened


_loaded: list[Any] = []
_loading = threading.Lock()


def _library() -> Any:
    """The libvirt module, with its event loop running; libvirt allows one event loop in a process and no more."""
    with _loading:
        if not _loaded:
            import libvirt

            libvirt.registerErrorHandler(lambda *_: None, None)  # libvirt would print every error
            libvirt.virEventRegisterDefaultImpl()
            threading.Thread(target=_run_events, args=(libvirt,), name="libvirt-events", daemon=True).start()
            _loaded.append(libvirt)
        return _loaded[0]


def _run_events(library: Any) -> None:
    while True:
        try:
            library.virEventRunDefaultImpl()
        except library.libvirtError:
            time.sleep(1)


def agent_command(domain: Any, command: str, seconds: int) -> str:
    """Send a guest-agent command over ``domain`` (a ``virDomain``); runs on a worker thread. Raises libvirtError."""
    import libvirt_qemu

    return str(libvirt_qemu.qemuAgentCommand(domain, command, seconds, 0))
