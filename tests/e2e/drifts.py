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

    def device(self, path: str) -> Any:
        """A device in the definition that counts now."""
        return self.inventory.xml(self.name, live=self.power == "running").find(f"devices/{path}")

    def redefine(self, old: str, new: str) -> None:
        """What `virsh edit` does."""
        self.inventory.connection.defineXML(self.inventory.text(self.name).replace(old, new))


@dataclass(frozen=True)
class Row:
    """``happens`` to a guest that was made with ``inputs``: a refresh shows ``seen`` and nothing else, None for a guest
    that is gone. ``only`` is the power state that it can happen in."""

    what: str
    happens: Callable[[Victim], None]
    seen: frozenset[str] | None
    inputs: dict[str, Any] = field(default_factory=dict)
    only: Power | None = None

    def powers(self) -> tuple[Power, ...]:
        """The power states that there is a guest in for this row."""
        return ("running", "stopped") if self.only is None else (self.only,)


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
    card = victim.device("interface")
    if victim.power == "stopped":
        victim.redefine(card.find("mac").get("address"), "52:54:00:99:99:99")
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
    """In a file of its own, or within the disk."""
    flags = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY if victim.power == "running" else 0
    victim.domain.snapshotCreateXML("<domainsnapshot><name>theirs</name></domainsnapshot>", flags)


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
WAITS, POWER, NOTHING = frozenset({"pendingRestart"}), frozenset({"powerState"}), frozenset[str]()

ROWS = (
    Row("destroy", lambda it: it.domain.destroy(), POWER, only="running"),
    Row("start", lambda it: it.domain.create(), POWER, only="stopped"),
    Row("suspend", lambda it: it.domain.suspend(), POWER, only="running"),
    Row("managedsave", lambda it: it.domain.managedSave(0), POWER, only="running"),
    Row("undefined", lambda it: it.domain.undefine(), frozenset({"transient"}), only="running"),
    Row("gone", lambda it: it.domain.undefine(), None, only="stopped"),
    Row("imposter", take_name, None, only="stopped"),
    Row("setmem", lambda it: it.domain.setMemoryFlags(96 << 10, CONFIG), WAITS, only="running"),
    Row("edit-mem", lambda it: it.redefine("131072", "98304"), frozenset({"memory"}), only="stopped"),
    Row("setvcpus", lambda it: it.domain.setVcpusFlags(1, CONFIG), WAITS, CPUS, "running"),
    Row("edit-vcpus", lambda it: it.redefine(">2</vcpu>", ">1</vcpu>"), frozenset({"vcpus"}), CPUS, "stopped"),
    Row("nic-config", lambda it: detach(it, "interface", CONFIG), WAITS, NIC, "running"),
    Row("robbed", rob, frozenset({"disks", "networks"}), DEVICES),
    Row("swapped", swap, frozenset({"disks", "networks", "autostart"}), DEVICES),
    Row("domrename", rename, frozenset({"renamed"})),
    Row("snapshot", snapshot, NOTHING),
    Row("chmod", chmod, NOTHING),
)
