"""The guests of one libvirt node. Fits ``ports.Domains``."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from kiln.framework.context import Context
from kiln.framework.errors import KilnError
from kiln.platforms.libvirt import devices, lifecycle, logs, machines, observe, overlays, resize, undefining
from kiln.platforms.libvirt.codes import Affect, DomainMetadata, DomainXml, ErrorCode
from kiln.platforms.libvirt.connection import Link, agent_command
from kiln.platforms.libvirt.console import StreamConsole
from kiln.platforms.libvirt.contents import Contents
from kiln.platforms.libvirt.faults import tolerating
from kiln.platforms.libvirt.guests import Doing, Guest
from kiln.platforms.libvirt.paths import console_log
from kiln.platforms.libvirt.recent import Recent
from kiln.platforms.libvirt.uris import is_local, is_session
from kiln.platforms.libvirt.xml import metadata
from kiln.platforms.libvirt.xml.domain import domain as domain_document
from kiln.platforms.libvirt.xml.overlay import told as told_overlay
from kiln.platforms.libvirt.xml.text import dump, parse
from kiln.ports.definition import Definition
from kiln.ports.domains import (
    Address,
    DiskSpec,
    Domain,
    DomainDisk,
    DomainNic,
    DomainSpec,
    GuestLog,
    NicSpec,
)
from kiln.ports.marks import Mark
from kiln.ports.overlays import OverlaySpec

T = TypeVar("T")

LOG_BACKUPS = 3
"""How many rotated logs virtlogd keeps (max_backups in virtlogd.conf)."""

_AGENT_SILENT = (
    ErrorCode.INTERNAL_ERROR,  # what libvirt makes of an agent's own error, such as a file that is not there
    ErrorCode.AGENT_UNRESPONSIVE,
    ErrorCode.ARGUMENT_UNSUPPORTED,
    ErrorCode.OPERATION_UNSUPPORTED,
    ErrorCode.OPERATION_INVALID,
    ErrorCode.OPERATION_TIMEOUT,
    ErrorCode.CONFIG_UNSUPPORTED,
    ErrorCode.NO_SUPPORT,
)


class LibvirtDomains:
    """Guests by UUID. ``contents`` is what was read of the volumes, which a guest may change."""

    def __init__(self, link: Link, contents: Contents) -> None:
        self._link = link
        self._contents = contents
        self._recent = Recent(
            link, "read all guests", read_all=observe.read_all, seen=observe.seen, read=observe.read_one
        )

    def changing(self) -> AbstractContextManager[None]:
        """Around a change made to guests by somebody else than this: nothing read before its end is told after it."""
        return self._recent.changing()

    def define(self, ctx: Context, spec: DomainSpec) -> Domain:
        """Define, or redefine under the same UUID."""
        log = console_log(self._link.uri, spec.name, spec.uuid)
        if log is not None and is_session(self._link.uri):
            # A session daemon makes its directory for logs later than it needs it.
            Path(log).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        document = domain_document(spec, console_log=log)
        try:
            with self._recent.changing(spec.uuid):
                return self._link.run(
                    ctx,
                    f"define guest '{spec.name}'",
                    lambda opened: observe.describe(overlays.define(opened, document, spec.overlay)),
                )
        except KilnError as error:
            machine = spec.platform_config.get("machine")
            if machine is not None and (fault := machines.without_pci(machine, error.cause or "")) is not None:
                raise fault.at(node=self._link.uri) from error
            raise

    def rehearse(self, ctx: Context, spec: DomainSpec) -> None:
        """Apply the overlay to the definition."""
        domain_document(spec, console_log=console_log(self._link.uri, spec.name, spec.uuid))

    def overlaid(
        self, ctx: Context, uuid: str, overlay: Sequence[OverlaySpec], *, recent: bool = False
    ) -> Sequence[OverlaySpec]:
        """The overlay as the definition has it."""
        found = self._recent.get(ctx, uuid) if recent else None
        if found is None:
            found = self._with(ctx, "read", uuid, observe.read)
        return told_overlay(found.definition, overlay)

    def definition(self, ctx: Context, uuid: str) -> Definition:
        """The definition as it is."""
        flags = DomainXml.INACTIVE | DomainXml.SECURE
        return self._with(ctx, "read the definition of", uuid, lambda domain: Definition(domain.XMLDesc(flags)))

    def restore(self, ctx: Context, definition: Definition) -> Domain:
        """Define a guest as it was."""
        with self._recent.changing():
            return self._link.run(
                ctx,
                "put the guest's definition back",
                lambda opened: observe.describe(opened.handle.defineXMLFlags(definition.text, 0)),
            )

    def get(self, ctx: Context, uuid: str, *, recent: bool = False) -> Domain:
        """One guest."""
        if recent and (found := self._recent.get(ctx, uuid)) is not None:
            return found.told()
        return self._with(ctx, "read", uuid, observe.describe)

    def by_name(self, ctx: Context, name: str) -> Domain:
        """One guest by name."""
        return self._link.run(
            ctx, f"read guest '{name}'", lambda opened: observe.describe(opened.handle.lookupByName(name))
        )

    def list(self, ctx: Context, *, recent: bool = False) -> Sequence[Domain]:
        """All guests of the node."""
        found = self._recent.now(ctx) if recent else self._link.run(ctx, "list guests", observe.read_all)
        return [reading.told() for reading in found.values()]

    def start(self, ctx: Context, uuid: str, *, with_console: bool = False) -> StreamConsole | None:
        """Start the guest, or resume a paused one."""
        with self._recent.changing(uuid):
            return lifecycle.start(ctx, self._link, uuid, with_console=with_console)

    def shutdown(self, ctx: Context, uuid: str, timeout: float) -> bool:
        """Ask the guest to power off, then force it."""
        with self._recent.changing(uuid):
            return lifecycle.shutdown(ctx, self._link, uuid, timeout)

    def destroy(self, ctx: Context, uuid: str) -> None:
        """Force the guest off."""
        with self._recent.changing(uuid):
            lifecycle.destroy(ctx, self._link, uuid)

    def undefine(self, ctx: Context, uuid: str) -> None:
        """Remove the definition, all that libvirt keeps beside it, and the console's log if it is on this machine."""
        with self._recent.changing(uuid):
            gone = undefining.undefine(ctx, self._link, uuid)
        if gone is not None and gone.snapshots:
            ctx.log.warning(f"with guest '{gone.name}' go its snapshots: {', '.join(gone.snapshots)}")
        log = None if gone is None else console_log(self._link.uri, gone.name, uuid)
        if log is not None and is_local(self._link.uri):
            _remove_log(Path(log))

    def set_mark(self, ctx: Context, uuid: str, mark: Mark) -> None:
        """Replace the ownership mark."""

        def work(domain: Any) -> None:
            for side in Affect.CONFIG, Affect.LIVE:
                if side & _everywhere(domain):
                    _set_mark(domain, mark, side)

        self._change(ctx, "mark", uuid, work)

    def set_autostart(self, ctx: Context, uuid: str, autostart: bool) -> None:
        """Start the guest with the node, or not."""
        self._change(ctx, "set autostart of", uuid, lambda domain: domain.setAutostart(int(autostart)))

    def set_description(self, ctx: Context, uuid: str, description: str | None) -> None:
        """Replace the description."""
        self._change(
            ctx,
            "describe",
            uuid,
            lambda domain: domain.setMetadata(DomainMetadata.DESCRIPTION, description, None, None, _everywhere(domain)),
        )

    def rename(self, ctx: Context, uuid: str, name: str) -> None:
        """Give a guest that is off another name."""
        self._change(ctx, f"rename to '{name}'", uuid, lambda domain: domain.rename(name, 0))

    def detach_disk(self, ctx: Context, uuid: str, target: str) -> None:
        """Remove a disk or CD from the live and the persistent definition."""
        with self._recent.changing(uuid):
            devices.detach_disk(ctx, self._link, uuid, target)

    def plug(self, ctx: Context, uuid: str, device: DiskSpec | NicSpec, settings: Mapping[str, str]) -> None:
        """Give the running guest a device."""
        self._change(ctx, f"plug '{device.called}' into", uuid, lambda domain: devices.plug(domain, device, settings))

    def unplug(self, ctx: Context, uuid: str, device: DomainDisk | DomainNic) -> None:
        """Take a device from the running guest."""
        with self._recent.changing(uuid):
            devices.unplug(ctx, self._link, uuid, device)

    def replug(self, ctx: Context, uuid: str, device: DiskSpec | NicSpec, settings: Mapping[str, str]) -> None:
        """Change the medium or the network of a device of the running guest."""
        with self._recent.changing(uuid):
            devices.replug(ctx, self._link, uuid, device, settings)

    def plug_memory(self, ctx: Context, uuid: str, size: int) -> None:
        """Give the running guest a memory module."""
        self._change(ctx, "give memory to", uuid, lambda domain: resize.plug_memory(domain, size))

    def balloon(self, ctx: Context, uuid: str, size: int) -> None:
        """Have the running guest give back memory, or take it again."""
        with self._recent.changing(uuid):
            resize.balloon(ctx, self._link, uuid, size)

    def spare_memory(self, ctx: Context, uuid: str) -> int | None:
        """What the running guest says it could do without."""
        return self._with(ctx, "ask for the spare memory of", uuid, resize.spare_memory)

    def plug_vcpus(self, ctx: Context, uuid: str, count: int) -> None:
        """Give the running guest virtual CPUs."""
        self._change(ctx, "give virtual CPUs to", uuid, lambda domain: resize.plug_vcpus(domain, count))

    def resize_disk(self, ctx: Context, path: str, virtual_size: int) -> bool:
        """Grow the disk at ``path`` through the running guest that uses it."""
        with self._contents.changing():
            return self._link.run(
                ctx, f"grow the disk {path}", lambda opened: devices.resize_disk(opened, path, virtual_size)
            )

    def users(self, ctx: Context, path: str) -> Sequence[str]:
        """The names of the running guests that have the disk at ``path``."""
        guests = self.list(ctx, recent=True)
        return [one.name for one in guests if one.live and any(disk.path == path for disk in one.live.disks)]

    def addresses(self, ctx: Context, uuid: str) -> Sequence[Address]:
        """The guest's addresses."""
        return self._with(ctx, "read the addresses of", uuid, observe.addresses)

    def agent_command(self, ctx: Context, uuid: str, command: str, seconds: float) -> str | None:
        """Send a guest-agent command and return the reply, None when no agent answers in time."""

        def work(domain: Any) -> str | None:
            with tolerating(*_AGENT_SILENT):
                return agent_command(domain, command, max(1, round(seconds)))
            return None

        return self._with(ctx, "ask the agent of", uuid, work)

    def log_tail(self, ctx: Context, uuid: str, limit: int) -> bytes:
        """The last ``limit`` bytes of the serial console's log."""
        if not is_local(self._link.uri):
            return b""
        log = self.get(ctx, uuid).console_log
        return b"" if log is None else _tail(log, limit)

    def logs(self, ctx: Context) -> Sequence[GuestLog]:
        """The logs of Kiln's guests that are within reach of this process."""
        return logs.all_logs(self._link)

    def delete_log(self, ctx: Context, log: GuestLog) -> None:
        """Delete a log that no guest writes to."""
        logs.delete(ctx, self._link, log)

    def _change(self, ctx: Context, verb: str, uuid: str, work: Callable[[Any], T]) -> T:
        with self._recent.changing(uuid):
            return self._with(ctx, verb, uuid, work)

    def _with(self, ctx: Context, verb: str, uuid: str, work: Callable[[Any], T]) -> T:
        guest = Guest(uuid)
        return self._link.run(ctx, Doing(verb, guest), lambda opened: work(guest.find(opened)))


def _everywhere(domain: Any) -> int:
    return Affect.CONFIG | Affect.LIVE if domain.isActive() else Affect.CONFIG


def _set_mark(domain: Any, mark: Mark, side: Affect) -> None:
    """Another mark in one of the two definitions: what else is kept there need not be the same in both."""
    found = None
    with tolerating(ErrorCode.NO_DOMAIN_METADATA):
        found = parse(domain.metadata(DomainMetadata.ELEMENT, metadata.NAMESPACE, side))
    document = dump(metadata.metadata(replace(metadata.told(found), mark=mark), bare=True))
    domain.setMetadata(DomainMetadata.ELEMENT, document, metadata.PREFIX, metadata.NAMESPACE, side)


def _remove_log(log: Path) -> None:
    for file in (log, *(log.with_name(f"{log.name}.{index}") for index in range(LOG_BACKUPS))):
        with contextlib.suppress(OSError):
            file.unlink()


def _tail(path: str, limit: int) -> bytes:
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - limit))
            return log.read(limit)
    except OSError:
        return b""
