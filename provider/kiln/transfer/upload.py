"""The one way for content into a pool.

::

    pool is a directory here      temporary file ─copy + digest─▶ sync ─size─▶ adopt: the final name appears, whole
    anywhere else                 volume under its final name ─sparse stream + digest─▶ size and samples read back

libvirt cannot rename a volume, so away from this machine the final name is there before its content is; the caller's
``creating`` mark, written before and set to done after, is what makes it incomplete to everyone else. That a stream
ended without an error does not say that all of it was written (libvirt 9.0 forgets errors at its end), so its end is
read back.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kiln.framework.context import Context
from kiln.framework.errors import Bug, KilnError, Refused
from kiln.ports.marks import Mark
from kiln.ports.volumes import TEMPORARY_PREFIX, Format, Volume, VolumeRef, Volumes
from kiln.transfer import sparse
from kiln.transfer.cache import DigestCache, cache_directory
from kiln.transfer.content import Content, file_version
from kiln.transfer.convert import convert
from kiln.transfer.digest import kind_for
from kiln.transfer.extents import BLOCK, Run, runs
from kiln.transfer.local import Local
from kiln.transfer.progress import Progress
from kiln.transfer.space import available, require_space, told_when_full
from kiln.transfer.stream import Chunks
from kiln.transfer.temporary import temporary_file

_CLEAN_UP_SECONDS = 60.0


@dataclass(frozen=True)
class Uploaded:
    """A volume whose content is complete, and the digest of that content (see ``digest``)."""

    volume: Volume
    digest: str


def upload(
    ctx: Context,
    volumes: Volumes,
    ref: VolumeRef,
    source: Local,
    content: Content,
    mark: Mark,
    *,
    format: Format | None = None,
) -> Uploaded:
    """Make the volume ``ref`` with the content of ``source``, which ``inspect`` found to be ``content``.

    The caller has claimed the name with ``mark`` and sets it to done afterwards. On any failure, cancellation included,
    nothing is left but the mark.

    Args:
        format: what the volume shall be; when it differs from the content's format it is converted here first.

    Raises:
        Conflict: the name is taken. KilnError: there is no room, or a read, write or check failed.
        Refused: the source changed meanwhile. Cancelled, DeadlineExceeded: it was time to stop.
    """
    with _converted(ctx, source, content, format or content.format) as (file, becomes):
        directory = volumes.local_directory(ctx, ref.pool)
        if directory is not None:
            return _into_directory(ctx, volumes, ref, file, becomes, mark, directory)
        return _through_node(ctx, volumes, ref, file, becomes)


def upload_bytes(
    ctx: Context, volumes: Volumes, ref: VolumeRef, data: bytes, format: Format, mark: Mark, *, name: str
) -> Uploaded:
    """As ``upload``, for raw or ISO content made here (a seed), which never lies in another file on this machine."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC)
    try:
        sparse.write_at(fd, data, 0)
        content = Content(format, len(data), len(data), len(data))
        return upload(ctx, volumes, ref, Local(Path(f"/proc/self/fd/{fd}"), name, is_temporary=True), content, mark)
    finally:
        os.close(fd)


def discard_temporaries(ctx: Context, volumes: Volumes, pool: str, operation: str) -> None:
    """Remove the temporary files that a dead operation left in a pool's directory on this machine."""
    directory = volumes.local_directory(ctx, pool)
    if directory is None or not operation:
        return
    for file in directory.glob(f"{TEMPORARY_PREFIX}{operation}*"):
        with contextlib.suppress(OSError):
            file.unlink()


def temporary_name(mark: Mark, ref: VolumeRef) -> str:
    """The name of the temporary file for ``ref``: found again by its operation, distinct for each volume of it."""
    return f"{TEMPORARY_PREFIX}{mark.operation}-{hashlib.sha256(ref.name.encode()).hexdigest()[:8]}"


def _into_directory(
    ctx: Context, volumes: Volumes, ref: VolumeRef, source: Local, content: Content, mark: Mark, directory: Path
) -> Uploaded:
    temporary, place = directory / temporary_name(mark, ref), f"pool '{ref.pool}'"
    doing = f"copying {source.name}"
    try:
        with told_when_full(place, content.allocated, directory), _told(doing), _opened(source.path) as fd:
            _require_inspected(os.fstat(fd), content, doing)
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with _opened(temporary, flags) as target:
                digest = sparse.copy(
                    ctx,
                    fd,
                    target,
                    kind_for(content),
                    doing,
                    room=lambda size: _room(fd, size, place, available(directory)),
                )
                _require_size(os.fstat(target).st_size, content.size, doing)
            if not source.is_temporary:
                DigestCache(cache_directory()).remember(source.path, kind_for(content), os.fstat(fd), digest)
            return Uploaded(_adopt(ctx, volumes, ref, content, temporary), digest)
    finally:
        temporary.unlink(missing_ok=True)


def _adopt(ctx: Context, volumes: Volumes, ref: VolumeRef, content: Content, temporary: Path) -> Volume:
    volume = volumes.adopt(ctx, ref, format=content.format, virtual_size=content.virtual_size, temporary=temporary)
    try:
        _require_size(volume.virtual_size, content.virtual_size, f"making volume '{ref}'")
    except KilnError:
        _remove(ctx, volumes, ref)
        raise
    return volume


def _through_node(ctx: Context, volumes: Volumes, ref: VolumeRef, source: Local, content: Content) -> Uploaded:
    place, doing = f"pool '{ref.pool}'", f"uploading {source.name}"
    pool = volumes.pool(ctx, ref.pool)
    with told_when_full(place, content.allocated), _told(doing), _opened(source.path) as fd:
        _require_inspected(os.fstat(fd), content, doing)
        _room(fd, content.allocated, place, pool.available if pool.capacity else None)
        volumes.create(ctx, ref, format=content.format, virtual_size=content.virtual_size)
        try:
            chunks = Chunks(fd, content.size, kind_for(content), Progress(ctx, doing, content.allocated))
            volumes.upload(ctx, ref, iter(chunks))
            volume = volumes.get(ctx, ref)
            _require_size(volume.virtual_size, content.virtual_size, doing)
            _compare_samples(ctx, volumes, ref, fd, content.size)
        except BaseException:
            _remove(ctx, volumes, ref)
            raise
        return Uploaded(volume, chunks.digest())


def _remove(ctx: Context, volumes: Volumes, ref: VolumeRef) -> None:
    try:
        volumes.delete(ctx.unhurried(_CLEAN_UP_SECONDS), ref)
    except KilnError as error:
        ctx.log.warning(f"half of volume '{ref}' is left to the next run or to `kiln gc`: {error}")


def _compare_samples(ctx: Context, volumes: Volumes, ref: VolumeRef, fd: int, size: int) -> None:
    """Read the first and the last block with data back from the node."""
    first = last = None
    for run in runs(fd, size, lambda: ctx.check(f"checking volume '{ref}'")):
        first, last = first or run, run
    if first is None or last is None:
        return
    tail = max(last.offset, (last.end - 1) // BLOCK * BLOCK)
    for sample in (Run(first.offset, min(BLOCK, first.length)), Run(tail, last.end - tail)):
        if volumes.download(ctx, ref, sample.offset, sample.length) != os.pread(fd, sample.length, sample.offset):
            raise KilnError(
                f"volume '{ref}' does not hold what was sent to it",
                cause=f"the {sample.length} bytes at offset {sample.offset} differ",
                action="check the node's disk and log, then run again",
            )


def _room(fd: int, allocated: int, place: str, there: int | None) -> None:
    """Refuse what does not fit. Stored zeros take no room later, so they are looked for before that."""
    if there is None or allocated <= there:
        return
    require_space(place, sum(run.length for run in runs(fd, os.fstat(fd).st_size)), there)


def _require_inspected(status: os.stat_result, content: Content, doing: str) -> None:
    """Refuse a file that is not the one that was inspected any more, and might be anything now."""
    if content.version and content.version != file_version(status):
        raise Refused(f"{doing} was stopped: the file changed since it was inspected", action="run again")


def _require_size(found: int, expected: int, doing: str) -> None:
    if found != expected:
        raise KilnError(
            f"{doing} gave {found} bytes in place of {expected}",
            action="make sure nothing else writes there, then run again",
        )


@contextmanager
def _converted(ctx: Context, source: Local, content: Content, format: Format) -> Iterator[tuple[Local, Content]]:
    """The source in the format wanted, through a temporary file when it has to be converted."""
    if format == content.format:
        yield source, content
        return
    if content.format == "iso" or format == "iso":
        raise Bug(f"{content.format} content cannot become {format}")
    scratch = cache_directory() / "scratch"
    with contextlib.ExitStack() as stack:
        with told_when_full(f"the directory {scratch}", content.allocated, scratch):
            fd, file = stack.enter_context(temporary_file(scratch))
            doing = f"converting {source.name} to {format}"
            convert(ctx, source.path, file, (content.format, format), doing)
            _require_inspected(os.stat(source.path), content, doing)
        status = os.fstat(fd)
        became = Content(format, content.virtual_size, status.st_size, status.st_blocks * 512)
        yield Local(file, source.name, is_temporary=True), became


@contextmanager
def _opened(file: Path, flags: int = os.O_RDONLY | os.O_CLOEXEC) -> Iterator[int]:
    fd = os.open(file, flags, 0o600)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def _told(doing: str) -> Iterator[None]:
    """Tell a failing read or write as an error of Kiln; a full disk is told by ``told_when_full``."""
    import errno

    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise KilnError(f"{doing} failed", cause=str(error), action="check the disk and its permissions") from error
