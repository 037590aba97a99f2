"""Guests: what Kiln asks for (``DomainSpec``) and what the node says there is (``Domain``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from kiln.framework.context import Context
from kiln.ports.definition import Definition
from kiln.ports.marks import Mark
from kiln.ports.overlays import OverlaySpec
from kiln.ports.volumes import Volume

PowerState = Literal["running", "stopped", "paused", "crashed", "saved"]
LinkState = Literal["up", "down"]


@dataclass(frozen=True)
class DiskSpec:
    """A disk or CD of a guest.

    ``chain`` is the volume and its whole backing chain, top first: the XML names every member with its format, so that
    nothing is ever probed. ``target`` is the guest device name (``vda``, ``sda``). ``boot_order`` is 1-based.
    """

    chain: Sequence[Volume]
    target: str
    device: Literal["disk", "cdrom"] = "disk"
    bus: Literal["virtio", "scsi", "sata"] = "virtio"
    boot_order: int | None = None
    serial: str | None = None

    @property
    def called(self) -> str:
        """What errors call it."""
        return self.target


@dataclass(frozen=True)
class NicSpec:
    """A network interface. Exactly one of ``network`` (libvirt network) and ``bridge`` (host bridge) is set, or neither
    for user-mode networking. ``mac`` is lower case with colons. ``link`` says whether its cable is plugged in."""

    mac: str
    network: str | None = None
    bridge: str | None = None
    model: str = "virtio"
    link: LinkState = "up"
    boot_order: int | None = None

    @property
    def called(self) -> str:
        """What errors call it."""
        return self.mac


@dataclass(frozen=True)
class BootSpec:
    """Direct kernel boot: paths on the node and the kernel's command line."""

    kernel: str
    initrd: str | None = None
    cmdline: str | None = None


@dataclass(frozen=True)
class Sizes:
    """What a guest is given, and what it can grow to while it runs, None for no more. Memory in KiB."""

    memory: int
    vcpus: int
    max_memory: int | None = None
    max_vcpus: int | None = None


@dataclass(frozen=True)
class DomainSpec:
    """A guest as Kiln wants it. Memory is KiB. ``accelerator`` is the effective one, and ``cpu_mode`` is None for what
    fits it. ``max_memory`` and ``max_vcpus`` are what it can grow to while it runs.

    ``graphics_password`` is only set when ``graphics`` is ``vnc``. ``metadata`` are free key/value pairs kept in the
    domain's metadata. ``platform_config`` holds platform settings that have no property of their own, ``overlay`` are
    the last changes of the definition. ``asked`` are digests of what was asked for, kept in the domain's metadata: a
    guest keeps those that it was started with.
    """

    name: str
    uuid: str
    memory: int
    vcpus: int
    arch: str
    accelerator: Literal["kvm", "tcg"]
    cpu_mode: str | None
    firmware: Literal["bios", "efi"]
    disks: Sequence[DiskSpec]
    nics: Sequence[NicSpec]
    mark: Mark
    boot: BootSpec | None = None
    description: str | None = None
    graphics: Literal["none", "vnc"] = "none"
    graphics_password: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    platform_config: Mapping[str, str] = field(default_factory=dict)
    asked: Mapping[str, str] = field(default_factory=dict)
    overlay: Sequence[OverlaySpec] = ()
    max_memory: int | None = None
    max_vcpus: int | None = None

    @property
    def sizes(self) -> Sizes:
        """Memory and virtual CPUs."""
        return Sizes(self.memory, self.vcpus, self.max_memory, self.max_vcpus)


@dataclass(frozen=True)
class DomainDisk:
    """A disk of a guest as the node sees it; ``path`` is None for an empty CD drive. ``backing`` are the paths of what
    it is an overlay of, near ones first, as far as the definition names them."""

    target: str
    device: str
    bus: str
    path: str | None
    format: str | None
    serial: str | None = None
    boot_order: int | None = None
    backing: Sequence[str] = ()

    @property
    def called(self) -> str:
        """What errors call it."""
        return self.target


@dataclass(frozen=True)
class DomainNic:
    """A network interface as the node sees it."""

    mac: str
    kind: str
    source: str | None
    model: str | None
    link: LinkState = "up"
    boot_order: int | None = None

    @property
    def called(self) -> str:
        """What errors call it."""
        return self.mac

    @property
    def network(self) -> str | None:
        """The network it is on, None for one that is on something else."""
        return self.source if self.kind == "network" else None

    @property
    def bridge(self) -> str | None:
        """The host's bridge it is on, None for one that is on something else."""
        return self.source if self.kind == "bridge" else None


@dataclass(frozen=True)
class Address:
    """An IP address of a guest's interface. ``source`` is ``lease``, ``agent`` or ``arp``."""

    mac: str
    address: str
    prefix: int | None
    source: str


@dataclass(frozen=True)
class Live:
    """What a guest has while it runs, which its definition need not say (memory in KiB).

    ``free_slots`` is how many more disks and interfaces its PCI bus takes, None where that is not known. ``memory`` is
    what it owns of the ``installed``, of which its balloon has given back the rest. It can grow to ``max_memory`` (None
    for not at all) by as many more modules as ``memory_slots``, and to ``max_vcpus``. ``asked`` and ``sizes`` are those
    of the definition which it was started with.
    """

    memory: int
    vcpus: int
    disks: Sequence[DomainDisk]
    nics: Sequence[DomainNic]
    free_slots: int | None = None
    installed: int = 0
    max_memory: int | None = None
    memory_slots: int = 0
    max_vcpus: int = 0
    asked: Mapping[str, str] = field(default_factory=dict)
    sizes: Sizes | None = None


@dataclass(frozen=True)
class Domain:
    """A guest as the node sees it, from its persistent definition (memory in KiB).

    ``mark`` is None for guests Kiln did not make. ``vnc_port`` is known while it runs, and so is ``live``. ``memory``
    and ``vcpus`` are the most it can have; what it gets at its start is ``current_memory`` and ``current_vcpus``, where
    the node says so. ``max_memory`` is what it can grow to with more modules, ``sizes`` what it was asked to have.
    ``cpu_mode`` is None for a CPU that nobody chose. ``platform_config`` holds the settings that it was made with, or
    that are not the usual. ``transient``: it was undefined while it ran, and is gone when it stops.
    """

    name: str
    uuid: str
    state: PowerState
    memory: int
    vcpus: int
    cpu_mode: str | None
    firmware: str
    accelerator: Literal["kvm", "tcg"]
    disks: Sequence[DomainDisk]
    nics: Sequence[DomainNic]
    autostart: bool
    boot: BootSpec | None
    description: str | None
    graphics: str
    mark: Mark | None
    metadata: Mapping[str, str] = field(default_factory=dict)
    platform_config: Mapping[str, str] = field(default_factory=dict)
    vnc_port: int | None = None
    console_log: str | None = None
    current_memory: int | None = None
    current_vcpus: int | None = None
    live: Live | None = None
    transient: bool = False
    max_memory: int | None = None
    asked: Mapping[str, str] = field(default_factory=dict)
    sizes: Sizes | None = None


@dataclass(frozen=True)
class GuestLog:
    """A log whose name proves that it is of a guest of Kiln's: the console's of a server, whose UUID is in it, or that
    of a probe guest (``uuid`` is None). ``changed`` is when it was last written to, in seconds since the epoch."""

    path: str
    name: str
    uuid: str | None
    changed: float


class Console(Protocol):
    """An open stream of a guest's serial console, bytes out of the guest only."""

    def read(self, ctx: Context, seconds: float) -> bytes:
        """What the guest wrote since the last call; waits up to ``seconds`` for the first byte, then b""."""

    def close(self) -> None:
        """End the stream; the guest is not disturbed."""


class Domains(Protocol):
    """What can be done with the guests of one node. Guests are named by UUID."""

    def define(self, ctx: Context, spec: DomainSpec) -> Domain:
        """Define, or redefine under the same UUID; a transient guest becomes persistent. Raises Conflict when another
        UUID has the name, and InputError at an entry of the overlay that cannot be applied, or is not kept."""

    def rehearse(self, ctx: Context, spec: DomainSpec) -> None:
        """Apply the overlay to the definition that ``define`` would make, and make none. Raises InputError at an entry
        that cannot be applied."""

    def overlaid(
        self, ctx: Context, uuid: str, overlay: Sequence[OverlaySpec], *, recent: bool = False
    ) -> Sequence[OverlaySpec]:
        """Each entry as the guest's persistent definition has it: as it is where the change is there, else with the
        value that an attribute has instead, or with no change at all. ``recent`` as for ``get``. Raises NotFound."""

    def definition(self, ctx: Context, uuid: str) -> Definition:
        """The definition as it is, with all that Kiln knows nothing of. Raises NotFound."""

    def restore(self, ctx: Context, definition: Definition) -> Domain:
        """Define a guest as it was; whether it runs does not change."""

    def get(self, ctx: Context, uuid: str, *, recent: bool = False) -> Domain:
        """One guest. Raises NotFound.

        With ``recent`` it may be told as it was a few seconds ago, though never as it was before a change made through
        this port: a refresh of many guests then reads the node once. Never decide on a change by it."""

    def by_name(self, ctx: Context, name: str) -> Domain:
        """One guest by name. Raises NotFound."""

    def list(self, ctx: Context, *, recent: bool = False) -> Sequence[Domain]:
        """All guests of the node, running or not.

        With ``recent`` each may be told as it was a few seconds ago, but for what is new, was started or stopped since,
        or was changed through this port: a run that makes many guests then reads each only a few times."""

    def start(self, ctx: Context, uuid: str, *, with_console: bool = False) -> Console | None:
        """Start the guest; with ``with_console`` its serial console is opened before the guest runs its first
        instruction (started paused, then resumed) and returned. A running guest is left alone (console opened)."""

    def shutdown(self, ctx: Context, uuid: str, timeout: float) -> bool:
        """Ask the guest to power off (agent, else ACPI), wait up to ``timeout`` seconds, then force it off.

        True when it went by itself. A guest that does not run is a success."""

    def destroy(self, ctx: Context, uuid: str) -> None:
        """Force the guest off; one that does not run, or is gone, is a success."""

    def undefine(self, ctx: Context, uuid: str) -> None:
        """Remove the definition with NVRAM, TPM state, managed save, snapshots; gone is a success."""

    def set_mark(self, ctx: Context, uuid: str, mark: Mark) -> None:
        """Replace the ownership mark, and nothing else, in the persistent and the live definition."""

    def set_autostart(self, ctx: Context, uuid: str, autostart: bool) -> None:
        """Start the guest with the node, or not."""

    def set_description(self, ctx: Context, uuid: str, description: str | None) -> None:
        """Replace the description in the persistent and live definition."""

    def rename(self, ctx: Context, uuid: str, name: str) -> None:
        """Give a guest that is off another name. Raises Conflict when another guest has it."""

    def detach_disk(self, ctx: Context, uuid: str, target: str) -> None:
        """Remove the disk or CD ``target`` from the live and the persistent definition; not there is a success."""

    def plug(self, ctx: Context, uuid: str, device: DiskSpec | NicSpec, settings: Mapping[str, str]) -> None:
        """Give the running guest a disk, CD drive or interface; its definition stays as it is. ``settings`` is the
        guest's ``platform_config``."""

    def unplug(self, ctx: Context, uuid: str, device: DomainDisk | DomainNic) -> None:
        """Take a disk, CD drive or interface from the running guest; not there is a success.

        Raises KilnError when the guest does not let go of it within 20 s."""

    def replug(self, ctx: Context, uuid: str, device: DiskSpec | NicSpec, settings: Mapping[str, str]) -> None:
        """Put another medium into a CD drive of the running guest, or connect an interface to another network.

        Raises KilnError when the guest has locked the drive."""

    def plug_memory(self, ctx: Context, uuid: str, size: int) -> None:
        """Give the running guest a memory module of ``size`` KiB, which it has to bring online; its definition stays
        as it is."""

    def balloon(self, ctx: Context, uuid: str, size: int) -> None:
        """Have the running guest give back memory, or take it again, until it owns ``size`` KiB.

        Raises KilnError when it has not done so within 20 s; it is then asked for what it had before."""

    def spare_memory(self, ctx: Context, uuid: str) -> int | None:
        """KiB that the running guest says it could do without; None where it says nothing."""

    def plug_vcpus(self, ctx: Context, uuid: str, count: int) -> None:
        """Give the running guest virtual CPUs until it has ``count``, which it has to bring online; its definition
        stays as it is."""

    def resize_disk(self, ctx: Context, path: str, virtual_size: int) -> bool:
        """Grow the disk stored at ``path`` through the running guest that uses it (``virDomainBlockResize``, bytes, the
        size read again right before since libvirt would shrink without a word). False when no running guest has it."""

    def users(self, ctx: Context, path: str) -> Sequence[str]:
        """The names of the running guests that have a disk or CD stored at ``path``, whether the file is there or
        not; as ``list`` tells them with ``recent``."""

    def addresses(self, ctx: Context, uuid: str) -> Sequence[Address]:
        """The guest's addresses from DHCP leases, then ARP, then the agent when it answers within 5 s."""

    def agent_command(self, ctx: Context, uuid: str, command: str, seconds: float) -> str | None:
        """Send a guest-agent command (JSON text) and return the reply, None when no agent answers in ``seconds``."""

    def log_tail(self, ctx: Context, uuid: str, limit: int) -> bytes:
        """The last ``limit`` bytes of the serial console's log file, b"" when this process cannot read it."""

    def logs(self, ctx: Context) -> Sequence[GuestLog]:
        """The logs of Kiln's guests that are within reach of this process, whether the guests are there or not. Raises
        KilnError when their directory is on this machine and may not be read."""

    def delete_log(self, ctx: Context, log: GuestLog) -> None:
        """Delete a log; one that is not there is a success. Raises Refused while a guest writes to it."""
