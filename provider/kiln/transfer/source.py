"""Where content comes from, as a user writes it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from kiln.framework.errors import InputError
from kiln.framework.values import Asset

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(?!\\)")
_ALLOWED = "use a path, a file: URL or an http(s): URL"


@dataclass(frozen=True)
class File:
    """A file on this machine."""

    path: Path
    name: str


@dataclass(frozen=True)
class Url:
    """An http or https URL. ``name`` is fit for messages: no user, password or query."""

    url: str
    name: str


@dataclass(frozen=True)
class Text:
    """Content handed in by the program itself."""

    data: bytes
    name: str = "the asset's text"


Source = File | Url | Text


def locate(source: str | Asset, path: str = "source") -> Source:
    """Read a source as users write it: a path, ``file:``, ``http:`` or ``https:`` URL, or an asset.

    Raises:
        InputError: at property ``path``, for anything else.
    """
    if isinstance(source, Asset):
        if source.text is not None:
            return Text(source.text.encode())
        if source.path is not None:
            return _file(source.path, path)
        source = source.uri or ""
    if not source.strip():
        raise InputError(path, "the source is empty", action=_ALLOWED)
    match = _SCHEME.match(source)
    scheme = match[1].lower() if match else ""
    if scheme in ("http", "https"):
        return _url(source, path)
    if scheme == "file":
        return _file(_path_of(source, path), path, source)
    if scheme and source[len(scheme) + 1 :].startswith("//"):
        raise InputError(path, f"'{scheme}:' is no scheme that sources are fetched by", action=_ALLOWED)
    return _file(source, path)


def display(url: str) -> str:
    """A URL without what may be secret in it: user, password, query and fragment."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _url(url: str, path: str) -> Url:
    try:
        parts = urlsplit(url)
        valid = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    if not valid or any(character.isspace() or not character.isprintable() for character in url):
        raise InputError(path, "the source is not a valid URL", action="write it as https://HOST/PATH")
    return Url(url, display(url))


def _path_of(url: str, path: str) -> str:
    """The path of a file URL (RFC 8089)."""
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise InputError(path, f"'{url}' names no file on this machine", action="write it as file:///absolute/path")
    return unquote(parts.path)


def _file(text: str, path: str, name: str = "") -> File:
    if "\0" in text:
        raise InputError(path, "the source holds a NUL character", action=_ALLOWED)
    return File(Path(text).expanduser().absolute(), name or text)
