"""A storage pool for the moment of a check, and cleaning up after one whatever came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kiln.framework.context import Context
from kiln.framework.errors import KilnError, NotFound
from kiln.framework.process import tag
from kiln.platforms.libvirt.codes import PoolCreate
from kiln.platforms.libvirt.connection import Link, Opened
from kiln.platforms.libvirt.paths import pool_directory
from kiln.platforms.libvirt.pools import active_pools, discard
from kiln.platforms.libvirt.xml.pool import directory_pool, told_pool
from kiln.ports.volumes import PROBE_PREFIX

_CLEANUP_SECONDS = 30.0
_PREFERRED = {"kiln": 0, "default": 1}


@contextmanager
def borrowed_pool(ctx: Context, link: Link) -> Iterator[str]:
    """A directory pool that stays: Kiln's or the default one. A node that has neither gets one for the moment, since
    anybody may take away a pool of their own meanwhile, and our volume would be left in its directory.

    Raises:
        KilnError: there is no pool, and no directory for one is known or can be made.
    """
    found = link.run(ctx, "look for a storage pool", _directory_pools)
    name = f"{PROBE_PREFIX}{tag()}"
    directory = pool_directory(link.uri, name)
    lasting = [pool for pool in found if pool in _PREFERRED or directory is None]
    if lasting:
        yield min(lasting, key=lambda pool: (_PREFERRED.get(pool, 2), pool))
        return
    if directory is None:
        raise KilnError(f"nothing can be tried on {link.uri}", cause="it has no storage pool", action="make one there")
    document = directory_pool(name, directory)
    link.run(
        ctx,
        f"make a storage pool in {directory}",
        lambda opened: opened.handle.storagePoolCreateXML(document, PoolCreate.WITH_BUILD),
    )
    try:
        yield name
    finally:
        cleaning(ctx, link, "remove the probe's pool", lambda opened: discard(opened, name))


def cleaning(ctx: Context, link: Link, doing: str, work: Callable[[Opened], object]) -> None:
    """Run ``work`` also after a cancellation; what is gone already is a success, and what fails is a warning."""
    try:
        link.run(ctx.unhurried(_CLEANUP_SECONDS), doing, work)
    except NotFound:
        return
    except KilnError as error:
        ctx.log.warning(f"{error} (`kiln gc` finds what is left)")


def _directory_pools(opened: Opened) -> list[str]:
    return [name for name, pool in active_pools(opened) if told_pool(pool.XMLDesc(0), active=True).type == "dir"]
