"""From what a Server asks for to the domain that fits: device names, boot order, interfaces. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Literal

from kiln.framework.errors import InputError
from kiln.ports.domains import BootSpec, DiskSpec, DomainSpec, NicSpec
from kiln.ports.marks import Mark
from kiln.ports.volumes import Volume
from kiln.resources.server.model import Boot, Nic, ServerInputs

SEED_TARGET = "sda"


@dataclass(frozen=True)
class Attached:
    """A volume with its whole backing chain, top first. ``cd``: it holds an ISO and becomes a CD drive."""

    chain: Sequence[Volume]
    cd: bool = False


@dataclass(frozen=True)
class Storage:
    """The volumes a guest uses."""

    root: Attached | None = None
    disks: Sequence[Attached] = ()
    seed: Attached | None = None


@dataclass(frozen=True)
class Ground:
    """What the node decides: who it is, architecture, accelerator, default network, whether it is a session node."""

    identity: str
    arch: str
    accelerator: Literal["kvm", "tcg"]
    network: str | None
    session: bool = False


def domain_spec(
    inputs: ServerInputs,
    uuid: str,
    storage: Storage,
    ground: Ground,
    mark: Mark,
    boot: BootSpec | None,
    vnc_password: str | None,
    known: Mapping[str, str] | None = None,
) -> DomainSpec:
    """The domain of a server. ``known`` holds the device names of its disks by their paths."""
    disks, order = disk_specs(storage, inputs.boot, known)
    return DomainSpec(
        name=inputs.name,
        uuid=uuid,
        memory=inputs.memory.kib,
        vcpus=inputs.vcpus,
        arch=ground.arch,
        accelerator=ground.accelerator,
        cpu_mode=inputs.cpu_mode,
        firmware=inputs.firmware,
        disks=disks,
        nics=nic_specs(inputs, uuid, ground, len(order)),
        mark=mark,
        boot=boot,
        description=inputs.description,
        graphics=inputs.graphics,
        graphics_password=vnc_password if inputs.graphics == "vnc" else None,
        platform_config=inputs.platform_config or {},
    )


def disk_specs(
    storage: Storage, boot: Boot | None, known: Mapping[str, str] | None = None
) -> tuple[list[DiskSpec], list[str]]:
    """The disks with their device names and boot order, and the names in that order.

    Hard disks are ``vda``, ``vdb``… in disk order, the root disk first, counted without the CDs (FX-56); CDs follow the
    seed's place on the SCSI bus. A disk that the guest has, by its path in ``known``, keeps its name whatever comes and
    goes before it; one that is new takes the first name that is free.
    """
    attached = [each for each in (storage.root, *storage.disks) if each is not None]
    hard = [
        DiskSpec(disk.chain, target)
        for disk, target in _named([each for each in attached if not each.cd], "vd", 0, known or {})
    ]
    cds = [
        DiskSpec(disk.chain, target, device="cdrom", bus="scsi")
        for disk, target in _named([each for each in attached if each.cd], "sd", 1, known or {})
    ]
    kinds = boot.order if boot is not None and boot.order else ["cdrom", "hd"]
    order = [disk.target for kind in kinds for disk in {"cdrom": cds, "hd": hard}.get(kind, [])]
    specs = [
        replace(disk, boot_order=order.index(disk.target) + 1 if disk.target in order else None) for disk in hard + cds
    ]
    if storage.seed is not None:
        specs.append(DiskSpec(storage.seed.chain, SEED_TARGET, device="cdrom", bus="scsi"))
    return specs, order


def _named(
    disks: Sequence[Attached], prefix: str, first: int, known: Mapping[str, str]
) -> Iterator[tuple[Attached, str]]:
    kept = {path: target for disk in disks if (target := known.get(path := disk.chain[0].path, "")).startswith(prefix)}
    free = (name for index in count(first) if (name := device_name(prefix, index)) not in kept.values())
    for disk in disks:
        yield disk, kept.get(disk.chain[0].path) or next(free)


def device_name(prefix: str, index: int) -> str:
    """The guest's name of the disk at ``index``: vda … vdz, vdaa …, as the kernel counts."""
    letters = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        letters = chr(ord("a") + rest) + letters
    return prefix + letters


def nic_specs(inputs: ServerInputs, uuid: str, ground: Ground, disks_in_order: int) -> list[NicSpec]:
    """The interfaces; a server that states none gets one on the node's network."""
    nics = inputs.networks if inputs.networks is not None else [Nic()]
    boots = inputs.boot is not None and "network" in (inputs.boot.order or [])
    return [
        NicSpec(
            mac=nic.mac or mac_address(uuid, index),
            network=None if nic.bridge else nic.network or (None if ground.session else ground.network),
            bridge=nic.bridge,
            model=nic.model,
            boot_order=disks_in_order + index + 1 if boots else None,
        )
        for index, nic in enumerate(nics)
    ]


def mac_address(uuid: str, index: int) -> str:
    """The MAC address of a guest's interface that states none: QEMU's prefix and three bytes derived from the UUID."""
    digest = hashlib.sha256(f"{uuid}/{index}".encode()).digest()
    return "52:54:00:" + ":".join(f"{byte:02x}" for byte in digest[:3])


def direct_boot(asked: Boot | None, image: BootSpec | None) -> BootSpec | None:
    """What is booted directly: what the server asks for over what its image brings. Raises InputError."""
    if asked is None:
        return image
    if asked.kernel is not None:
        return BootSpec(asked.kernel, asked.initrd, asked.cmdline)
    if asked.cmdline is None:
        return image
    if image is None:
        raise InputError("boot.cmdline", "'cmdline' needs a kernel", action="set boot.kernel, or use an image with one")
    return replace(image, cmdline=asked.cmdline)
