"""The pure parts of making guests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.guests import apt, image
from tools.guests.bootsector import SIZE, boot_sector
from tools.guests.tiny import media

TARGETS = """
Debian|http://deb.example/debian/|bookworm|main
Debian|http://deb.example/debian/|bookworm|contrib
Debian|http://sec.example/debian-security/|bookworm-security|main
Vendor|https://vendor.example/apt/|stable|main
"""


def command(directory: Path, name: str, output: str) -> None:
    (directory / f"{name}.out").write_text(output)
    (directory / name).write_text(f"#!/bin/sh\nexec /bin/cat {directory}/{name}.out\n")
    (directory / name).chmod(0o755)


def test_guests_come_from_the_distributions_own_archives_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    command(tmp_path, "apt-get", TARGETS.strip() + "\n")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert apt.archive_lines("debian") == [
        "deb http://deb.example/debian/ bookworm main contrib",
        "deb http://sec.example/debian-security/ bookworm-security main",
    ]


def test_a_kernel_is_its_image_and_its_modules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = (
        "x\n  Depends: linux-image-6.8.0-1-generic\n  Depends: linux-modules-6.8.0-1-generic\n  Depends: linux-base\n"
    )
    command(tmp_path, "apt-cache", text)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert apt.kernel_packages("linux-image-virtual") == [
        "linux-image-6.8.0-1-generic",
        "linux-modules-6.8.0-1-generic",
    ]


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=400))
def test_a_boot_sector_is_one_sector_with_its_word_and_signature(word: str) -> None:
    sector = boot_sector(word)
    assert len(sector) == SIZE
    assert sector[-2:] == b"\x55\xaa"
    assert word.encode() + b"\r\n\0" in sector


def test_a_word_too_long_for_a_boot_sector_is_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        boot_sector("x" * 600)


def test_the_tiny_disk_holds_its_data_between_holes(tmp_path: Path) -> None:
    disk = tmp_path / "disk.raw"
    media.write_disk(disk)
    content = disk.read_bytes()
    assert len(content) == media.DISK_SIZE
    assert b"KILN DISK" in content[:SIZE]
    assert all(content[offset:].startswith(data) for offset, data in media.DISK_DATA.items())
    assert disk.stat().st_blocks * 512 < media.DISK_SIZE // 4


def test_the_tiny_iso_is_an_iso_that_boots(tmp_path: Path) -> None:
    media.write_iso(tmp_path / "tiny.iso")
    content = (tmp_path / "tiny.iso").read_bytes()
    assert content[16 * 2048 + 1 :].startswith(b"CD001")
    assert content[17 * 2048 :].startswith(b"\x00CD001\x01EL TORITO SPECIFICATION")
    assert b"KILN ISO" in content


def test_a_manifest_names_files_with_their_size_and_digest(tmp_path: Path) -> None:
    for name in ("vmlinuz", "initrd.img", "root.qcow2"):
        (tmp_path / name).write_bytes(name.encode())
    image.write_manifest(tmp_path, cmdline="quiet", disk="root.qcow2")
    found = image.read(tmp_path)
    assert found == image.GuestImage(tmp_path / "vmlinuz", tmp_path / "initrd.img", "quiet", tmp_path / "root.qcow2")
    assert '"size": 7' in (tmp_path / "manifest.json").read_text()
