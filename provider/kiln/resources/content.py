"""Content for images and disks: resolving a source, looking at it early, storing it on a node."""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kiln.framework.context import Context
from kiln.framework.errors import InputError
from kiln.framework.model import Impact
from kiln.framework.plan import Change, kind_of
from kiln.framework.values import UNKNOWN, Asset
from kiln.ports.marks import Mark
from kiln.ports.volumes import Format, Volume, VolumeRef, Volumes
from kiln.resources.site import Site
from kiln.transfer.cache import DigestCache, cache_directory
from kiln.transfer.content import Content
from kiln.transfer.digest import parse_checksum
from kiln.transfer.fetch import fetched, is_compressed
from kiln.transfer.inspect import inspect
from kiln.transfer.source import File, Url, locate
from kiln.transfer.upload import upload

Source = str | Asset


@dataclass(frozen=True)
class Wanted:
    """Content that is asked for: ``path`` is the property that names the ``source``.

    The content must be of ``format``; a disk, whatever its format, is stored as ``stored_as``. ``accept`` raises
    InputError for content that is not to be stored.
    """

    source: Source
    path: str
    checksum: str | None = None
    format: Format | None = None
    stored_as: Format | None = None
    accept: Callable[[Content], None] = lambda found: None


@dataclass(frozen=True)
class Stored:
    """Content that lies complete on a node. ``size`` is its length in bytes, in its own format.

    ``source_digest`` is what a later change of the source is noticed by, None where that is not possible.
    """

    volume: Volume
    digest: str
    source_digest: str | None
    kind: Literal["disk", "iso"]
    size: int


@dataclass(frozen=True)
class StoredFile:
    """A file that lies complete on a node, and what a later change of its source is noticed by."""

    volume: Volume
    source_digest: str | None


def resolve(site: Site, source: Source) -> Source:
    """A relative path that the program's directory does not have is looked up in the image store."""
    if not isinstance(source, str) or site.image_store is None or "://" in source:
        return source
    in_store = Path(site.image_store) / source
    return str(in_store) if not Path(source).exists() and in_store.exists() else source


def local_file(site: Site, source: Source, path: str) -> Path | None:
    """The file on this machine that a source names, None for a URL or text. Raises InputError when it is not there."""
    where = locate(resolve(site, source), path)
    if not isinstance(where, File):
        return None
    _require_file(where.path, path)
    return where.path


_OTHERS = (
    (stat.S_ISDIR, "a directory", "name the file in it"),
    (stat.S_ISFIFO, "a named pipe", "write what comes out of it to a file, and name that"),
    (stat.S_ISSOCK, "a socket", "name the file that holds the content"),
    (stat.S_ISCHR, "a device that streams characters", "name a file; leave the source out of a Disk for a blank one"),
    (stat.S_ISBLK, "a block device", "copy it to a file (qemu-img convert -O qcow2 DEVICE FILE), and name that"),
)


def _require_file(file: Path, path: str) -> None:
    """Refuse what is no regular file, saying what it is. Raises InputError at ``path``."""
    action = "check the path; a relative one starts at the program's directory, then at the imageStore"
    try:
        mode = file.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # ValueError: no file can have that name
        raise InputError(path, f"there is no file '{file}'", action=action) from error
    except OSError as error:
        raise InputError(path, f"'{file}' cannot be looked at", cause=error.strerror, action=action) from error
    for is_kind, kind, action in _OTHERS:
        if is_kind(mode):
            raise InputError(path, f"'{file}' is {kind}, not a file", action=action)


def look(site: Site, wanted: Wanted) -> None:
    """See early what can be seen early: a local file is there, and is content that can be used. Raises InputError."""
    if wanted.source is UNKNOWN:
        return
    file = local_file(site, wanted.source, wanted.path)
    if file is not None and not is_compressed(file):
        _inspected(file, wanted)


def _inspected(file: Path, wanted: Wanted, name: str = "") -> Content:
    """What a file on this machine holds, once it is seen to be what is wanted. Raises InputError."""
    stated = None if wanted.format is UNKNOWN else wanted.format
    found = inspect(file, path=wanted.path, stated=stated, name=name)
    wanted.accept(found)
    return found


def look_at_file(site: Site, source: Source, path: str) -> None:
    """See early that a local file is there, whatever it holds. Raises InputError."""
    if source is not UNKNOWN:
        local_file(site, source, path)


def check_checksum(text: str, path: str) -> None:
    """Raises InputError when a stated checksum cannot be one."""
    parse_checksum(text, path)


def verify(ctx: Context, site: Site, source: Source, checksum: str) -> None:
    """See that what is on this machine has its checksum; it is read once until it changes. Raises InputError.

    What is not known yet, or is elsewhere, passes.
    """
    if source is UNKNOWN or checksum is UNKNOWN:
        return
    if not isinstance(locate(resolve(site, source), "source"), Url):
        with fetched(ctx, resolve(site, source), checksum=parse_checksum(checksum), unpack=False):
            pass


def rehearse(ctx: Context, site: Site, wanted: Wanted) -> None:
    """See that content can be used before anything is removed for it: fetch, verify and inspect all of it.

    A download stays in the cache, from which it is taken when it is stored. What is not known yet passes.
    Raises InputError.
    """
    if wanted.source is UNKNOWN or wanted.checksum is UNKNOWN:
        return
    checksum = parse_checksum(wanted.checksum) if wanted.checksum else None
    with fetched(ctx, resolve(site, wanted.source), path=wanted.path, checksum=checksum, keep=True) as file:
        _inspected(file.path, wanted, file.name)


def rehearse_file(ctx: Context, site: Site, source: Source | None, path: str) -> None:
    """See that a file can be fetched, whatever it holds, as ``rehearse`` does."""
    if source is not None and source is not UNKNOWN:
        with fetched(ctx, resolve(site, source), path=path, unpack=False, keep=True):
            pass


def source_digest(ctx: Context, site: Site, source: Source, like: str | None = None) -> str | None:
    """What the source's content is known by now, None when only fetching it would tell.

    A local file is read once and remembered until it changes; an asset's hash comes from the engine. ``like`` is the
    digest it will be compared with, which says what kind is wanted without looking into the file.
    """
    if source is UNKNOWN:
        return None
    if isinstance(source, Asset) and source.hash:
        return f"sha256:{source.hash}"
    try:
        file = local_file(site, source, "source")
    except InputError:
        return None
    if file is None:
        return None
    if like is not None:
        raw = like.startswith("extents-sha256:")
    else:
        raw = not is_compressed(file) and inspect(file).format == "raw"
    return DigestCache(cache_directory()).digest(file, "extents-sha256" if raw else "sha256", ctx.check)


def source_change(
    ctx: Context, site: Site, old: Source | None, new: Source | None, before: str | None, path: str = "source"
) -> Change | None:
    """The change of the source at ``path``, None when its content is what it was, whatever its name is now."""
    now = source_digest(ctx, site, new, before) if new is not None else None
    if now is None or not before:
        if old == new and new is not UNKNOWN:
            return None
        return Change((path,), kind_of(old, new), Impact.REPLACE, path, old, new)
    if now == before:
        return None
    return Change((path,), "update", Impact.REPLACE, path, before, now, reason="the content changed")


def store(ctx: Context, site: Site, volumes: Volumes, ref: VolumeRef, wanted: Wanted, mark: Mark) -> Stored:
    """Fetch, inspect, verify and copy content into the volume ``ref``, which the caller has claimed with ``mark``."""
    checksum = parse_checksum(wanted.checksum) if wanted.checksum else None
    with fetched(ctx, resolve(site, wanted.source), path=wanted.path, checksum=checksum) as file:
        content = _inspected(file.path, wanted, file.name)
        becomes = content.format if content.kind == "iso" else wanted.stored_as or content.format
        put = upload(ctx, volumes, ref, file, content, mark, format=becomes)
        same = not file.is_temporary and becomes == content.format
        here = isinstance(wanted.source, str) and isinstance(locate(resolve(site, wanted.source), "source"), File)
        known = put.digest if same and here else source_digest(ctx, site, wanted.source)
        return Stored(put.volume, put.digest, known, content.kind, content.size)


def store_file(ctx: Context, site: Site, volumes: Volumes, ref: VolumeRef, wanted: Wanted, mark: Mark) -> StoredFile:
    """Store a file as it is, whatever it holds (a kernel, an initial RAM disk)."""
    with fetched(ctx, resolve(site, wanted.source), path=wanted.path, unpack=False) as file:
        size = file.path.stat().st_size
        put = upload(ctx, volumes, ref, file, Content("raw", size, size, size), mark)
    return StoredFile(put.volume, source_digest(ctx, site, wanted.source, put.digest))
