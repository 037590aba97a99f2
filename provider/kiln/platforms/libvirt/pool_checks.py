"""Checks of a storage pool for ``kiln doctor``: is it there, can guests reach into it, can volumes be made in it."""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from kiln.framework.context import Context
from kiln.framework.errors import Cancelled, KilnError, NotFound, Unreachable
from kiln.framework.process import tag
from kiln.platforms.libvirt import labels
from kiln.platforms.libvirt.paths import pool_directory
from kiln.platforms.libvirt.uris import is_local
from kiln.ports.nodes import Node, Prerequisite
from kiln.ports.volumes import TEMPORARY_PREFIX, Pool, VolumeRef

# The user that a system daemon runs QEMU as, by distribution (Debian and Ubuntu, Fedora and RHEL, others).
_QEMU_USERS = ("libvirt-qemu", "qemu")
_INSTALL = "on the node: apt-get install qemu-utils"
_POOL = "make a storage pool on the node"
_PERMISSIONS = "pool permissions"
_SCARCE_BYTES = 1 << 30
_CLEANUP_SECONDS = 30.0


def check(ctx: Context, node: Node, name: str) -> Iterator[Prerequisite]:
    """The pool itself, whether QEMU can enter its directory, and whether confined guests may use what is in it."""
    try:
        pool = node.volumes.pool(ctx, name)
    except NotFound:
        directory = pool_directory(node.uri, name)
        yield _absent(node, name, directory)
    else:
        directory = pool.path or None
        yield _state(node, pool)
        if directory is not None and is_local(node.uri) and not Path(directory).is_dir():
            mend = f"mkdir -p -m 0711 {directory}, or mount what belongs there"
            yield Prerequisite(_PERMISSIONS, "fail", f"{directory} is missing", mend)
            directory = None
    if directory is not None and is_local(node.uri):
        yield _way(node, Path(directory))
        labelled = labels.check(Path(directory), node.facts(ctx).confinement)
        if labelled is not None:
            yield labelled


def qemu_img(ctx: Context, node: Node, name: str, borrow: Callable[[], AbstractContextManager[str]]) -> Prerequisite:
    """Whether the node's qemu-img works, shown by having it make an empty qcow2 volume, which is deleted again.

    Args:
        borrow: gives a pool to try it in while the one called ``name`` is not there or stopped.
    """
    try:
        with _pool_to_try_in(ctx, node, name, borrow) as pool:
            return _try_qemu_img(ctx, node, VolumeRef(pool, f"{TEMPORARY_PREFIX}doctor-{tag()}"))
    except (Unreachable, Cancelled):
        raise
    except KilnError as error:
        return Prerequisite(
            "qemu-img", "warn", f"could not be tried: {error.cause or error.what}", error.action or _POOL
        )


def _pool_to_try_in(
    ctx: Context, node: Node, name: str, borrow: Callable[[], AbstractContextManager[str]]
) -> AbstractContextManager[str]:
    try:
        return nullcontext(name) if node.volumes.pool(ctx, name).active else borrow()
    except NotFound:
        return borrow()


def _try_qemu_img(ctx: Context, node: Node, ref: VolumeRef) -> Prerequisite:
    try:
        node.volumes.create(ctx, ref, format="qcow2", virtual_size=1 << 20)
    except (Unreachable, Cancelled):
        raise
    except KilnError as error:
        cause = error.cause or error.what
        return Prerequisite("qemu-img", "fail", cause, _INSTALL if "qemu-img" in cause else error.action or _INSTALL)
    finally:
        node.volumes.delete(ctx.unhurried(_CLEANUP_SECONDS), ref)
    return Prerequisite("qemu-img", "ok", "makes qcow2 volumes")


def _absent(node: Node, name: str, directory: str | None) -> Prerequisite:
    if directory is None:
        detail = f"'{name}' does not exist, and no directory for it is known on {node.uri}"
        return Prerequisite("storage pool", "warn", detail, "make it there, or state storagePool.path of the Node")
    return Prerequisite(
        "storage pool", "ok", f"'{name}' does not exist yet; the first that needs it makes it in {directory}"
    )


def _state(node: Node, pool: Pool) -> Prerequisite:
    detail = f"'{pool.name}' in {pool.path or pool.type}, {pool.available >> 30} GiB free"
    if not pool.active:
        mend = f"virsh -c '{node.uri}' pool-start {pool.name}"
        return Prerequisite("storage pool", "fail", f"'{pool.name}' is stopped", mend)
    if pool.available < _SCARCE_BYTES:
        return Prerequisite("storage pool", "warn", detail, f"free space in {pool.path}")
    return Prerequisite("storage pool", "ok", detail)


def _way(node: Node, path: Path) -> Prerequisite:
    """Whether QEMU's user may pass through every directory on the way that is there (libvirt gives it the files, not
    the way; a directory that it makes, anybody may pass through)."""
    user = _qemu_user(session=node.session)
    there = [each for each in (path, *path.parents) if each.is_dir()]
    for each in reversed(there):
        if not _may_enter(each.stat(), user):
            mend = f"chmod o+x {each}" if node.session is False else f"chmod u+x {each}"
            return Prerequisite(
                _PERMISSIONS, "fail", f"user {user.pw_name}, who runs guests, cannot enter {each}", mend
            )
    return Prerequisite(_PERMISSIONS, "ok", f"user {user.pw_name} can enter {there[0]}")


def _qemu_user(*, session: bool) -> pwd.struct_passwd:
    if not session:
        for name in _QEMU_USERS:
            try:
                return pwd.getpwnam(name)
            except KeyError:
                continue
    return pwd.getpwuid(os.geteuid())


def _may_enter(status: os.stat_result, user: pwd.struct_passwd) -> bool:
    if user.pw_uid == 0:
        return True
    if status.st_uid == user.pw_uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid in os.getgrouplist(user.pw_name, user.pw_gid):
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)
