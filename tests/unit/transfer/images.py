"""Disk images made byte by byte, good and hostile."""

from __future__ import annotations

import struct
from dataclasses import dataclass

CLUSTER = 64 << 10
DATA = bytes(range(256)) * (CLUSTER // 256)


@dataclass(frozen=True)
class Qcow2:
    """A qcow2 image of one data cluster: header, refcount table, refcount block, L1, L2, data."""

    version: int = 3
    virtual_size: int = 1 << 20
    backing: bytes = b""
    incompatible: int = 0
    encryption: int = 0
    cluster_bits: int = 16
    l1_entries: int = 1
    l1_offset: int = 3 * CLUSTER
    data_offset: int = 5 * CLUSTER
    l2_entry: int | None = None

    def build(self) -> bytes:
        header = struct.pack(
            ">4sIQIIQIIQQIIQ",
            b"QFI\xfb",
            self.version,
            400 if self.backing else 0,
            len(self.backing),
            self.cluster_bits,
            self.virtual_size,
            self.encryption,
            self.l1_entries,
            self.l1_offset,
            CLUSTER,
            1,
            0,
            0,
        )
        if self.version >= 3:
            header += struct.pack(">QQQII", self.incompatible, 0, 0, 4, 104)
        head = (header.ljust(400, b"\0") + self.backing).ljust(CLUSTER, b"\0")
        table = struct.pack(">Q", 2 * CLUSTER).ljust(CLUSTER, b"\0")
        counts = (struct.pack(">H", 1) * 6).ljust(CLUSTER, b"\0")
        l1 = struct.pack(">Q", 1 << 63 | 4 * CLUSTER).ljust(CLUSTER, b"\0")
        entry = 1 << 63 | self.data_offset if self.l2_entry is None else self.l2_entry
        l2 = struct.pack(">Q", entry).ljust(CLUSTER, b"\0")
        return head + table + counts + l1 + l2 + DATA


def iso(system_area: bytes = b"", blocks: int = 20, block: int = 2048, length: int = 20) -> bytes:
    """An ISO 9660 volume of ``length`` sectors that claims ``blocks``, with ``system_area`` in its first bytes."""
    descriptor = bytearray(2048)
    descriptor[:7] = b"\x01CD001\x01"
    struct.pack_into("<I", descriptor, 80, blocks)
    struct.pack_into("<H", descriptor, 128, block)
    end = b"\xffCD001\x01".ljust(2048, b"\0")
    return (system_area.ljust(32768, b"\0") + bytes(descriptor) + end).ljust(length * 2048, b"\0")


def udf(*identifiers: bytes) -> bytes:
    """A volume recognition sequence of the given identifiers and nothing else."""
    sectors = b"".join((b"\0" + identifier + b"\x01").ljust(2048, b"\0") for identifier in identifiers)
    return (bytes(32768) + sectors).ljust(64 << 10, b"\0")


def gpt() -> bytes:
    """A raw disk with a protective MBR and a GPT header."""
    entry = struct.pack("<BBBBBBBBII", 0, 0, 2, 0, 0xEE, 0xFF, 0xFF, 0xFF, 1, 2047)
    mbr = bytes(446) + entry + bytes(48) + b"\x55\xaa"
    return (mbr + b"EFI PART").ljust(1 << 20, b"\0")


def boot_sector() -> bytes:
    """A raw disk that is only code: no partition table in it makes sense."""
    return (b"\xfa\xf4" * 223 + b"\x99" * 64 + b"\x55\xaa").ljust(1024, b"\0")


def vmdk_text() -> bytes:
    """A VMDK descriptor that names a file of the host as its extent."""
    text = (
        "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\n"
        'createType="monolithicFlat"\nRW 2048 FLAT "/etc/shadow" 0\n'
    )
    return text.encode().ljust(512, b"\n")


def vmdk_sparse() -> bytes:
    """A hosted sparse extent with its descriptor."""
    header = struct.pack("<4sIIQQQQIQQ", b"KDMV", 1, 3, 2048, 128, 1, 1, 512, 0, 21)
    return header.ljust(512, b"\0") + b'createType="monolithicSparse"\n'.ljust(512, b"\0")


def vdi() -> bytes:
    """A VirtualBox image."""
    return (b"<<< Oracle VM VirtualBox Disk Image >>>\n".ljust(64, b"\0") + b"\x7f\x10\xda\xbe").ljust(1024, b"\0")


def vhd_dynamic() -> bytes:
    """A VHD that begins with a copy of its footer."""
    return b"conectix".ljust(1024, b"\0")


def vhd_fixed() -> bytes:
    """Raw data and a VHD footer."""
    return bytes(4096) + b"conectix".ljust(512, b"\0")


FOREIGN = {
    "vmdk-text": (vmdk_text(), "VMDK"),
    "vmdk-sparse": (vmdk_sparse(), "VMDK"),
    "vmdk-cowd": (b"COWD".ljust(512, b"\0"), "VMDK"),
    "vdi": (vdi(), "VDI"),
    "vhd-dynamic": (vhd_dynamic(), "VHD"),
    "vhd-fixed": (vhd_fixed(), "VHD"),
    "vhdx": (b"vhdxfile".ljust(1 << 20, b"\0"), "VHDX"),
    "qed": (b"QED\0".ljust(1024, b"\0"), "QED"),
    "qcow1": (b"QFI\xfb\0\0\0\x01".ljust(1024, b"\0"), "QCOW version 1"),
    "parallels": (b"WithoutFreeSpace".ljust(1024, b"\0"), "Parallels"),
    "bochs": (b"Bochs Virtual HD Image".ljust(1024, b"\0"), "Bochs"),
    "dmg": (bytes(1024) + b"koly".ljust(512, b"\0"), "Apple"),
}

NOT_DISKS = {
    "luks": (b"LUKS\xba\xbe\0\x01".ljust(4096, b"\0"), "LUKS"),
    "zip": (b"PK\x03\x04".ljust(1024, b"\0"), "ZIP"),
    "7z": (b"7z\xbc\xaf\x27\x1c".ljust(1024, b"\0"), "7-Zip"),
    "rar": (b"Rar!\x1a\x07\0".ljust(1024, b"\0"), "RAR"),
    "tar": (b"disk.vmdk".ljust(257, b"\0") + b"ustar".ljust(1024, b"\0"), "tar"),
    "web-page": (b"\n<!DOCTYPE html><title>Sign in</title>".ljust(1024, b" "), "web page"),
    "gzip-again": (b"\x1f\x8b\x08".ljust(1024, b"\0"), "gzip"),
}

UNSAFE_QCOW2 = {
    "backing-file": (Qcow2(backing=b"/etc/shadow"), "backing file"),
    "backing-file-v2": (Qcow2(version=2, backing=b"base.qcow2"), "backing file"),
    "backing-json": (Qcow2(backing=b'json:{"driver":"file","filename":"/etc/shadow"}'), "backing file"),
    "data-file": (Qcow2(incompatible=1 << 2), "external data file"),
    "unknown-bit": (Qcow2(incompatible=1 << 5), "incompatible bits 5"),
    "unknown-high-bit": (Qcow2(incompatible=1 << 63), "incompatible bits 63"),
    "subclusters": (Qcow2(incompatible=1 << 4), "subclusters"),
    "corrupt-bit": (Qcow2(incompatible=1 << 1), "marked corrupt"),
    "aes": (Qcow2(encryption=1), "encrypted"),
    "luks-inside": (Qcow2(encryption=2), "encrypted"),
    "version-4": (Qcow2(version=4), "version 4"),
    "no-size": (Qcow2(virtual_size=0), "no size"),
    "a-pebibyte": (Qcow2(virtual_size=1 << 50), "64 TiB"),
    "half-a-sector": (Qcow2(virtual_size=(1 << 20) + 256), "whole sectors"),
    "tiny-clusters": (Qcow2(cluster_bits=8), "cluster size"),
    "huge-clusters": (Qcow2(cluster_bits=40), "cluster size"),
    "small-l1": (Qcow2(virtual_size=1 << 40), "L1 table"),
    "huge-l1": (Qcow2(l1_entries=1 << 30), "L1 table"),
    "crooked-l1": (Qcow2(l1_offset=3 * CLUSTER + 8), "not at a cluster"),
    "l1-beyond": (Qcow2(l1_offset=1 << 40), "beyond its end"),
    "data-beyond": (Qcow2(data_offset=1 << 40), "beyond its end"),
    "compressed-beyond": (Qcow2(l2_entry=1 << 62 | 1 << 40), "beyond its end"),
}
