"""Whether an accelerator that a node advertises does run guests: a transient guest must say so itself.

::

    upload the boot sector ──▶ start paused, console open ──▶ resume ──▶ token within 10 s: proven
                                  │ start fails                             │ silence
                                  └──────────────▶ broken, with the reason ◀┘

libvirt destroys the guest when the connection goes (AUTODESTROY), so a killed Kiln leaves none behind.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from kiln.framework.context import Context
from kiln.framework.errors import Cancelled, KilnError, NotFound, Unreachable
from kiln.platforms.libvirt import payload, streams
from kiln.platforms.libvirt.codes import DomainCreate, PoolCreate
from kiln.platforms.libvirt.connection import Link, Opened
from kiln.platforms.libvirt.console import StreamConsole, open_console
from kiln.platforms.libvirt.marks import TEMPORARY_PREFIX
from kiln.platforms.libvirt.paths import guest_log, pool_directory
from kiln.platforms.libvirt.pools import active_pools
from kiln.platforms.libvirt.uris import is_local
from kiln.platforms.libvirt.xml.pool import directory_pool, told_pool
from kiln.platforms.libvirt.xml.probe import probe as probe_document
from kiln.platforms.libvirt.xml.volume import told_volume
from kiln.platforms.libvirt.xml.volume import volume as volume_document
from kiln.ports.volumes import Chunk, Volume, VolumeRef

SECONDS = 10.0
_CLEANUP_SECONDS = 30.0
_QEMU_SAYS = re.compile(r"qemu-system-\S+: (?:error: )?([^\n]+)")
_PREFERRED = {"kiln": 0, "default": 1}


def prove(ctx: Context, link: Link, arch: str, accelerator: Literal["kvm", "tcg"]) -> str | None:
    """None when a guest ran under the accelerator, else why it did not, as a clause: "the probe guest ...".

    Raises:
        KilnError: the guest could not be tried at all, because its disk could not be made.
    """
    with _volume(ctx, link) as volume:
        name = f"kiln-probe-{secrets.token_hex(4)}"
        document = probe_document(name, arch, accelerator, volume)
        try:
            return _watch(ctx, _start(ctx, link, document))
        except (Unreachable, Cancelled):
            raise
        except KilnError as error:
            return f"the probe guest did not start: {_essence(error.cause or error.what)}"
        finally:
            _cleaning(ctx, link, "remove the probe guest", lambda opened: opened.handle.lookupByName(name).destroy())
            _remove_log(link.uri, name)


def _essence(message: str) -> str:
    """QEMU's own words in a message of libvirt's, the same each time: without times and what came of it in turn."""
    said = _QEMU_SAYS.search(message)
    return said.group(1).strip() if said else " ".join(message.split())


def _start(ctx: Context, link: Link, document: str) -> StreamConsole:
    def work(opened: Opened) -> StreamConsole:
        domain = opened.handle.createXML(document, DomainCreate.PAUSED | DomainCreate.AUTODESTROY)
        console = open_console(link, opened, domain)
        domain.resume()
        return console

    return link.run(ctx, "start the probe guest", work)


def _watch(ctx: Context, console: StreamConsole) -> str | None:
    output = b""
    give_up = time.monotonic() + SECONDS
    try:
        while payload.TOKEN not in output:
            left = give_up - time.monotonic()
            if left <= 0:
                return f"the probe guest did not come to its end within {SECONDS:.0f} s: {payload.stage(output)}"
            output += console.read(ctx, left)
    finally:
        console.close()
    return None


@contextmanager
def _volume(ctx: Context, link: Link) -> Iterator[Volume]:
    """The boot sector as a volume in a directory pool of the node, under a name that no listing shows."""
    image = payload.image()
    name = f"{TEMPORARY_PREFIX}probe-{secrets.token_hex(4)}"
    with _pool(ctx, link) as pool:

        def make(opened: Opened) -> Volume:
            handle = opened.handle.storagePoolLookupByName(pool)
            made = handle.createXML(volume_document(name, format="raw", virtual_size=len(image)), 0)
            return told_volume(made.XMLDesc(0), pool)

        volume = link.run(ctx, "make the probe guest's disk", make)
        try:
            streams.upload(ctx, link, VolumeRef(pool, name), iter([Chunk(image)]))
            yield volume
        finally:
            _cleaning(
                ctx,
                link,
                "remove the probe guest's disk",
                lambda opened: opened.handle.storagePoolLookupByName(pool).storageVolLookupByName(name).delete(0),
            )


@contextmanager
def _pool(ctx: Context, link: Link) -> Iterator[str]:
    """A directory pool that stays: Kiln's or the default one. A node that has neither gets one for the moment, since
    anybody may take away a pool of their own meanwhile, and our volume would be left in its directory."""
    found = link.run(ctx, "look for a storage pool", _directory_pools)
    name = f"kiln-probe-{secrets.token_hex(4)}"
    directory = pool_directory(link.uri, name)
    lasting = [pool for pool in found if pool in _PREFERRED or directory is None]
    if lasting:
        yield min(lasting, key=lambda pool: (_PREFERRED.get(pool, 2), pool))
        return
    if directory is None:
        raise KilnError(
            f"the accelerator of {link.uri} cannot be tried", cause="it has no storage pool", action="make a pool there"
        )
    document = directory_pool(name, directory)
    link.run(
        ctx,
        f"make a storage pool in {directory}",
        lambda opened: opened.handle.storagePoolCreateXML(document, PoolCreate.WITH_BUILD),
    )
    try:
        yield name
    finally:
        _cleaning(ctx, link, "remove the probe guest's pool", lambda opened: _remove_pool(opened, name))


def _directory_pools(opened: Opened) -> list[str]:
    return [name for name, pool in active_pools(opened) if told_pool(pool.XMLDesc(0), active=True).type == "dir"]


def _remove_pool(opened: Opened, name: str) -> None:
    """Stop the pool and remove its directory, which only a pool that is stopped, and so defined, can be asked for."""
    pool = opened.handle.storagePoolLookupByName(name)
    pool = opened.handle.storagePoolDefineXML(pool.XMLDesc(0), 0)
    pool.destroy()
    with contextlib.suppress(Exception):  # somebody put something into it
        pool.delete(0)
    pool.undefine()


def _remove_log(uri: str, name: str) -> None:
    """Remove what libvirt logged about the guest, where that is within reach: each has a name of its own."""
    log = guest_log(uri, name)
    if log is not None and is_local(uri):
        with contextlib.suppress(OSError):
            Path(log).unlink()


def _cleaning(ctx: Context, link: Link, doing: str, work: Any) -> None:
    try:
        link.run(ctx.unhurried(_CLEANUP_SECONDS), doing, work)
    except NotFound:
        return
    except KilnError as error:
        ctx.log.warning(str(error))
