"""Starting guests and getting them to stop.

::

    stopped ──create, paused──▶ paused ──console open──▶ resumed: running
    running ──agent or ACPI asks──▶ (waits, asks again) ──▶ stopped
                                        │ time is up
                                        └──destroy──▶ stopped
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from kiln.framework.context import Context
from kiln.framework.errors import KilnError, NotFound
from kiln.platforms.libvirt import bootfiles
from kiln.platforms.libvirt.codes import DomainCreate, DomainShutdown, DomainState, DomainXml, ErrorCode
from kiln.platforms.libvirt.connection import Link, Opened
from kiln.platforms.libvirt.console import StreamConsole, open_console
from kiln.platforms.libvirt.faults import broken, code_of, message_of, tolerating
from kiln.platforms.libvirt.guests import Doing, Guest
from kiln.platforms.libvirt.xml.os import told_boot
from kiln.platforms.libvirt.xml.parse import told_agent_connected
from kiln.platforms.libvirt.xml.text import parse

# QEMU's start includes relabelling files and, on a busy node, waiting for its monitor (30 s and more).
START_SECONDS = 180.0
_ASK_AGAIN_SECONDS = 10.0
_POLL_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0)
_LACKS = frozenset({ErrorCode.NO_NETWORK, ErrorCode.NO_STORAGE_POOL, ErrorCode.NO_STORAGE_VOL})
_FILES = frozenset({ErrorCode.SYSTEM_ERROR, ErrorCode.INTERNAL_ERROR})
_IN_THE_WAY = (
    ErrorCode.OPERATION_INVALID,
    ErrorCode.AGENT_UNRESPONSIVE,
    ErrorCode.ARGUMENT_UNSUPPORTED,
    ErrorCode.OPERATION_UNSUPPORTED,
    ErrorCode.OPERATION_TIMEOUT,
    ErrorCode.OPERATION_FAILED,
    ErrorCode.INTERNAL_ERROR,
)


def start(ctx: Context, link: Link, uuid: str, *, with_console: bool) -> StreamConsole | None:
    """Start the guest, or resume a paused one; see ``ports.Domains.start``."""

    guest = Guest(uuid)

    def work(opened: Opened) -> StreamConsole | None:
        domain = guest.find(opened)
        _create(domain, DomainCreate.PAUSED if with_console else 0)
        try:
            return open_console(link, opened, domain) if with_console else None
        finally:
            # Also a guest that an interrupted start left paused.
            if with_console or domain.state()[0] == DomainState.PAUSED:
                with tolerating(ErrorCode.OPERATION_INVALID):
                    domain.resume()

    return link.run(ctx, Doing("start", guest), work, seconds=START_SECONDS)


def shutdown(ctx: Context, link: Link, uuid: str, timeout: float) -> bool:
    """Ask the guest to power off, wait up to ``timeout`` seconds, then force it; see ``ports.Domains.shutdown``."""
    guest = Guest(uuid)
    doing = Doing("shut down", guest)
    give_up = time.monotonic() + timeout
    ask_at, polls = 0.0, iter(_POLL_SECONDS)
    pause = next(polls)
    while True:
        now = time.monotonic()
        ask = ask_at <= now < give_up
        if ask:
            # A guest that has not come far enough in its boot does not hear the first time.
            ask_at = now + _ASK_AGAIN_SECONDS
        try:
            if not link.run(ctx, doing, partial(_still_runs, guest=guest, ask=ask)):
                return True
        except NotFound:
            return True
        if time.monotonic() >= give_up:
            destroy(ctx, link, uuid)
            return False
        pause = next(polls, pause)
        ctx.sleep(min(pause, max(0.0, give_up - time.monotonic())), str(doing))


def destroy(ctx: Context, link: Link, uuid: str) -> None:
    """Force the guest off; see ``ports.Domains.destroy``."""

    guest = Guest(uuid)

    def work(opened: Opened) -> None:
        with tolerating(ErrorCode.NO_DOMAIN, ErrorCode.OPERATION_INVALID):
            guest.find(opened).destroyFlags(0)

    link.run(ctx, Doing("force", guest, " off"), work)


def _create(domain: Any, flags: int) -> None:
    try:
        with tolerating(ErrorCode.OPERATION_INVALID):  # it runs already
            domain.createWithFlags(flags)
    except Exception as error:
        if code_of(error) in _LACKS:
            # Something the guest needs is absent, not the guest: a NotFound would say that of it.
            raise KilnError(
                f"could not start guest '{domain.name()}'",
                cause=message_of(error),
                action="make what it needs, or take it out of the guest's disks and networks",
            ) from error
        if code_of(error) in _FILES and not broken(error):
            definition = parse(domain.XMLDesc(DomainXml.INACTIVE)).find("os")
            boot = None if definition is None else told_boot(definition)
            if (fault := bootfiles.blamed(domain.name(), boot, message_of(error))) is not None:
                raise fault from error
        raise


def _still_runs(opened: Opened, *, guest: Guest, ask: bool) -> bool:
    domain = guest.find(opened)
    if not domain.isActive():
        return False
    if ask:
        if domain.state()[0] == DomainState.PAUSED:  # one that is suspended hears nothing
            with tolerating(ErrorCode.OPERATION_INVALID, ErrorCode.OPERATION_FAILED):
                domain.resume()
        _ask(domain)
    return True


def _ask(domain: Any) -> None:
    """Ask through the agent when one is connected, which is surer, and by the power button otherwise."""
    if agent_connected(domain):
        with tolerating(*_IN_THE_WAY):
            domain.shutdownFlags(DomainShutdown.AGENT)
            return
    with tolerating(*_IN_THE_WAY):
        domain.shutdownFlags(DomainShutdown.ACPI)


def agent_connected(domain: Any) -> bool:
    """Whether a guest agent has its channel open now."""
    return told_agent_connected(domain.XMLDesc(0))
