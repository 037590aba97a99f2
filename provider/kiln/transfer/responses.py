"""What an http response, or the lack of one, means for a download."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kiln.framework.errors import InputError
from kiln.transfer.source import Url

if TYPE_CHECKING:
    import requests

_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_AGAIN = {408, 425, 429, 500, 502, 503, 504}
_ACTIONS = {
    401: "the server wants credentials: download the file yourself and use its path",
    403: "the server does not allow it: check the address, or download the file yourself and use its path",
    404: "check the address; the publisher may have moved or removed the file",
    410: "the publisher removed the file; use a newer one",
}


class Transient(Exception):
    """A failure that may not come again. ``pause`` is the wait that the server asked for, in seconds."""

    def __init__(self, what: str, pause: float | None = None) -> None:
        super().__init__(what)
        self.pause = pause


class Restart(Transient):
    """What was received so far is of no use."""


@dataclass(frozen=True)
class Beginning:
    """Where a response's body begins in the file, the file's length if told, and its entity tag if strong.

    ``conditions`` are the headers of a later request that is answered by 304 while the file is this one.
    """

    offset: int
    total: int | None
    tag: str
    conditions: Mapping[str, str] = field(default_factory=dict)


def begin(response: requests.Response, source: Url, path: str, wanted: int, tag: str) -> Beginning:
    """Judge a response to a request for the bytes from ``wanted`` on, under ``tag``.

    Raises:
        InputError: the server refuses for good. Transient: it may be tried again.
    """
    status = response.status_code
    if status in _AGAIN:
        raise Transient(f"the server said {_status(response)}", _pause(response))
    if status == 416 or (status == 206 and not wanted):
        raise Restart(f"the server said {_status(response)} to a request that it does not fit")
    if status == 206:
        return _resumed(response, wanted, tag)
    if status != 200:
        action = _ACTIONS.get(status, "check the address")
        raise InputError(
            path, f"{source.name} cannot be fetched", cause=f"the server said {_status(response)}", action=action
        )
    length = response.headers.get("Content-Length", "")
    return Beginning(0, int(length) if length.isdigit() else None, _strong(response), conditions(response))


def conditions(response: requests.Response) -> dict[str, str]:
    """The headers of a request that the server answers by 304 while its content is this one (RFC 9110 section 13.1).

    None where the response tells neither an entity tag nor a date that is old enough to tell versions apart (8.8.2.2).
    """
    from email.utils import parsedate_to_datetime  # most runs fetch nothing

    tag, changed = response.headers.get("ETag", ""), response.headers.get("Last-Modified", "")
    if tag:
        return {"If-None-Match": tag}
    try:
        age = parsedate_to_datetime(response.headers.get("Date", "")) - parsedate_to_datetime(changed)
        return {"If-Modified-Since": changed} if age.total_seconds() > 1 else {}
    except (TypeError, ValueError):  # no date, or one in a form that RFC 9110 does not know
        return {}


def _resumed(response: requests.Response, wanted: int, tag: str) -> Beginning:
    match = _RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    if match is None or int(match[1]) != wanted or _strong(response) != tag:
        # A part of something else: without a tag the next request asks for the whole.
        raise Restart("the server resumed with other content")
    return Beginning(wanted, int(match[3]) if match[3].isdigit() else int(match[2]) + 1, tag, conditions(response))


def require_whole(received: int, total: int | None) -> None:
    """Refuse a body that ended early. Raises Transient."""
    if total is not None and received != total:
        raise Transient(f"the body ended after {received} of {total} bytes")


@contextmanager
def told(source: Url, path: str) -> Iterator[None]:
    """Tell the errors of requests and urllib3: as Transient what may pass, as InputError what will not."""
    import requests
    import urllib3

    try:
        yield
    except requests.TooManyRedirects as error:
        raise _unusable(source, path, "it redirects more than five times") from error
    except (
        requests.exceptions.InvalidSchema,
        requests.exceptions.InvalidURL,
        requests.exceptions.MissingSchema,
    ) as error:
        raise _unusable(source, path, "it redirects to something that is neither http nor https") from error
    except (requests.exceptions.SSLError, urllib3.exceptions.SSLError) as error:
        raise _unusable(source, path, f"its certificate or TLS is not acceptable: {_reason(error)}") from error
    except (requests.Timeout, urllib3.exceptions.TimeoutError) as error:
        raise Transient("the server did not answer in time") from error
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise Transient(_reason(error)) from error


def _unusable(source: Url, path: str, cause: str) -> InputError:
    return InputError(
        path, f"{source.name} cannot be fetched", cause=cause, action="check the address, or fetch the file yourself"
    )


def _reason(error: Exception) -> str:
    """The innermost cause, in a few words and without the URL that the libraries put around it."""
    inner: BaseException = error
    while True:
        deeper = getattr(inner, "reason", None) or inner.__cause__ or inner.__context__ or _first(inner)
        if not isinstance(deeper, BaseException):
            break
        inner = deeper
    if isinstance(inner, ConnectionResetError):
        return "the server reset the connection"
    if isinstance(inner, ConnectionRefusedError):
        return "the server refused the connection"
    if type(inner).__name__ == "IncompleteRead":
        return "the body ended early"
    return f"{type(inner).__name__}: {getattr(inner, 'strerror', None) or 'the connection failed'}"


def _first(error: BaseException) -> object:
    return next((argument for argument in error.args if isinstance(argument, BaseException)), None)


def _status(response: requests.Response) -> str:
    return f"{response.status_code} {response.reason or ''}".strip()


def _strong(response: requests.Response) -> str:
    tag = response.headers.get("ETag", "").strip()
    return tag if tag.startswith('"') and tag.endswith('"') and len(tag) > 2 else ""


def _pause(response: requests.Response) -> float | None:
    from urllib3.exceptions import InvalidHeader
    from urllib3.util import Retry

    try:
        return Retry().parse_retry_after(response.headers.get("Retry-After", ""))
    except (InvalidHeader, ValueError):
        return None
