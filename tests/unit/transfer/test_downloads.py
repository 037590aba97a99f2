"""Downloads that are kept without a checksum are used again only on the server's word."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from kiln.framework.context import Context
from kiln.framework.errors import InputError
from kiln.transfer.fetch import fetched
from kiln.transfer.http import Patience

from tests.unit.transfer.server import Reply, response, serving

OLD, NEW = b"old" * 512, b"new" * 512
TAGGED = {"ETag": 'W/"1"'}
DATED = {"Date": "Sat, 21 Nov 2026 10:00:00 GMT", "Last-Modified": "Sat, 21 Nov 2026 09:00:00 GMT"}
JUST_NOW = {"Date": "Sat, 21 Nov 2026 10:00:00 GMT", "Last-Modified": "Sat, 21 Nov 2026 10:00:00 GMT"}


def read(url: str, *, keep: bool = False) -> bytes:
    with fetched(Context(), url, keep=keep, patience=Patience(attempts=1)) as local:
        return local.path.read_bytes()


def telling(body: bytes, told: Mapping[str, str]) -> bytes:
    return response(body, **{name.replace("-", "_"): value for name, value in told.items()})


@pytest.mark.parametrize(
    ("told", "asked"),
    [(TAGGED, ("if-none-match", 'W/"1"')), (DATED, ("if-modified-since", DATED["Last-Modified"]))],
    ids=["tag", "date"],
)
def test_what_the_server_says_did_not_change_is_not_fetched_again(
    told: Mapping[str, str], asked: tuple[str, str], cache: Path
) -> None:
    name, value = asked

    def reply(request: Mapping[str, str]) -> bytes:
        return response(b"", "304 Not Modified") if request.get(name) == value else telling(OLD, told)

    with serving([Reply(reply)]) as server:
        assert [read(server.url, keep=True), read(server.url), read(server.url)] == [OLD, OLD, OLD]
    assert [name in request for request in server.requests] == [False, True, True]


@pytest.mark.parametrize("told", [{}, JUST_NOW], ids=["nothing", "a-date-too-young"])
def test_what_the_server_cannot_tell_apart_is_fetched_again(told: Mapping[str, str], cache: Path) -> None:
    with serving([telling(OLD, told), telling(NEW, told)]) as server:
        assert [read(server.url, keep=True), read(server.url)] == [OLD, NEW]
    assert len(server.requests) == 2


def test_what_changed_is_fetched_again_and_kept_instead(cache: Path) -> None:
    changed = response(NEW, ETag='"2"')
    with serving([response(OLD, ETag='"1"'), changed, changed, response(b"", "304 Not Modified")]) as server:
        assert [read(server.url, keep=True), read(server.url), read(server.url)] == [OLD, NEW, NEW]
    assert [request.get("if-none-match") for request in server.requests] == [None, '"1"', None, '"2"']


def test_what_is_gone_is_an_error_though_it_was_kept(cache: Path) -> None:
    with serving([response(OLD, ETag='"1"'), response(b"", "404 Not Found")]) as server:
        read(server.url, keep=True)
        with pytest.raises(InputError, match="404"):
            read(server.url)
