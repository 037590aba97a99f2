"""Content for images and disks: resolving a source, looking at it early, storing it on a node."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from kiln.framework.context import Context
from kiln.framework.errors import InputError
from kiln.framework.values import UNKNOWN, Asset
from kiln.ports.marks import Mark
from kiln.ports.volumes import Format, Volume, VolumeRef, Volumes
from kiln.resources.site import Site
from kiln.transfer.cache import DigestCache, cache_directory
from kiln.transfer.compression import compression_of
from kiln.transfer.content import Content
from kiln.transfer.digest import parse_checksum
from kiln.transfer.fetch import fetch
from kiln.transfer.inspect import inspect
from kiln.transfer.local import Local
from kiln.transfer.upload import upload

Source = str | Asset


@dataclass(frozen=True)
class Wanted:
    """Content that is asked for: ``path`` is the property that names the ``source``."""

    source: Source
    path: str
    checksum: str | None = None
    format: Format | None = None


@dataclass(frozen=True)
class Stored:
    """Content that lies complete on a node. ``size`` is its length in bytes, in its own format.

    ``source_digest`` is what a later change of the source is noticed by, None where that is not possible.
    """

    volume: Volume
    digest: str
    source_digest: str | None
    kind: Literal["disk", "iso"]
    format: Format
    size: int


def resolve(site: Site, source: Source) -> Source:
    """A relative path that the program's directory does not have is looked up in the image store."""
    if not isinstance(source, str) or local_path(source) is None or site.image_store is None:
        return source
    path = Path(source)
    in_store = Path(site.image_store) / path
    return str(in_store) if not path.is_absolute() and not path.exists() and in_store.exists() else source


def local_path(source: Source) -> Path | None:
    """The file on this machine that a source names, None for a URL of another machine or an asset without a path."""
    if isinstance(source, Asset):
        return Path(source.path) if source.path else None
    parts = urlsplit(source)
    if parts.scheme == "file":
        from urllib.request import url2pathname

        return Path(url2pathname(parts.path))
    return None if "://" in source else Path(source)


def look(site: Site, source: Source, path: str, format: Format | None) -> None:
    """See early what can be seen early: a local file is there, and is content that can be used. Raises InputError."""
    if source is UNKNOWN:
        return
    file = local_path(resolve(site, source))
    if file is None:
        if isinstance(source, str) and urlsplit(source).scheme not in ("http", "https"):
            raise InputError(
                path, f"{source!r} has a scheme that is not supported", action="use a path, file:, http: or https:"
            )
        return
    _require_file(file, path)
    with file.open("rb") as opened:
        if compression_of(opened.read(8)) is not None:
            return
    inspect(file, path=path, stated=None if format is UNKNOWN else format, name=str(source))


def look_at_file(site: Site, source: Source, path: str) -> None:
    """See early that a local file is there, whatever it holds. Raises InputError."""
    if source is UNKNOWN:
        return
    file = local_path(resolve(site, source))
    if file is not None:
        _require_file(file, path)


def _require_file(file: Path, path: str) -> None:
    if not file.is_file():
        raise InputError(
            path,
            f"there is no file '{file}'",
            action="check the path; a relative one starts at the program's directory, then at the imageStore",
        )


def check_checksum(text: str, path: str) -> None:
    """Raises InputError when a stated checksum cannot be one."""
    parse_checksum(text, path)


def source_digest(ctx: Context, site: Site, source: Source) -> str | None:
    """What the source's content is known by now, None when only fetching it would tell.

    A local file is read once and remembered until it changes; an asset's hash comes from the engine.
    """
    if source is UNKNOWN:
        return None
    source = resolve(site, source)
    if isinstance(source, Asset) and source.hash:
        return f"sha256:{source.hash}"
    file = local_path(source)
    if file is None or not file.is_file():
        return None
    with file.open("rb") as opened:
        head = opened.read(8)
    raw = compression_of(head) is None and inspect(file, name=str(source)).format == "raw"
    kind: Literal["extents-sha256", "sha256"] = "extents-sha256" if raw else "sha256"
    return DigestCache(cache_directory()).digest(file, kind, ctx.check)


def store(ctx: Context, site: Site, volumes: Volumes, ref: VolumeRef, wanted: Wanted, mark: Mark) -> Stored:
    """Fetch, inspect, verify and copy content into the volume ``ref``, which the caller has claimed with ``mark``."""
    with _fetched(ctx, site, wanted) as (file, content):
        put = upload(ctx, volumes, ref, file, content, mark)
        known = put.digest if not file.is_temporary else source_digest(ctx, site, wanted.source)
        return Stored(put.volume, put.digest, known, content.kind, content.format, content.size)


@contextmanager
def _fetched(ctx: Context, site: Site, wanted: Wanted) -> Iterator[tuple[Local, Content]]:
    checksum = parse_checksum(wanted.checksum) if wanted.checksum else None
    with fetch(ctx, resolve(site, wanted.source), path=wanted.path, checksum=checksum) as file:
        yield file, inspect(file.path, path=wanted.path, stated=wanted.format, name=file.name)


def store_file(ctx: Context, site: Site, volumes: Volumes, ref: VolumeRef, wanted: Wanted, mark: Mark) -> Volume:
    """Store a file as it is, whatever it holds (a kernel, an initial RAM disk)."""
    with fetch(ctx, resolve(site, wanted.source), path=wanted.path, unpack=False) as file:
        size = file.path.stat().st_size
        return upload(ctx, volumes, ref, file, Content("raw", size, size, size), mark).volume
