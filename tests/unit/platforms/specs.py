"""Guests for tests of their XML."""

from __future__ import annotations

from typing import Any

from kiln.ports.domains import BootSpec, DiskSpec, DomainSpec, NicSpec
from kiln.ports.marks import Holder, Mark
from kiln.ports.volumes import Volume, VolumeRef

UUID = "00000000-0000-4000-8000-000000000001"
MARK = Mark(
    "op-1",
    "creating",
    urn="urn:pulumi:dev::web::kiln:index:Server::web",
    role="server",
    holder=Holder("m", "b", 12, 34, 56),
)


def volume(name: str, format: str = "qcow2", directory: str = "/pool") -> Volume:
    return Volume(VolumeRef("kiln", name), f"{directory}/{name}", format, 1 << 30, 0)


def spec(**changes: Any) -> DomainSpec:
    facts: dict[str, Any] = {
        "name": "web",
        "uuid": UUID,
        "memory": 1 << 20,
        "vcpus": 2,
        "arch": "x86_64",
        "accelerator": "tcg",
        "cpu_mode": "auto",
        "firmware": "bios",
        "disks": (DiskSpec((volume("web-root"), volume("debian", "raw")), "vda", boot_order=1),),
        "nics": (NicSpec("52:54:00:00:00:01", network="default"),),
        "mark": MARK,
    }
    return DomainSpec(**{**facts, **changes})


GUESTS = {
    "plain": spec(),
    "growing": spec(max_memory=4 << 20, max_vcpus=4),
    "full": spec(
        accelerator="kvm",
        firmware="efi",
        cpu_mode="host-model",
        disks=(
            DiskSpec((volume("web-root"), volume("middle"), volume("debian", "raw")), "vda", boot_order=2, serial="r"),
            DiskSpec((volume("lv", "raw", "/dev/vg"),), "vdb"),
            DiskSpec((volume("install.iso", "iso"),), "sda", device="cdrom", bus="scsi", boot_order=1),
            DiskSpec((volume("drivers.iso", "raw"),), "sdb", device="cdrom", bus="sata"),
        ),
        nics=(
            NicSpec("52:54:00:00:00:01", network="default", boot_order=3),
            NicSpec("52:54:00:00:00:02", bridge="br0", model="e1000e"),
            NicSpec("52:54:00:00:00:03"),
        ),
        description="A & B\n<second line>",
        graphics="vnc",
        graphics_password="geheim01",
        metadata={"role": "web", "quoted": 'a "b"\nc'},
        platform_config={"clock": "localtime", "video": "virtio", "diskCache": "none"},
    ),
    "direct": spec(disks=(), nics=(), boot=BootSpec("/pool/vmlinuz", "/pool/initrd", "console=ttyS0 quiet")),
    "aarch64": spec(arch="aarch64", firmware="efi", disks=(), nics=()),
    "s390x": spec(arch="s390x", cpu_mode="z14", disks=(), nics=()),
}
