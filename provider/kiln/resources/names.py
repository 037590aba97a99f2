"""Names, addresses and ids: one grammar for everything Kiln names on a node. Pure."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator

from kiln.framework.errors import InputError
from kiln.framework.values import UNKNOWN
from kiln.ports.volumes import VolumeRef

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,127}")
_VOLUME_NAME = re.compile(r"[A-Za-z0-9_][^/@\x00-\x1f\x7f]{0,199}")
_MAC = re.compile(r"([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}")
ALLOWED = "1 to 128 letters, digits, '_', '.', '+' or '-', the first a letter, digit or '_'"


def checked_name(name: str) -> str:
    """``name`` when it fits the grammar. Raises ValueError naming what is allowed."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot be a name: use {ALLOWED}")
    return name


def checked_text(text: str) -> str:
    """``text`` when it can be written to XML 1.0 and to a terminal. Raises ValueError for control characters."""
    bad = next((c for c in text if (c < " " and c not in "\t\n\r") or c == "\x7f" or "\ud800" <= c <= "\udfff"), None)
    bad = bad or next((c for c in text if c in "\ufffe\uffff"), None)
    if bad is not None:
        raise ValueError(f"the character U+{ord(bad):04X} is not allowed here: use printable text")
    return text


def checked_mac(text: str) -> str:
    """``text`` in lower case when it can be the address of one interface. Raises ValueError saying why not."""
    if not _MAC.fullmatch(text):
        raise ValueError(f"{text!r} is not a MAC address; use six hexadecimal pairs, such as 52:54:00:12:34:56")
    if not int(text.replace(":", ""), 16):
        raise ValueError(f"{text!r} is no address of an interface; use another one")
    if int(text[:2], 16) & 1:
        raise ValueError(f"{text!r} is a multicast address; use one with an even first byte")
    return text.lower()


def check_lines(text: str | None, path: str) -> None:
    """Refuse carriage returns, which libvirt gives back as line feeds, in a text that it keeps. Raises InputError."""
    if text is not None and text is not UNKNOWN and "\r" in text:
        raise InputError(
            path,
            "this text cannot hold carriage returns",
            cause="libvirt gives them back as line feeds, which would look like a change made by somebody else",
            action="end lines with a line feed alone",
        )


def check_node_path(file: str, path: str) -> None:
    """Refuse what cannot name a file or directory on a node. Raises InputError at property ``path``."""
    if not file.startswith("/") or not file.isprintable():
        raise InputError(
            path,
            f"{file!r} is not an absolute path of printable characters",
            action="say where it is on the node, from '/' on",
        )


Name = Annotated[str, AfterValidator(checked_name)]
Text = Annotated[str, AfterValidator(checked_text)]
Mac = Annotated[str, AfterValidator(checked_mac)]


def volume_ref(id: str, path: str) -> VolumeRef:
    """The volume that an image's or disk's id names. Raises InputError at property ``path``."""
    pool, slash, name = id.partition("/")
    if not slash or not _NAME.fullmatch(pool) or not _VOLUME_NAME.fullmatch(name):
        raise InputError(
            path, f"{id!r} is not the id of an image or disk", action="use the resource's id, '<pool>/<volume>'"
        )
    return VolumeRef(pool, name)


def volume_id(pool: str, name: str) -> str | None:
    """The id of an image or disk, None while its pool or name is unknown."""
    return None if UNKNOWN in (pool, name) else str(VolumeRef(pool, name))


def split_import_id(id: str, default_uri: str) -> tuple[str, str]:
    """An import id as (id on the node, node URI): ``web@qemu+ssh://root@host/system`` or just ``web``."""
    natural, at, uri = id.partition("@")
    return natural, uri if at else default_uri


def listed(items: Any, limit: int = 5) -> str:
    """The items for a message, the first ``limit`` by name and the rest by number."""
    texts = [str(item) for item in items]
    more = f" and {len(texts) - limit} more" if len(texts) > limit else ""
    return ", ".join(texts[:limit]) + more
