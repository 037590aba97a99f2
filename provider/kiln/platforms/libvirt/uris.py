"""What a libvirt URI says about how the node is reached (https://libvirt.org/uri.html)."""

from __future__ import annotations

import os
import re
from urllib.parse import SplitResult, parse_qsl, urlsplit, urlunsplit

from kiln.framework.errors import KilnError, Refused

_PATHS: dict[str, set[str] | None] = {"qemu": {"/system", "/session", "/embed"}, "test": None}
"""The drivers that Kiln has, with the paths their URIs can have (None: any)."""
_TRANSPORTS = {"", "unix", "ssh", "libssh", "libssh2", "tls", "tcp", "ext"}
_CHARACTERS = re.compile(r"(?:[A-Za-z0-9\-._~:/?\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})+")  # RFC 3986, 2; no fragment
_EXAMPLES = "qemu:///system or qemu+ssh://root@host/system"
_UNVERIFIED = {"no_verify": {"1"}, "known_hosts_verify": {"ignore"}}


def is_local(uri: str) -> bool:
    """Whether the URI names the daemon of this machine over its unix socket."""
    parts = urlsplit(uri)
    return not parts.netloc and _transport(parts.scheme) in {"", "unix"}


def is_session(uri: str) -> bool:
    """Whether the URI leads to an unprivileged daemon; root's own session is the system's daemon."""
    return names_session(uri) and not (is_local(uri) and os.geteuid() == 0)


def names_session(uri: str) -> bool:
    """Whether the URI says session, whoever's that is."""
    return urlsplit(uri).path.rstrip("/") == "/session"


def admit(uri: str, *, allow_insecure_transport: bool) -> str:
    """The URI to open for ``uri``; ssh is told never to ask a question, which nobody would see.

    Raises:
        Refused: the transport is not encrypted or not verified, and that was not allowed.
        KilnError: it is not a libvirt URI, or one of a driver or transport that Kiln does not have.
    """
    parts = _parts(uri)
    transport, query = _transport(parts.scheme), dict(parse_qsl(parts.query, keep_blank_values=True))
    if not allow_insecure_transport:
        _refuse_insecure(uri, transport, query)
    if transport == "ssh" and "no_tty" not in query:
        parts = parts._replace(query="&".join(filter(None, [parts.query, "no_tty=1"])))
    return urlunsplit(parts) if parts.netloc or transport == "ssh" else uri


def _parts(uri: str) -> SplitResult:
    try:
        parts = urlsplit(uri)
        whole = bool(parts.scheme) and ":/" in uri and _CHARACTERS.fullmatch(uri) is not None and parts.port != 0
    except ValueError:  # such as a bracket of an IPv6 address that is not closed, or a port of letters
        whole = False
    if not whole:
        action = f"write it like {_EXAMPLES}; what is no letter, digit or sign of URIs is written as %XX"
        raise KilnError(f"{uri!r} is not a libvirt URI", action=action)
    _require_driver(uri, parts)
    return parts


def _require_driver(uri: str, parts: SplitResult) -> None:
    """Refuse what libvirt would look for no driver of Kiln's by. The parameter ``name`` is a URI that comes first."""
    driver, _, transport = parts.scheme.partition("+")
    if driver not in _PATHS:
        raise KilnError(f"'{uri}' is not the libvirt URI of a driver that Kiln has", action=f"use one like {_EXAMPLES}")
    if transport not in _TRANSPORTS:
        allowed = ", ".join(sorted(filter(None, _TRANSPORTS)))
        raise KilnError(f"'{transport}' in '{uri}' is no transport of libvirt's", action=f"use one of {allowed}")
    paths = _PATHS[driver]
    if paths is not None and parts.path not in paths and "name" not in dict(parse_qsl(parts.query)):
        raise KilnError(f"'{uri}' has no path that the driver '{driver}' knows", action=f"write it like {_EXAMPLES}")


def _refuse_insecure(uri: str, transport: str, query: dict[str, str]) -> None:
    action = (
        "use qemu+ssh or qemu+tls with verification, or allow it: allowInsecureTransport on the provider, "
        "--allow-insecure-transport of the command kiln"
    )
    if transport == "tcp":
        raise Refused(f"'{uri}' would send everything in plain text, seeds and passwords included", action=action)
    for key, values in _UNVERIFIED.items():
        if query.get(key) in values:
            raise Refused(f"'{uri}' does not verify whom it talks to ({key}={query[key]})", action=action)


def _transport(scheme: str) -> str:
    return scheme.partition("+")[2]
