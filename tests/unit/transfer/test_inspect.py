"""Content is what its bytes say, and hostile content goes no further."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kiln.framework.errors import InputError
from kiln.ports.volumes import Format
from kiln.transfer.inspect import inspect

from tests.unit.transfer import images
from tests.unit.transfer.images import CLUSTER, Qcow2


def write(tmp_path: Path, content: bytes) -> Path:
    file = tmp_path / "image"
    file.write_bytes(content)
    return file


def refusal(file: Path, stated: Format | None = None) -> InputError:
    with pytest.raises(InputError) as caught:
        inspect(file, path="disks[0].source", stated=stated, name="the image")
    assert caught.value.path == "disks[0].source"
    assert "'the image'" in str(caught.value)
    assert "Next:" in str(caught.value)
    return caught.value


@pytest.mark.parametrize("case", images.FOREIGN)
def test_foreign_disk_formats_are_refused_with_the_command_that_converts_them(case: str, tmp_path: Path) -> None:
    content, name = images.FOREIGN[case]
    error = refusal(write(tmp_path, content))
    assert name in str(error)
    assert "qemu-img convert -f" in str(error)
    assert "-O qcow2" in str(error)


@pytest.mark.parametrize("case", images.FOREIGN)
def test_stating_raw_does_not_let_a_foreign_disk_in(case: str, tmp_path: Path) -> None:
    assert images.FOREIGN[case][1] in str(refusal(write(tmp_path, images.FOREIGN[case][0]), stated="raw"))


@pytest.mark.parametrize("case", images.NOT_DISKS)
def test_what_is_no_disk_is_named(case: str, tmp_path: Path) -> None:
    content, name = images.NOT_DISKS[case]
    assert name in str(refusal(write(tmp_path, content)))


@pytest.mark.parametrize("case", images.UNSAFE_QCOW2)
def test_unsafe_qcow2_is_refused_for_its_reason(case: str, tmp_path: Path) -> None:
    image, reason = images.UNSAFE_QCOW2[case]
    assert reason in str(refusal(write(tmp_path, image.build())))


@pytest.mark.parametrize("version", [2, 3])
def test_self_contained_qcow2_is_accepted_with_the_size_of_its_header(version: int, tmp_path: Path) -> None:
    data = Qcow2(version=version, virtual_size=3 << 20).build()
    content = inspect(write(tmp_path, data))
    assert (content.format, content.virtual_size, content.size, content.kind) == ("qcow2", 3 << 20, len(data), "disk")


def test_a_dirty_qcow2_is_accepted(tmp_path: Path) -> None:
    assert inspect(write(tmp_path, Qcow2(incompatible=1).build())).format == "qcow2"


@pytest.mark.parametrize("length", [4, 71, 511, CLUSTER, 3 * CLUSTER, 4 * CLUSTER + 8, 5 * CLUSTER, 6 * CLUSTER - 1])
def test_truncated_qcow2_is_refused(length: int, tmp_path: Path) -> None:
    error = refusal(write(tmp_path, Qcow2().build()[:length]))
    assert "truncated" in str(error) or "cut off" in str(error)


def test_a_last_cluster_that_qemu_left_short_is_accepted(tmp_path: Path) -> None:
    assert inspect(write(tmp_path, Qcow2().build()[: -CLUSTER + 512])).format == "qcow2"


@pytest.mark.requirement("FX-55")
@pytest.mark.parametrize(
    "content",
    [
        images.iso(),
        images.iso(images.gpt()[:512]),
        images.udf(b"BEA01", b"NSR02", b"TEA01"),
        images.udf(b"BEA01", b"NSR03"),
    ],
    ids=["iso9660", "hybrid", "udf-1.02", "udf-2.01"],
)
def test_iso_9660_and_udf_are_recognised_as_cds(content: bytes, tmp_path: Path) -> None:
    found = inspect(write(tmp_path, content))
    assert (found.format, found.kind) == ("iso", "iso")
    assert found.virtual_size == len(content)


def test_an_image_with_the_cd_mark_elsewhere_is_a_disk(tmp_path: Path) -> None:
    assert inspect(write(tmp_path, bytes(512) + b"\x01CD001".ljust(64 << 10, b"\0"))).kind == "disk"


def test_a_short_iso_is_refused(tmp_path: Path) -> None:
    assert "truncated ISO" in str(refusal(write(tmp_path, images.iso(blocks=1000, length=20))))


def test_an_iso_without_its_run_out_is_accepted(tmp_path: Path) -> None:
    assert inspect(write(tmp_path, images.iso(blocks=160, length=20))).format == "iso"


def test_a_qcow2_that_is_also_an_iso_is_refused(tmp_path: Path) -> None:
    polyglot = bytearray(Qcow2().build())
    polyglot[32768 : 32768 + 4096] = images.iso()[32768 : 32768 + 4096]
    assert "both a qcow2 image and an ISO" in str(refusal(write(tmp_path, bytes(polyglot))))


@pytest.mark.parametrize("content", [images.gpt(), images.boot_sector(), bytes(512), b"a" * 1024])
def test_anything_else_of_whole_sectors_is_raw(content: bytes, tmp_path: Path) -> None:
    found = inspect(write(tmp_path, content))
    assert (found.format, found.virtual_size, found.kind) == ("raw", len(content), "disk")


def test_raw_content_that_ends_inside_a_sector_is_refused_with_the_way_to_pad_it(tmp_path: Path) -> None:
    error = refusal(write(tmp_path, bytes(1000)))
    assert "whole sectors" in str(error)
    assert "truncate -s 1024" in str(error)


@pytest.mark.parametrize(
    ("content", "stated", "found"),
    [
        (Qcow2().build(), "raw", "qcow2"),
        (bytes(1024), "qcow2", "raw"),
        (images.iso(), "raw", "iso"),
        (bytes(1024), "iso", "raw"),
    ],
)
def test_a_stated_format_must_agree(content: bytes, stated: Format, found: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"'the image' is stated to be {stated} but is {found}") as caught:
        inspect(write(tmp_path, content), path="disks[0].source", stated=stated, name="the image")
    assert caught.value.path == "format"


def test_a_stated_format_that_agrees_is_accepted(tmp_path: Path) -> None:
    assert inspect(write(tmp_path, Qcow2().build()), stated="qcow2").format == "qcow2"


def test_an_archive_stated_to_be_raw_is_the_content_of_a_disk(tmp_path: Path) -> None:
    assert inspect(write(tmp_path, images.NOT_DISKS["tar"][0].ljust(2048, b"\0")), stated="raw").format == "raw"


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    assert "is empty" in str(refusal(write(tmp_path, b"")))


def test_a_missing_file_a_directory_and_a_pipe_are_refused(tmp_path: Path) -> None:
    assert "cannot be read" in str(refusal(tmp_path / "nowhere"))
    assert "not a regular file" in str(refusal(tmp_path))
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in str(refusal(tmp_path / "pipe"))


def test_the_backing_file_is_never_opened(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    os.mkfifo(canary)  # opening it to read would block for ever
    assert "backing file" in str(refusal(write(tmp_path, Qcow2(backing=str(canary).encode()).build())))


@given(
    st.binary(min_size=8, max_size=1500), st.sampled_from([b"QFI\xfb\0\0\0\x03", b"QFI\xfb\0\0\0\x02", b"KDMV", b""])
)
def test_any_bytes_are_accepted_or_refused_as_input(tail: bytes, head: bytes) -> None:
    fd = os.memfd_create("any")
    try:
        os.write(fd, head + tail)
        with contextlib.suppress(InputError):
            assert inspect(Path(f"/proc/self/fd/{fd}")).size == len(head + tail)
    finally:
        os.close(fd)
