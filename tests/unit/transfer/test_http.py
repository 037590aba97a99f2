"""Downloads survive what a network does, and say what they could not survive."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pytest
from kiln.framework.context import Context
from kiln.framework.errors import Cancelled, DeadlineExceeded, InputError, KilnError
from kiln.transfer.http import Patience, download
from kiln.transfer.source import Url

from tests.unit.transfer.server import Reply, Server, part, response, rest, serving

BODY = b"".join(hashlib.sha256(bytes([i])).digest() for i in range(64)) * 100
HALF = len(BODY) // 2
QUICK = Patience(attempts=3, in_all=10, backoff=0.001)


class Memory:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.data = b""
        self.restarts = 0

    def write(self, data: bytes) -> None:
        self.data += data

    def restart(self) -> None:
        self.restarts += 1
        self.data = b""

    def finish(self) -> None:
        """Nothing is left to do."""


class Statuses:
    """A log that keeps the status lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def status(self, message: str) -> None:
        self.lines.append(message)

    def info(self, message: str) -> None: ...
    def warning(self, message: str) -> None: ...
    def debug(self, message: str) -> None: ...


def fetch(server: Server, ctx: Context | None = None) -> bytes:
    sink = Memory()
    source = Url(f"{server.url}/disk.img?token=s3cret", f"{server.url}/disk.img")
    download(ctx or Context(), source, sink, "source", QUICK)
    return sink.data


def failure(replies: Sequence[Reply | bytes]) -> KilnError:
    with serving(replies) as server, pytest.raises(KilnError) as caught:
        fetch(server)
    assert "s3cret" not in str(caught.value)
    assert "Next:" in str(caught.value)
    return caught.value


def test_a_body_arrives_as_sent() -> None:
    with serving([response(BODY)]) as server:
        assert fetch(server) == BODY
    assert server.requests[0]["accept-encoding"] == "identity"


def test_a_body_without_a_length_arrives() -> None:
    with serving([response(BODY, "200 OK", -1)]) as server:
        assert fetch(server) == BODY


def test_a_content_coding_is_not_undone() -> None:
    with serving([response(b"\x1f\x8b\x08 still packed", Content_Encoding="gzip")]) as server:
        assert fetch(server) == b"\x1f\x8b\x08 still packed"


@pytest.mark.parametrize("status", ["404 Not Found", "403 Forbidden", "401 Unauthorized", "410 Gone", "418 Teapot"])
def test_a_refusal_is_named_once_at_the_property(status: str) -> None:
    error = failure([response(b"", status)])
    assert isinstance(error, InputError)
    assert error.path == "source"
    assert status in str(error)


def test_server_errors_are_tried_again() -> None:
    with serving([response(b"", "503 Busy", Retry_After="0"), response(b"", "429 Slow"), response(BODY)]) as server:
        assert fetch(server) == BODY
    assert len(server.requests) == 3


def test_a_server_that_stays_broken_is_told_with_its_last_words() -> None:
    error = failure([response(b"", "502 Bad Gateway")])
    assert "after 3 attempts" in str(error)
    assert "502 Bad Gateway" in str(error)


def test_a_reset_is_named() -> None:
    assert "reset the connection" in str(failure([Reply(b"", "reset")]))


def test_a_refused_connection_is_named() -> None:
    with serving([b""]) as server:
        gone = Server(server.url)
    with pytest.raises(KilnError, match="refused the connection"):
        fetch(gone)


def test_a_short_body_is_an_error() -> None:
    error = failure([response(BODY[:HALF], "200 OK", len(BODY))])
    assert "ended early" in str(error) or f"{HALF} of {len(BODY)}" in str(error)


def test_a_broken_transfer_is_resumed_under_the_same_strong_tag() -> None:
    first = response(BODY[:HALF], "200 OK", len(BODY), ETag='"one"')
    with serving([first, rest(BODY, '"one"')]) as server:
        assert fetch(server) == BODY
    assert server.requests[1]["range"] == f"bytes={HALF}-"
    assert server.requests[1]["if-range"] == '"one"'


def test_a_reset_transfer_arrives_whole() -> None:
    first = response(BODY[:HALF], "200 OK", len(BODY), ETag='"one"')
    with serving([Reply(first, "reset"), rest(BODY, '"one"')]) as server:
        assert fetch(server) == BODY


def test_content_that_changed_meanwhile_is_fetched_anew() -> None:
    first = response(b"x" * HALF, "200 OK", len(BODY), ETag='"one"')
    with serving([first, part(BODY[HALF:], HALF, len(BODY), '"two"'), response(BODY, ETag='"two"')]) as server:
        assert fetch(server) == BODY
    assert "range" not in server.requests[2]


def test_a_whole_body_in_answer_to_a_range_begins_anew() -> None:
    first = response(b"x" * HALF, "200 OK", len(BODY), ETag='"one"')
    with serving([first, response(BODY, ETag='"two"')]) as server:
        assert fetch(server) == BODY
    assert "range" in server.requests[1]


def test_a_part_that_begins_elsewhere_is_not_used() -> None:
    first = response(BODY[:HALF], "200 OK", len(BODY), ETag='"one"')
    with serving([first, part(BODY[HALF + 5 :], HALF + 5, len(BODY), '"one"'), response(BODY)]) as server:
        assert fetch(server) == BODY


def test_a_range_beyond_the_end_begins_anew() -> None:
    first = response(BODY[:HALF], "200 OK", len(BODY), ETag='"one"')
    with serving([first, response(b"", "416 Range Not Satisfiable"), response(BODY)]) as server:
        assert fetch(server) == BODY


@pytest.mark.parametrize("tag", ["", 'W/"weak"'])
def test_without_a_strong_tag_nothing_is_resumed(tag: str) -> None:
    first = response(BODY[:HALF], "200 OK", len(BODY), **({"ETag": tag} if tag else {}))
    with serving([first, response(BODY)]) as server:
        assert fetch(server) == BODY
    assert "range" not in server.requests[1]


def test_redirects_are_followed() -> None:
    with serving([response(b"", "302 Found", Location="/elsewhere"), response(BODY)]) as server:
        assert fetch(server) == BODY
    assert "/elsewhere" in server.requests[1][""]


@pytest.mark.parametrize("target", ["file:///etc/shadow", "gopher://127.0.0.1/", "ftp://127.0.0.1/x"])
def test_a_redirect_to_another_scheme_is_refused(target: str) -> None:
    error = failure([response(b"", "302 Found", Location=target)])
    assert isinstance(error, InputError)
    assert "neither http nor https" in str(error)


def test_redirects_without_end_are_refused() -> None:
    with (
        serving([response(b"", "302 Found", Location="/again")]) as server,
        pytest.raises(InputError, match="five times"),
    ):
        fetch(server)
    assert len(server.requests) == 6


@pytest.mark.parametrize("before", [b"", response(BODY[:HALF], "200 OK", len(BODY))], ids=["no headers", "half a body"])
def test_cancellation_ends_a_silent_transfer(before: bytes) -> None:
    ctx = Context()
    silent = Reply(before, "silence", ctx.cancellation.cancel)
    with serving([silent]) as server, pytest.raises(Cancelled):
        fetch(server, ctx)


@pytest.mark.parametrize("before", [b"", response(BODY[:HALF], "200 OK", len(BODY))], ids=["no headers", "half a body"])
def test_a_deadline_ends_a_silent_transfer(before: bytes) -> None:
    with serving([Reply(before, "silence")]) as server, pytest.raises(DeadlineExceeded):
        fetch(server, Context().limited(0.3))


def test_cancellation_ends_the_pause_that_a_server_asks_for() -> None:
    ctx = Context()
    with serving([response(b"", "503 Busy", Retry_After="3600")]) as server:
        log = Statuses()
        log.status = lambda message: ctx.cancellation.cancel()  # type: ignore[method-assign]
        with pytest.raises(Cancelled):
            fetch(server, Context(log=log, cancellation=ctx.cancellation))


def test_a_stalled_server_is_a_failure_that_is_tried_again() -> None:
    sink, patience = Memory(), Patience(stall=0.2, attempts=3, backoff=0.001)
    with serving([Reply(response(BODY[:HALF], "200 OK", len(BODY)), "silence"), response(BODY)]) as server:
        download(Context(), Url(server.url, server.url), sink, "source", patience)
    assert sink.data == BODY
    assert len(server.requests) == 2
