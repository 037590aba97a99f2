"""Checks of a storage pool for ``kiln doctor``: is it there, can guests reach into it, can volumes be made in it."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from kiln.framework.context import Context
from kiln.framework.errors import Cancelled, KilnError, NotFound, Unreachable
from kiln.platforms.libvirt import labels
from kiln.platforms.libvirt.marks import TEMPORARY_PREFIX
from kiln.platforms.libvirt.paths import pool_directory
from kiln.platforms.libvirt.uris import is_local
from kiln.ports.nodes import Node, Prerequisite
from kiln.ports.volumes import Pool, VolumeRef

# The user that a system daemon runs QEMU as, by distribution (Debian and Ubuntu, Fedora and RHEL, others).
_QEMU_USERS = ("libvirt-qemu", "qemu")
_INSTALL = "on the node: apt-get install qemu-utils"
_SCARCE_BYTES = 1 << 30


def check(ctx: Context, node: Node, name: str) -> Iterator[Prerequisite]:
    """The pool itself, whether QEMU can enter its directory, and whether confined guests may use what is in it."""
    try:
        pool = node.volumes.pool(ctx, name)
    except NotFound:
        where = pool_directory(node.uri, name) or "the path that the node resource gives"
        yield Prerequisite("storage pool", "ok", f"'{name}' does not exist and will be made in {where}")
        return
    yield _state(node, pool)
    if pool.path and is_local(node.uri):
        yield _directory(node, Path(pool.path))
        labelled = labels.check(Path(pool.path), node.facts(ctx).confinement)
        if labelled is not None:
            yield labelled


def qemu_img(ctx: Context, node: Node, name: str) -> Prerequisite:
    """Whether the node's qemu-img works, shown by having it make an empty qcow2 volume and deleting that again."""
    try:
        ref = VolumeRef(node.volumes.pool(ctx, name).name, f"{TEMPORARY_PREFIX}doctor-{secrets.token_hex(4)}")
    except NotFound:
        if is_local(node.uri) and shutil.which("qemu-img") is None:
            return Prerequisite("qemu-img", "fail", "is not on PATH", _INSTALL)
        return Prerequisite("qemu-img", "ok", "is tried once the storage pool exists")
    try:
        node.volumes.create(ctx, ref, format="qcow2", virtual_size=1 << 20)
        node.volumes.delete(ctx, ref)
    except (Unreachable, Cancelled):
        raise
    except KilnError as error:
        return Prerequisite("qemu-img", "fail", error.cause or error.what, _INSTALL)
    return Prerequisite("qemu-img", "ok", "makes qcow2 volumes")


def _state(node: Node, pool: Pool) -> Prerequisite:
    detail = f"'{pool.name}' in {pool.path or pool.type}, {pool.available >> 30} GiB free"
    if not pool.active:
        mend = f"virsh -c '{node.uri}' pool-start {pool.name}"
        return Prerequisite("storage pool", "fail", f"'{pool.name}' is stopped", mend)
    if pool.available < _SCARCE_BYTES:
        return Prerequisite("storage pool", "warn", detail, f"free space in {pool.path}")
    return Prerequisite("storage pool", "ok", detail)


def _directory(node: Node, path: Path) -> Prerequisite:
    """Whether QEMU's user may pass through every directory on the way (libvirt gives it the files, not the way)."""
    name = "pool permissions"
    if not path.is_dir():
        return Prerequisite(name, "fail", f"{path} is missing", f"mkdir -p -m 0711 {path}, or mount what belongs there")
    user = _qemu_user(session=node.session)
    for each in reversed([path, *path.parents]):
        if not _may_enter(each.stat(), user):
            mend = f"chmod o+x {each}" if node.session is False else f"chmod u+x {each}"
            return Prerequisite(name, "fail", f"user {user.pw_name}, who runs guests, cannot enter {each}", mend)
    return Prerequisite(name, "ok", f"user {user.pw_name} can enter {path}")


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
