"""What a guest that no state knows would be in a program. Reads only."""

from __future__ import annotations

import contextlib
from typing import get_args

from kiln.framework.context import Context
from kiln.framework.errors import NotFound
from kiln.ports.domains import BootSpec, Domain, DomainDisk
from kiln.ports.nodes import Node
from kiln.ports.volumes import Volume, VolumeRef
from kiln.resources.server import storage
from kiln.resources.server.known import Known
from kiln.resources.server.layout import USUAL_ORDER, mac_address
from kiln.resources.server.model import Boot, BootKind, CpuMode, ServerInputs


def root_of(ctx: Context, node: Node, domain: Domain) -> Volume | None:
    """The root disk of a guest that no state knows, in whatever pool it is: by the guest's name, or by an earlier name
    that it was made under."""
    for disk in domain.disks:
        if disk.path is not None and disk.path.rpartition("/")[2] == storage.root_name(domain.name):
            with contextlib.suppress(NotFound):
                volume = node.volumes.by_path(ctx, disk.path)
                if storage.is_own(ctx, node.volumes, volume.ref):
                    return volume
    made = storage.made_with(ctx, node.volumes, domain).get("root")
    return None if made is None else node.volumes.get(ctx, made)


def inputs_of(ctx: Context, node: Node, domain: Domain, known: Known, root: Volume | None) -> ServerInputs:
    """What a guest that no state knows was made with, as far as the node tells: an overlay names its image. What drift
    is told of (memory, disks, power state) is left to that."""
    image = None
    if root is not None and root.backing is not None:
        with contextlib.suppress(NotFound):
            image = node.volumes.by_path(ctx, root.backing).ref
    told = [(nic.mac, nic.network, nic.model, nic.link) for nic in domain.nics]
    usual = told == [(mac_address(domain.uuid, 0), known.network, "virtio", "up")]
    brought = storage.image_boot(ctx, node.volumes, image) if image is not None else None
    seed = storage.made_with(ctx, node.volumes, domain).get("seed")
    return ServerInputs(
        name=domain.name, node=known.uri, pool=root.ref.pool if root is not None else known.pool,
        image=None if image is None else str(image), disks=[], networks=None if usual else [],
        cpu_mode=_cpu_mode(domain.cpu_mode), firmware=domain.firmware, boot=_boot(domain, brought, seed),
        graphics="vnc" if domain.graphics == "vnc" else "none", platform_config=dict(domain.platform_config) or None,
    )  # fmt: skip


def _cpu_mode(mode: str | None) -> CpuMode | None:
    """The mode, None for one that no program can state, such as a model's name."""
    return next((one for one in get_args(CpuMode) if one == mode), None)


def _boot(domain: Domain, brought: BootSpec | None, seed: VolumeRef | None) -> Boot | None:
    """What the guest boots, but for what its image ``brought`` and for the order that it has by itself."""
    direct, order = domain.boot, _boot_order(domain, seed)
    told = Boot(order=order)
    if (
        direct is not None
        and brought is not None
        and (direct.kernel, direct.initrd) == (brought.kernel, brought.initrd)
    ):
        told = Boot(cmdline=direct.cmdline if direct.cmdline != brought.cmdline else None, order=order)
    elif direct is not None:
        told = Boot(kernel=direct.kernel, initrd=direct.initrd, cmdline=direct.cmdline, order=order)
    return None if told == Boot() else told


def _boot_order(domain: Domain, seed: VolumeRef | None) -> list[BootKind] | None:
    """The kinds of devices in the order of booting, None for CDs and then hard disks."""
    disks = [disk for disk in domain.disks if seed is None or (disk.path or "").rpartition("/")[2] != seed.name]
    kinds: dict[int, BootKind] = {disk.boot_order: _kind(disk) for disk in disks if disk.boot_order is not None}
    kinds |= {nic.boot_order: "network" for nic in domain.nics if nic.boot_order is not None}
    order = list(dict.fromkeys(kinds[place] for place in sorted(kinds)))
    usual: list[BootKind] = [kind for kind in USUAL_ORDER if kind in map(_kind, disks)]
    return None if not order or order == usual else order


def _kind(disk: DomainDisk) -> BootKind:
    return "cdrom" if disk.device == "cdrom" else "hd"
