"""What can be said of a source before it is uploaded, without touching the network or reading a file twice."""

from __future__ import annotations

import os
from pathlib import Path

from kiln.framework.context import Context
from kiln.framework.errors import InputError
from kiln.framework.values import Asset
from kiln.ports.volumes import Format
from kiln.transfer.cache import DigestCache, cache_directory
from kiln.transfer.content import Content
from kiln.transfer.digest import digest_open_file, kind_for
from kiln.transfer.fetch import fetched, is_compressed
from kiln.transfer.inspect import inspect
from kiln.transfer.source import File, Url, locate

_CONTENT = "content"
"""The cache's key for the digest of what a file expands to, in the kind that its format has."""


def look(source: str | Asset, *, path: str = "source", stated: Format | None = None) -> Content | None:
    """What a local, uncompressed source is; None for one that has to be fetched or expanded to know.

    Raises:
        InputError: the source is no source, is not there, or ``inspect`` refuses it.
    """
    where = locate(source, path)
    if not isinstance(where, File) or (_readable(where, path) and is_compressed(where.path)):
        return None
    return inspect(where.path, path=path, stated=stated, name=where.name)


def content_digest(
    ctx: Context,
    source: str | Asset,
    *,
    path: str = "source",
    stated: Format | None = None,
    cache: Path | None = None,
) -> str | None:
    """The digest that an upload of ``source`` would give; None for a URL. An unchanged file is not read again.

    Raises:
        InputError: the source cannot be read or is refused. Cancelled, DeadlineExceeded: it was time to stop.
    """
    where = locate(source, path)
    if isinstance(where, Url):
        return None
    cache = cache or cache_directory()

    def compute(fd: int = -1) -> str:
        doing = f"reading {where.name}"
        ctx.log.status(doing)
        with fetched(ctx, source, path=path, cache=cache) as local:
            content = inspect(local.path, path=path, stated=stated, name=local.name)
            file = os.open(local.path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                return digest_open_file(file, content.size, kind_for(content), lambda: ctx.check(doing))
            finally:
                os.close(file)

    if isinstance(where, File) and _readable(where, path):
        return DigestCache(cache).get(where.path, _CONTENT, compute)
    return compute()


def _readable(file: File, path: str) -> bool:
    try:
        os.close(os.open(file.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK))
    except OSError as error:
        action = "check the path and its permissions; a relative path starts at the program's directory"
        raise InputError(path, f"'{file.name}' cannot be read", cause=error.strerror, action=action) from error
    return True
