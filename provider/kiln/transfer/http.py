"""Downloads over http and https that survive an unreliable network.

A transfer that breaks is resumed by a range request, but only while the server shows the same strong entity tag (RFC
9110 sections 8.8.3 and 13.1.5); otherwise it begins anew. Server errors, lost connections and short bodies are tried
again with growing pauses, or after the pause that the server asks for. A wait ends at once on cancellation.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, InvalidStateError, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from kiln.framework.context import Context
from kiln.framework.errors import InputError
from kiln.transfer import responses
from kiln.transfer.progress import Progress
from kiln.transfer.responses import Restart, Transient
from kiln.transfer.sink import Sink
from kiln.transfer.source import Url

if TYPE_CHECKING:
    import requests
    from urllib3.util import Retry

CHUNK = 64 << 10
MAX_REDIRECTS = 5
_MAX_PAUSE = 60.0
_POLL = 0.1


@dataclass(frozen=True)
class Patience:
    """How long to wait and how often to try, in seconds and attempts.

    ``attempts`` count from the last time that bytes arrived, ``in_all`` from the beginning.
    """

    connect: float = 15.0
    stall: float = 60.0
    attempts: int = 5
    in_all: int = 50
    backoff: float = 0.5


@dataclass
class _Transfer:
    """How far a download is: bytes taken (and at the failure before), and their entity tag when it is strong.

    ``conditions`` are the headers of a request that is answered by 304 while the content is what was taken.
    """

    received: int = 0
    tag: str = ""
    conditions: Mapping[str, str] = field(default_factory=dict)
    tries: int = 0
    seen: int = 0

    def note(self, error: Transient) -> None:
        """Note a failed attempt."""
        self.tries += 1
        self.seen = self.received
        if isinstance(error, Restart):
            self.received, self.tag = 0, ""


def download(
    ctx: Context, source: Url, sink: Sink, path: str = "source", patience: Patience | None = None
) -> Mapping[str, str]:
    """Give all bytes of ``source`` to ``sink``, as they come over the wire (no content coding is undone).

    Returns:
        What ``unchanged`` asks the server by, empty when the server told nothing that content is known by.

    Raises:
        InputError: at property ``path``: the URL, or what is behind it, cannot be used (404, a redirect to ``file:``).
        InputError: too, when the server or the network failed too often. Flaw, OSError: of the sink.
        Cancelled, DeadlineExceeded: it was time to stop.
    """
    import requests

    patience = patience or Patience()
    doing = f"fetching {source.name}"
    transfer, progress, retry = _Transfer(), Progress(ctx, doing, None), _retry(patience)
    with requests.Session() as session:
        session.max_redirects = MAX_REDIRECTS
        while True:
            try:
                _attempt(ctx, session, source, sink, path, patience, transfer, progress)
                return transfer.conditions
            except Transient as error:
                ctx.check(doing)
                if transfer.received > transfer.seen:
                    retry = _retry(patience)
                transfer.note(error)
                retry = _next(retry, transfer, patience, (source, path), error)
                ctx.log.status(f"{doing}: {error}; trying again")
                ctx.sleep(min(_MAX_PAUSE, error.pause or retry.get_backoff_time()), doing)


def unchanged(ctx: Context, source: Url, conditions: Mapping[str, str], patience: Patience | None = None) -> bool:
    """Whether the server says that ``source`` is what a download with these ``conditions`` gave. One attempt; whatever
    goes wrong with it is told by the download that follows. Raises Cancelled, DeadlineExceeded.
    """
    import requests

    if not conditions:
        return False
    headers = {**_headers(_Transfer()), **conditions}
    with requests.Session() as session, contextlib.suppress(Transient, InputError), responses.told(source, "source"):
        session.max_redirects = MAX_REDIRECTS
        with contextlib.closing(_ask(ctx, session, source, headers, patience or Patience())) as response:
            return bool(response.status_code == requests.codes.not_modified)
    return False


def _attempt(
    ctx: Context,
    session: requests.Session,
    source: Url,
    sink: Sink,
    path: str,
    patience: Patience,
    transfer: _Transfer,
    progress: Progress,
) -> None:
    with responses.told(source, path):
        response = _ask(ctx, session, source, _headers(transfer), patience)
    with contextlib.closing(response), responses.told(source, path):
        begins = responses.begin(response, source, path, transfer.received, transfer.tag)
        if begins.offset != transfer.received or begins.offset == 0:
            sink.restart()
        transfer.received, transfer.tag, progress.total = begins.offset, begins.tag, begins.total
        transfer.conditions = begins.conditions
        progress.restart(begins.offset)
        with _stopped_by(ctx, response.raw):
            for data in response.raw.stream(CHUNK, decode_content=False):
                sink.write(data)
                transfer.received += len(data)
                progress.add(len(data))
        ctx.check(f"fetching {source.name}")
        responses.require_whole(transfer.received, begins.total)


def _ask(
    ctx: Context, session: requests.Session, source: Url, headers: Mapping[str, str], patience: Patience
) -> requests.Response:
    """The response to a request, its body not read yet."""
    timeout = (ctx.remaining(patience.connect) or 0.001, ctx.remaining(patience.stall) or 0.001)
    get = partial(session.get, source.url, headers=headers, timeout=timeout, stream=True)
    return _patiently(ctx, get, f"fetching {source.name}")


def _headers(transfer: _Transfer) -> Mapping[str, str]:
    headers = {"Accept-Encoding": "identity", "User-Agent": "kiln"}
    if transfer.received and transfer.tag:
        headers |= {"Range": f"bytes={transfer.received}-", "If-Range": transfer.tag}
    return headers


def _retry(patience: Patience) -> Retry:
    from urllib3.util import Retry

    return Retry(total=patience.attempts - 1, backoff_factor=patience.backoff, backoff_max=_MAX_PAUSE)


def _next(retry: Retry, transfer: _Transfer, patience: Patience, asked: tuple[Url, str], error: Transient) -> Retry:
    """The retry state after a failure. Raises InputError, at the property ``asked`` for, when it was one too many."""
    from urllib3.exceptions import MaxRetryError

    source, path = asked

    with contextlib.suppress(MaxRetryError):
        if transfer.tries < patience.in_all:
            return retry.increment(method="GET", url=source.name)
    raise InputError(
        path,
        f"{source.name} could not be fetched, after {transfer.tries} attempts",
        cause=str(error),
        action="check the address, the server and the network (proxy variables too), then run again",
    ) from error


def _patiently(ctx: Context, call: Callable[[], requests.Response], doing: str) -> requests.Response:
    """The result of ``call``, which may block (name service, connecting, waiting for headers) and cannot be stopped.

    It runs in a thread of its own that is left behind when it is time to stop; its own time-outs end it.
    """
    outcome: Future[requests.Response] = Future()

    def run() -> None:
        try:
            response = call()
        except BaseException as error:
            with contextlib.suppress(InvalidStateError):
                outcome.set_exception(error)
            return
        try:
            outcome.set_result(response)
        except InvalidStateError:
            response.close()

    threading.Thread(target=run, name="fetch", daemon=True).start()
    try:
        while not wait([outcome], _POLL).done:
            ctx.check(doing)
    except BaseException:
        if not outcome.cancel() and outcome.exception() is None:
            outcome.result().close()
        raise
    return outcome.result()


@contextmanager
def _stopped_by(ctx: Context, raw: Any) -> Iterator[None]:
    """End a blocked read when the context is cancelled or its deadline passes."""

    def stop() -> None:
        with contextlib.suppress(OSError, ValueError):
            raw.shutdown()

    seconds = ctx.remaining(threading.TIMEOUT_MAX)
    timer = threading.Timer(seconds, stop) if seconds < threading.TIMEOUT_MAX else None
    if timer:
        timer.daemon = True
        timer.start()
    try:
        with ctx.cancellation.on_cancel(stop):
            yield
    finally:
        if timer:
            timer.cancel()
