"""Disks and interfaces of guests that exist: giving, changing and taking them, and growing a disk, while they run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

from kiln.framework.context import Context
from kiln.framework.errors import KilnError, Refused
from kiln.platforms.libvirt.codes import Affect, BlockResize, DomainXml, ErrorCode, ListDomains
from kiln.platforms.libvirt.connection import Link, Opened
from kiln.platforms.libvirt.faults import tolerating
from kiln.platforms.libvirt.guests import Doing, Guest
from kiln.platforms.libvirt.xml.disk import disk
from kiln.platforms.libvirt.xml.interface import interface
from kiln.platforms.libvirt.xml.parse import disk_document, disk_target, nic_document
from kiln.platforms.libvirt.xml.text import Element, dump
from kiln.ports.domains import DiskSpec, DomainDisk, DomainNic, NicSpec

Find: TypeAlias = Callable[[str], Element | None]
"""Finds a device in a definition."""

UNPLUG_SECONDS = 20.0
TRAY_SECONDS = 20.0
_TRAY = re.compile("tray", re.IGNORECASE)
_POLL_SECONDS = 0.1


def detach_disk(ctx: Context, link: Link, uuid: str, target: str) -> None:
    """Remove ``target`` from the live and the persistent definition.

    Raises:
        KilnError: the running guest does not let go of it.
    """
    guest = Guest(uuid)
    doing = Doing(f"detach '{target}' from", guest)
    find = partial(disk_document, target=target)
    _unplug(ctx, link, doing, guest, find)
    link.run(ctx, doing, lambda opened: _detach_persistent(guest.find(opened), target))


def unplug(ctx: Context, link: Link, uuid: str, device: DomainDisk | DomainNic) -> None:
    """Take a device from the running guest alone. Raises KilnError when the guest does not let go of it."""
    guest = Guest(uuid)
    find = (
        partial(disk_document, target=device.target)
        if isinstance(device, DomainDisk)
        else partial(nic_document, mac=device.mac)
    )
    _unplug(ctx, link, Doing(f"unplug '{device.called}' from", guest), guest, find)


def plug(domain: Any, device: DiskSpec | NicSpec, settings: Mapping[str, str]) -> None:
    """Give the running guest a device. Raises libvirtError."""
    domain.attachDeviceFlags(dump(_element(device, settings)), Affect.LIVE)


def replug(ctx: Context, link: Link, uuid: str, device: DiskSpec | NicSpec, settings: Mapping[str, str]) -> None:
    """Change the medium or the network of a device of the running guest.

    A guest may close the tray of a drive while its medium is changed, as firmware does that looks for what to boot, or
    keep it locked: that is tried again for a while.

    Raises:
        KilnError: the guest does not let go of the medium, among others.
    """
    guest, document = Guest(uuid), dump(_element(device, settings))
    doing, limited = Doing(f"change '{device.called}' of", guest), ctx.limited(TRAY_SECONDS)
    while True:
        try:
            return link.run(ctx, doing, lambda opened: _update(guest.find(opened), document))
        except KilnError as error:
            if not _TRAY.search(error.cause or ""):
                raise
            if limited.remaining(1) <= 0:
                error.action = "see that the guest does not use the medium (umount, eject -i off, eject), and run again"
                raise
        ctx.sleep(_POLL_SECONDS, str(doing))


def _update(domain: Any, document: str) -> None:
    domain.updateDeviceFlags(document, Affect.LIVE)


def _element(device: DiskSpec | NicSpec, settings: Mapping[str, str]) -> Element:
    """The device without its place in the boot order, which a guest has from its start."""
    if isinstance(device, DiskSpec):
        return disk(replace(device, boot_order=None), cache=settings.get("diskCache"))
    return interface(replace(device, boot_order=None))


def resize_disk(opened: Opened, path: str, virtual_size: int) -> bool:
    """Grow the disk stored at ``path`` to ``virtual_size`` bytes; False when no running guest has it.

    Raises:
        Refused: it is larger already. libvirt itself would shrink it under the guest without a word.
    """
    for domain, target in _attached(opened, path):
        with tolerating(ErrorCode.NO_DOMAIN, ErrorCode.OPERATION_INVALID):  # gone or stopped since it was listed
            size = domain.blockInfo(target)[0]
            if size > virtual_size:
                raise Refused(
                    f"the disk {path} is {size} bytes large and would shrink to {virtual_size}",
                    action="ask for a size that is not smaller than the disk's",
                )
            if size < virtual_size:
                domain.blockResize(target, virtual_size, BlockResize.BYTES)
            return True
    return False


def _attached(opened: Opened, path: str) -> Iterator[tuple[Any, str]]:
    """The running guests that have the disk stored at ``path``, with its device name in them."""
    for domain in opened.handle.listAllDomains(ListDomains.ACTIVE):
        target = None
        with tolerating(ErrorCode.NO_DOMAIN):  # gone since it was listed
            target = disk_target(domain.XMLDesc(0), path)
        if target is not None:
            yield domain, target


def _unplug(ctx: Context, link: Link, doing: Doing, guest: Guest, find: Find) -> None:
    """Take a device from the guest if it runs, and wait until it is gone."""
    limited = ctx.limited(UNPLUG_SECONDS)

    def live(opened: Opened, *, ask: bool) -> bool:
        return _detach_live(guest.find(opened), find, ask=ask)

    gone = link.run(ctx, doing, lambda opened: live(opened, ask=True))
    while not gone:
        ctx.check(str(doing))
        if limited.remaining(1) <= 0:
            raise KilnError(
                f"could not {doing}",
                cause="the running guest does not let go of the device",
                action="see that its kernel runs and does not use it (umount, eject), or stop the guest, and run again",
            )
        ctx.sleep(_POLL_SECONDS, str(doing))
        gone = link.run(ctx, doing, lambda opened: live(opened, ask=False))


def _detach_live(domain: Any, find: Find, *, ask: bool) -> bool:
    """Whether the live guest is rid of a device, after asking it when ``ask``."""
    if not domain.isActive():
        return True
    found = find(domain.XMLDesc(DomainXml.SECURE))
    if found is None:
        return True
    if not ask:
        return False
    # An unplug that is under way already, or ends before the call does, is none of our failures.
    with tolerating(ErrorCode.DEVICE_MISSING, ErrorCode.OPERATION_INVALID, ErrorCode.OPERATION_FAILED):
        domain.detachDeviceFlags(dump(found), Affect.LIVE)
    return find(domain.XMLDesc(0)) is None


def _detach_persistent(domain: Any, target: str) -> None:
    found = disk_document(domain.XMLDesc(DomainXml.INACTIVE | DomainXml.SECURE), target)
    if found is not None:
        with tolerating(ErrorCode.DEVICE_MISSING):
            domain.detachDeviceFlags(dump(found), Affect.CONFIG)
