"""What people do to guests behind Kiln's back, with libvirt alone: one row each, and what a refresh then shows."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

import libvirt

from tests.e2e.inventory import Inventory
from tests.e2e.waiting import until

CONFIG, LIVE = libvirt.VIR_DOMAIN_AFFECT_CONFIG, libvirt.VIR_DOMAIN_AFFECT_LIVE

Power = Literal["running", "stopped"]


@dataclass(frozen=True)
class Victim:
    """A guest by its name, on a node whose pool has its files in ``directory``; ``cd`` is an ISO that it has not."""

    inventory: Inventory
    name: str
    power: Power
    directory: Path
    cd: Path

    @property
    def domain(self) -> Any:
        """Its ``virDomain``."""
        return self.inventory.domain(self.name)

    @property
    def now(self) -> int:
        """What a change is made to that can be seen at once."""
        return int(LIVE if self.power == "running" else CONFIG)

    @property
    def definition(self) -> Any:
        """The definition (an ``Element``) that counts now."""
        return self.inventory.xml(self.name, live=self.power == "running")

    def device(self, path: str) -> Any:
        """A device in that definition."""
        return self.definition.find(f"devices/{path}")


PLUGGED = frozenset({"memory", "vcpus", "disks", "networks"})
"""What a running guest can have otherwise than its definition."""


def unfinished(*fields: str) -> frozenset[str]:
    """What is told of fields that a running guest has otherwise than its definition."""
    return frozenset(f"unfinished: {field}" for field in fields)


@dataclass(frozen=True)
class Row:
    """``happens`` to a guest that was made with ``inputs``: a refresh shows ``seen`` and nothing else, None for a guest
    that is gone. ``only`` is the power state that it can happen in; ``boots``: the guest has a part in it."""

    what: str
    happens: Callable[[Victim], None]
    seen: frozenset[str] | None
    inputs: dict[str, Any] = field(default_factory=dict)
    only: Power | None = None
    boots: bool = False

    def powers(self) -> tuple[Power, ...]:
        """The power states that there is a guest in for this row."""
        return ("running", "stopped") if self.only is None else (self.only,)

    def shown(self, power: Power) -> frozenset[str] | None:
        """What a refresh shows of a guest in that power state. What only a running guest has lost, and not its
        definition, is told of both."""
        if self.seen is None or power == "stopped":
            return self.seen
        return self.seen | unfinished(*(self.seen & PLUGGED))


def detach(victim: Victim, path: str, where: int | None = None) -> None:
    """What `virsh detach-disk` and `detach-interface` do, again and again while the guest is not up to hear of it."""
    where = where or victim.now
    document = ElementTree.tostring(victim.device(path)).decode()

    def gone() -> bool:
        with suppress(libvirt.libvirtError):  # it is asked already
            victim.domain.detachDeviceFlags(document, where)
        return victim.inventory.xml(victim.name, live=where == LIVE).find(f"devices/{path}") is None

    until(gone)


def change_mac(victim: Victim) -> None:
    """Another card in the place of the one that it has."""
    if victim.power == "stopped":
        old = victim.device("interface").find("mac").get("address")
        victim.inventory.connection.defineXML(victim.inventory.text(victim.name).replace(old, "52:54:00:99:99:99"))
        return
    detach(victim, "interface")
    victim.domain.attachDeviceFlags(
        "<interface type='network'><mac address='52:54:00:99:99:98'/><source network='default'/>"
        "<model type='virtio'/></interface>",
        LIVE,
    )


def change_cd(victim: Victim, file: Path | None) -> None:
    """What `virsh change-media` does; without a file it ejects."""
    source = "" if file is None else f"<source file='{file}'/>"
    document = f"<disk type='file' device='cdrom'>{source}<target dev='sdb' bus='scsi'/><readonly/></disk>"
    victim.domain.updateDeviceFlags(document, victim.now)


def rename(victim: Victim) -> None:
    """`virsh domrename`, which wants a guest that is off."""
    if victim.power == "running":
        victim.domain.destroy()
    victim.domain.rename(f"{victim.name}-theirs", 0)
    if victim.power == "running":
        victim.inventory.domain(f"{victim.name}-theirs").create()


def snapshot(victim: Victim) -> None:
    """In a file of its own, or within the disk; and nobody may read the root disk."""
    flags = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY if victim.power == "running" else 0
    victim.domain.snapshotCreateXML("<domainsnapshot><name>theirs</name></domainsnapshot>", flags)
    chmod(victim)


def rob(victim: Victim) -> None:
    """It loses its data disk and its card, and its tray is emptied."""
    change_cd(victim, None)
    detach(victim, "disk/target[@dev='vdb']/..")
    detach(victim, "interface")


def swap(victim: Victim) -> None:
    """It gets another card and another CD, and starts with its node."""
    change_cd(victim, victim.cd)
    change_mac(victim)
    victim.domain.setAutostart(1)


def destroy(victim: Victim) -> None:
    """Its power is cut, and nobody may read its root disk, with which it has to start again."""
    victim.domain.destroy()
    chmod(victim)


def chmod(victim: Victim) -> None:
    """Let nobody read the root disk."""
    os.chmod(victim.directory / f"{victim.name}-root", 0)


def take_name(victim: Victim) -> None:
    """Another guest takes the place of this one under its name."""
    victim.domain.undefine()
    victim.inventory.connection.defineXML(
        f"<domain type='qemu'><name>{victim.name}</name><memory>65536</memory><os><type>hvm</type></os></domain>"
    )


NIC = {"networks": [{"network": "default"}]}
DEVICES = {**NIC, "disks": ["data", "cd"]}

CPUS = {"vcpus": 2}
GROWING = {"max_vcpus": 2}
LESS = 96 << 10
"""KiB of memory that a guest with 128 MiB is left with."""
POWER, NOTHING = frozenset({"powerState"}), frozenset[str]()


def resize(victim: Victim) -> None:
    """What `virsh setmem` and `setvcpus` do; a guest that runs gives memory back in its own time."""
    victim.domain.setMemoryFlags(LESS, victim.now)
    victim.domain.setVcpusFlags(2, victim.now)
    until(lambda: victim.definition.findtext("currentMemory") == str(LESS))


def set_most(victim: Victim) -> None:
    """It may have more memory and virtual CPUs than it has."""
    victim.domain.setMaxMemory(256 << 10)
    victim.domain.setVcpusFlags(2, CONFIG | libvirt.VIR_DOMAIN_VCPU_MAXIMUM)


def edit(victim: Victim) -> None:
    """What `virsh edit` does."""
    definition = victim.inventory.text(victim.name)
    for old, new in ((">131072</", f">{LESS}</"), (">2</vcpu>", ">1</vcpu>")):
        assert old in definition
        definition = definition.replace(old, new)
    victim.inventory.connection.defineXML(definition)


def change_definition(victim: Victim) -> None:
    """A running guest loses memory, a virtual CPU and its card in its definition alone."""
    victim.domain.setMemoryFlags(LESS, CONFIG)
    victim.domain.setVcpusFlags(1, CONFIG)
    detach(victim, "interface", CONFIG)


ROWS = (
    Row("destroyed", destroy, POWER, only="running"),
    Row("started", lambda it: it.domain.create(), POWER, only="stopped"),
    Row("suspended", lambda it: it.domain.suspend(), POWER, only="running"),
    Row("saved", lambda it: it.domain.managedSave(0), POWER, only="running"),
    Row("undefined", lambda it: it.domain.undefine(), frozenset({"transient"}), only="running"),
    Row("gone", lambda it: it.domain.undefine(), None, only="stopped"),
    Row("imposter", take_name, None, only="stopped"),
    Row("resized", resize, frozenset({"memory", "vcpus"}), GROWING, boots=True),
    Row("grows", set_most, frozenset({"memory", "maxVcpus"}), only="stopped"),
    Row("edited", edit, frozenset({"memory", "vcpus"}), CPUS, only="stopped"),
    Row("config", change_definition, unfinished("memory", "vcpus", "networks"), {**NIC, **CPUS}, "running"),
    Row("robbed", rob, frozenset({"disks", "networks"}), DEVICES, boots=True),
    Row("swapped", swap, frozenset({"disks", "networks", "autostart"}), DEVICES, boots=True),
    Row("renamed", rename, frozenset({"renamed"})),
    Row("snapshot", snapshot, NOTHING),
)
