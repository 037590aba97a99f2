"""Whether an accelerator that a node advertises does run guests: a transient guest must say so itself.

::

    upload the boot sector ──▶ start paused, console open ──▶ resume ──▶ token within 10 s: proven
                                  │ start fails                             │ silence
                                  └──────────────▶ broken, with the reason ◀┘

libvirt destroys the guest when the connection goes (AUTODESTROY), so a killed Kiln leaves none behind. What it does
leave, the guest's disk and log, has names by which `kiln gc` knows that their process is no more.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from kiln.framework.context import Context
from kiln.framework.errors import Cancelled, KilnError, Unreachable
from kiln.framework.process import tag
from kiln.platforms.libvirt import payload, streams
from kiln.platforms.libvirt.borrowed import borrowed_pool, cleaning
from kiln.platforms.libvirt.codes import DomainCreate
from kiln.platforms.libvirt.connection import Link, Opened
from kiln.platforms.libvirt.console import StreamConsole, open_console
from kiln.platforms.libvirt.paths import guest_log
from kiln.platforms.libvirt.uris import is_local
from kiln.platforms.libvirt.xml.probe import probe as probe_document
from kiln.platforms.libvirt.xml.volume import told_volume
from kiln.platforms.libvirt.xml.volume import volume as volume_document
from kiln.ports.volumes import PROBE_PREFIX, TEMPORARY_PREFIX, Chunk, Volume, VolumeRef

SECONDS = 10.0
_QEMU_SAYS = re.compile(r"qemu-system-\S+: (?:error: )?([^\n]+)")


def prove(ctx: Context, link: Link, arch: str, accelerator: Literal["kvm", "tcg"]) -> str | None:
    """None when a guest ran under the accelerator, else why it did not, as a clause: "the probe guest ...".

    Raises:
        KilnError: the guest could not be tried at all, because its disk could not be made.
    """
    with _volume(ctx, link) as volume:
        name = f"{PROBE_PREFIX}{tag()}"
        document = probe_document(name, arch, accelerator, volume)
        try:
            return _watch(ctx, _start(ctx, link, document))
        except (Unreachable, Cancelled):
            raise
        except KilnError as error:
            return f"the probe guest did not start: {_essence(error.cause or error.what)}"
        finally:
            cleaning(ctx, link, "remove the probe guest", lambda opened: opened.handle.lookupByName(name).destroy())
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
    name = f"{TEMPORARY_PREFIX}probe-{tag()}"
    with borrowed_pool(ctx, link) as pool:

        def make(opened: Opened) -> Volume:
            handle = opened.handle.storagePoolLookupByName(pool)
            made = handle.createXML(volume_document(name, format="raw", virtual_size=len(image)), 0)
            return told_volume(made.XMLDesc(0), pool)

        volume = link.run(ctx, "make the probe guest's disk", make)
        try:
            streams.upload(ctx, link, VolumeRef(pool, name), iter([Chunk(image)]))
            yield volume
        finally:
            cleaning(
                ctx,
                link,
                "remove the probe guest's disk",
                lambda opened: opened.handle.storagePoolLookupByName(pool).storageVolLookupByName(name).delete(0),
            )


def _remove_log(uri: str, name: str) -> None:
    """Remove what libvirt logged about the guest, where that is within reach: each has a name of its own."""
    log = guest_log(uri, name)
    if log is not None and is_local(uri):
        with contextlib.suppress(OSError):
            Path(log).unlink()
