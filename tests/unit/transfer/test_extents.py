"""Digests of raw content depend on the content alone."""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kiln.framework.errors import InputError
from kiln.transfer.digest import extents_digest, file_digest, parse_checksum
from kiln.transfer.extents import BLOCK, Run, runs

from tests.unit.transfer.digests import digest_file

BLOCKS = st.lists(st.sampled_from([b"\0", b"a", b"b", b"tail"]), min_size=1, max_size=12)


def block(kind: bytes) -> bytes:
    return bytes(BLOCK - 1) + b"\x01" if kind == b"tail" else kind * BLOCK


def definition(content: bytes) -> str:
    """The digest as its documentation words it, with no eye on speed."""
    kept = [offset for offset in range(0, len(content), BLOCK) if any(content[offset : offset + BLOCK])]
    hasher = hashlib.sha256(struct.pack(">Q", len(content)))
    while kept:
        start = end = kept[0]
        while kept and kept[0] == end:
            end = kept.pop(0) + BLOCK
        end = min(end, len(content))
        hasher.update(struct.pack(">QQ", start, end - start) + content[start:end])
    return f"extents-sha256:{hasher.hexdigest()}"


@contextmanager
def laid_out(content: bytes, written: list[bool]) -> Iterator[int]:
    """A file with the content, whose blocks of zeros are stored or are holes as ``written`` says."""
    fd = os.memfd_create("content")
    try:
        os.ftruncate(fd, len(content))
        for index, offset in enumerate(range(0, len(content), BLOCK)):
            piece = content[offset : offset + BLOCK]
            if any(piece) or written[index % len(written)]:
                os.pwrite(fd, piece, offset)
        yield fd
    finally:
        os.close(fd)


@given(BLOCKS, st.integers(0, BLOCK - 1), st.lists(st.booleans(), min_size=1, max_size=5))
def test_extents_digest_is_as_defined_however_the_file_is_laid_out(
    kinds: list[bytes], cut: int, written: list[bool]
) -> None:
    content = b"".join(block(kind) for kind in kinds)
    content = content[: max(1, len(content) - cut)]
    with laid_out(content, written) as fd:
        assert extents_digest(fd, len(content)) == definition(content)


@given(BLOCKS, st.data())
def test_extents_digest_changes_with_any_byte(kinds: list[bytes], data: st.DataObject) -> None:
    content = bytearray(b"".join(block(kind) for kind in kinds))
    with laid_out(bytes(content), [False]) as fd:
        before = extents_digest(fd, len(content))
    content[data.draw(st.integers(0, len(content) - 1))] ^= 0x40
    with laid_out(bytes(content), [False]) as fd:
        assert extents_digest(fd, len(content)) != before


def test_extents_digest_tells_disks_of_different_size_apart() -> None:
    with laid_out(bytes(BLOCK), [False]) as small, laid_out(bytes(2 * BLOCK), [False]) as large:
        assert extents_digest(small, BLOCK) != extents_digest(large, 2 * BLOCK)


def test_runs_are_maximal_and_end_with_the_file() -> None:
    content = block(b"a") + block(b"tail") + block(b"\0") + b"b" * 100
    with laid_out(content, [True]) as fd:
        assert list(runs(fd, len(content))) == [Run(0, 2 * BLOCK), Run(3 * BLOCK, 100)]


@given(BLOCKS, st.lists(st.booleans(), min_size=1, max_size=3), st.sampled_from(["sha256", "sha512"]))
def test_file_digest_counts_holes_as_the_zeros_they_are(kinds: list[bytes], written: list[bool], name: str) -> None:
    content = b"".join(block(kind) for kind in kinds)[:-7]
    with laid_out(content, written) as fd:
        digest = file_digest(fd, len(content), "sha256" if name == "sha256" else "sha512")
    assert digest == f"{name}:{hashlib.new(name, content).hexdigest()}"


def test_a_hole_of_a_terabyte_costs_nothing(tmp_path: Path) -> None:
    file = tmp_path / "large"
    with file.open("wb") as stream:
        stream.truncate(1 << 40)
        stream.seek(1 << 39)
        stream.write(b"data")
    assert digest_file(file, "extents-sha256").startswith("extents-sha256:")


@pytest.mark.parametrize(("name", "digits"), [("sha256", 64), ("sha512", 128)])
def test_checksums_are_read_in_either_case(name: str, digits: int) -> None:
    checksum = parse_checksum(f" {name.upper()}:{'AB' * (digits // 2)}\n")
    assert str(checksum) == f"{name}:{'ab' * (digits // 2)}"


@pytest.mark.parametrize("text", ["", "sha256:", "sha256:xyz", "md5:" + "a" * 32, "a" * 64, "sha512:" + "a" * 64])
def test_a_malformed_checksum_is_refused_with_the_two_forms(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_checksum(text, "checksum")
    assert caught.value.path == "checksum"
    assert "sha256:" in str(caught.value.action)
    assert "sha512:" in str(caught.value.action)
