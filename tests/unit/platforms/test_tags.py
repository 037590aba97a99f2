"""The table of snapshots in a qcow2 file, against files that qemu-img writes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from kiln.framework.errors import KilnError
from kiln.platforms.libvirt.tags import tags


def made(file: Path, format: str, *names: str) -> Path:
    subprocess.run(["qemu-img", "create", "-q", "-f", format, file, "1M"], check=True)
    for name in names:
        subprocess.run(["qemu-img", "snapshot", "-c", name, file], check=True)
    return file


def found(data: bytes) -> list[str]:
    return tags(lambda offset, length: data[offset : offset + length])


@pytest.mark.parametrize("names", [(), ("first",), ("first", "a" * 128, "zwölf", "first")], ids=len)
def test_every_name_is_told_as_often_as_it_is_there(tmp_path: Path, names: tuple[str, ...]) -> None:
    assert found(made(tmp_path / "disk", "qcow2", *names).read_bytes()) == list(names)


def test_what_is_no_qcow2_holds_none(tmp_path: Path) -> None:
    assert found(made(tmp_path / "disk", "raw").read_bytes()) == []
    assert found(b"QFI\xfb") == []


def test_a_file_that_ends_inside_its_table_is_an_error(tmp_path: Path) -> None:
    data = made(tmp_path / "disk", "qcow2", "first", "second").read_bytes()
    start = int.from_bytes(data[64:72], "big")
    with pytest.raises(KilnError, match="cannot be read"):
        found(data[: start + 50])
