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
from kiln.resources.server import overlay
from kiln.resources.server.asked import digests
from kiln.resources.server.model import Boot, BootKind, Nic, ServerInputs

SEED_TARGET = "sda"

USUAL_ORDER: tuple[BootKind, ...] = ("cdrom", "hd")
"""What the firmware tries where nothing else is asked for."""


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
    places = boot_places(storage, inputs)
    return DomainSpec(
        name=inputs.name,
        uuid=uuid,
        memory=inputs.memory.kib,
        vcpus=inputs.vcpus,
        arch=ground.arch,
        accelerator=ground.accelerator,
        cpu_mode=inputs.cpu_mode,
        firmware=inputs.firmware,
        disks=disk_specs(storage, places, known),
        nics=nic_specs(inputs, uuid, ground, places),
        mark=mark,
        boot=boot,
        description=inputs.description,
        graphics=inputs.graphics,
        graphics_password=vnc_password if inputs.graphics == "vnc" else None,
        platform_config=inputs.platform_config or {},
        max_memory=inputs.max_memory.kib if inputs.max_memory is not None else None,
        max_vcpus=inputs.max_vcpus,
        asked=digests(inputs),
        overlay=overlay.specs(inputs),
    )


def boot_places(storage: Storage, inputs: ServerInputs) -> Mapping[BootKind, int]:
    """The place in the order of booting, from 1, of the first device of each kind that the firmware tries."""
    hard, cds = _attached(storage)
    counts = {"cdrom": len(cds), "hd": len(hard), "network": len(nics_of(inputs))}
    kinds: Sequence[BootKind] = (inputs.boot.order if inputs.boot is not None else None) or USUAL_ORDER
    places: dict[BootKind, int] = {}
    for kind in kinds:
        places[kind] = 1 + sum(counts[before] for before in places)
    return places


def disk_specs(
    storage: Storage, places: Mapping[BootKind, int], known: Mapping[str, str] | None = None
) -> list[DiskSpec]:
    """The disks with their device names and boot order.

    Hard disks are ``vda``, ``vdb``… in disk order, the root disk first, counted without the CDs (FX-56); CDs follow the
    seed's place on the SCSI bus. A disk that the guest has, by its path in ``known``, keeps its name whatever comes and
    goes before it; one that is new takes the first name that is free.
    """
    hard, cds = _attached(storage)
    specs = [
        DiskSpec(disk.chain, target, boot_order=_place(places, "hd", index))
        for index, (disk, target) in enumerate(_named(hard, "vd", 0, known or {}))
    ]
    specs += [
        DiskSpec(disk.chain, target, device="cdrom", bus="scsi", boot_order=_place(places, "cdrom", index))
        for index, (disk, target) in enumerate(_named(cds, "sd", 1, known or {}))
    ]
    if storage.seed is not None:
        specs.append(DiskSpec(storage.seed.chain, SEED_TARGET, device="cdrom", bus="scsi"))
    return specs


def _attached(storage: Storage) -> tuple[list[Attached], list[Attached]]:
    """The hard disks, the root disk first, and the CDs but for the seed."""
    attached = [each for each in (storage.root, *storage.disks) if each is not None]
    return [each for each in attached if not each.cd], [each for each in attached if each.cd]


def _place(places: Mapping[BootKind, int], kind: BootKind, index: int) -> int | None:
    return places[kind] + index if kind in places else None


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


def nic_specs(inputs: ServerInputs, uuid: str, ground: Ground, places: Mapping[BootKind, int]) -> list[NicSpec]:
    """The interfaces; a server that states none gets one on the node's network."""
    return [
        NicSpec(
            mac=nic.mac or mac_address(uuid, index),
            network=None if nic.bridge else nic.network or (None if ground.session else ground.network),
            bridge=nic.bridge,
            model=nic.model,
            link=nic.link_state,
            boot_order=_place(places, "network", index),
        )
        for index, nic in enumerate(nics_of(inputs))
    ]


def nics_of(inputs: ServerInputs) -> Sequence[Nic]:
    """The interfaces that are asked for; one where none are stated."""
    return inputs.networks if inputs.networks is not None else [Nic()]


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
