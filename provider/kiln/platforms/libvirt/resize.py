"""Memory and virtual CPUs of guests that run."""

from __future__ import annotations

from typing import Any

from kiln.framework.context import Context
from kiln.framework.errors import KilnError
from kiln.platforms.libvirt.codes import Affect, ErrorCode
from kiln.platforms.libvirt.connection import Link
from kiln.platforms.libvirt.faults import tolerating
from kiln.platforms.libvirt.guests import Doing, Guest
from kiln.platforms.libvirt.xml.sizes import module, told_memory
from kiln.platforms.libvirt.xml.text import dump, parse

BALLOON_SECONDS = 20.0
_POLL_SECONDS = 0.2
_MIB = 1024


def plug_memory(domain: Any, size: int) -> None:
    """Give the running guest a memory module of ``size`` KiB. Raises libvirtError."""
    domain.attachDeviceFlags(dump(module(size)), Affect.LIVE)


def plug_vcpus(domain: Any, count: int) -> None:
    """Give the running guest virtual CPUs until it has ``count``. Raises libvirtError."""
    domain.setVcpusFlags(count, Affect.LIVE)


def spare_memory(domain: Any) -> int | None:
    """KiB that the running guest's balloon driver says could be had without swapping; None where it says nothing."""
    told: dict[str, int] = {}
    with tolerating(ErrorCode.OPERATION_INVALID):  # it stopped
        told = domain.memoryStats()
    return told.get("usable")


def balloon(ctx: Context, link: Link, uuid: str, size: int) -> None:
    """Have the running guest own ``size`` KiB of the memory that is plugged into it.

    Raises:
        KilnError: it does not; it was asked for what it had before.
    """
    guest = Guest(uuid)
    doing = Doing("change the memory of", guest)
    limited = ctx.limited(BALLOON_SECONDS)
    before = link.run(ctx, doing, lambda opened: _ask(guest.find(opened), size))
    while abs(link.run(ctx, doing, lambda opened: _owned(guest.find(opened))) - size) >= _MIB:
        ctx.check(str(doing))
        if limited.remaining(1) <= 0:
            link.run(ctx, doing, lambda opened: _ask(guest.find(opened), before))
            raise KilnError(
                f"could not {doing}",
                cause=f"within {BALLOON_SECONDS:.0f} s the guest's balloon driver did not come to {size // _MIB} MiB",
                action="see that its kernel runs and has the memory to spare, or stop the guest, and run again",
            )
        ctx.sleep(_POLL_SECONDS, str(doing))


def _ask(domain: Any, size: int) -> int:
    """Ask the guest to own ``size`` KiB; what it owned before."""
    before = _owned(domain)
    domain.setMemoryFlags(size, Affect.LIVE)
    return before


def _owned(domain: Any) -> int:
    """KiB that the guest owns, by its live definition as all read it, which follows the balloon a second later."""
    return told_memory(parse(domain.XMLDesc(0)), "currentMemory")
