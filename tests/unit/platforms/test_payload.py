"""The probe guest's boot sector."""

from __future__ import annotations

import pytest
from kiln.platforms.libvirt import payload


def test_the_image_is_a_disk_with_a_boot_sector() -> None:
    image = payload.image()
    assert len(image) == payload.IMAGE_BYTES
    assert image[510:512] == b"\x55\xaa"
    assert not any(image[512:])


def test_the_parts_lie_where_the_code_looks_for_them() -> None:
    """The code holds these addresses as numbers."""
    sector, origin = payload.image()[:512], 0x7C00
    token = sector.index(payload.TOKEN) - len(b"T ")
    assert sector.count(b"\xbe" + (origin + token).to_bytes(4, "little")) == 1, "mov esi, token"
    table = sector.index(bytes.fromhex("ffff0000009aaf00")) - 8
    assert sector.count((origin + table).to_bytes(4, "little")) == 1, "the address of the GDT"
    descriptor = sector.index(b"\x17\x00" + (origin + table).to_bytes(4, "little"))
    assert sector.count(b"\x0f\x01\x16" + (origin + descriptor).to_bytes(2, "little")) == 1, "lgdt"
    tick = sector.index(b"\x50\xff\xc3")
    assert sector.count(b"\x25\x00\x52\x00\x00" + (origin + tick).to_bytes(2, "little")) == 1, "IDT[0x20]"
    ports = sector.index(bytes.fromhex("11202021"))
    assert sector.count(b"\xbe" + (origin + ports).to_bytes(4, "little")) == 1, "mov esi, ports"


@pytest.mark.parametrize(
    ("output", "told"),
    [
        (b"", "it wrote nothing"),
        (b"R", "it got as far as real mode"),
        (b"RLIP", "it got as far as paging"),
        (b"RLIPWT KILN-PR", "it got as far as timer interrupts"),
    ],
)
def test_how_far_a_guest_came_is_told(output: bytes, told: str) -> None:
    assert payload.stage(output) == told
