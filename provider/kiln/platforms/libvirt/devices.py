"""Disks of guests that exist: taking them away, and growing them under a running guest."""

from __future__ import annotations

from typing import Any

from kiln.framework.context import Context
from kiln.framework.errors import KilnError, Refused
from kiln.platforms.libvirt.codes import Affect, BlockResize, DomainXml, ErrorCode, ListDomains
from kiln.platforms.libvirt.connection import Link, Opened
from kiln.platforms.libvirt.faults import tolerating
from kiln.platforms.libvirt.guests import Doing, Guest
from kiln.platforms.libvirt.xml.parse import disk_document, disk_target
from kiln.platforms.libvirt.xml.text import dump

UNPLUG_SECONDS = 20.0
_POLL_SECONDS = 0.1


def detach_disk(ctx: Context, link: Link, uuid: str, target: str) -> None:
    """Remove ``target`` from the live and the persistent definition.

    Raises:
        KilnError: the running guest does not let go of it.
    """
    guest = Guest(uuid)
    doing = Doing(f"detach '{target}' from", guest)
    limited = ctx.limited(UNPLUG_SECONDS)

    def live(opened: Opened, *, ask: bool) -> bool:
        return _detach_live(guest.find(opened), target, ask=ask)

    gone = link.run(ctx, doing, lambda opened: live(opened, ask=True))
    while not gone:
        ctx.check(str(doing))
        if limited.remaining(1) <= 0:
            raise KilnError(
                f"could not {doing}",
                cause="the running guest does not let go of the device",
                action="see that its kernel runs and does not have the disk mounted, or stop the guest, and run again",
            )
        ctx.sleep(_POLL_SECONDS, str(doing))
        gone = link.run(ctx, doing, lambda opened: live(opened, ask=False))
    link.run(ctx, doing, lambda opened: _detach_persistent(guest.find(opened), target))


def resize_disk(opened: Opened, path: str, virtual_size: int) -> bool:
    """Grow the disk stored at ``path`` to ``virtual_size`` bytes; False when no running guest has it.

    Raises:
        Refused: it is larger already. libvirt itself would shrink it under the guest without a word.
    """
    for domain in opened.handle.listAllDomains(ListDomains.ACTIVE):
        with tolerating(ErrorCode.NO_DOMAIN, ErrorCode.OPERATION_INVALID):  # gone or stopped since it was listed
            target = disk_target(domain.XMLDesc(0), path)
            if target is None:
                continue
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


def _detach_live(domain: Any, target: str, *, ask: bool) -> bool:
    """Whether the live guest is rid of ``target``, after asking it when ``ask``."""
    if not domain.isActive():
        return True
    found = disk_document(domain.XMLDesc(DomainXml.SECURE), target)
    if found is None:
        return True
    if not ask:
        return False
    # An unplug that is under way already, or ends before the call does, is none of our failures.
    with tolerating(ErrorCode.DEVICE_MISSING, ErrorCode.OPERATION_INVALID, ErrorCode.OPERATION_FAILED):
        domain.detachDeviceFlags(dump(found), Affect.LIVE)
    return disk_document(domain.XMLDesc(0), target) is None


def _detach_persistent(domain: Any, target: str) -> None:
    found = disk_document(domain.XMLDesc(DomainXml.INACTIVE | DomainXml.SECURE), target)
    if found is not None:
        with tolerating(ErrorCode.DEVICE_MISSING):
            domain.detachDeviceFlags(dump(found), Affect.CONFIG)
