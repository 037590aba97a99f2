"""Sizes: read as virt-install and qemu-img read them, compared by value, kept as written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kiln.framework.units import Size, multiple_of


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("512MiB", 512 * 2**20),
        ("20GiB", 20 * 2**30),
        ("20G", 20 * 2**30),
        ("1.5G", 3 * 2**29),
        ("2k", 2048),
        ("1TB", 10**12),
        ("10mb", 10**7),
        ("1000000000B", 10**9),
        (" 4 KiB ", 4096),
        ("1PiB", 2**50),
        ("0B", 0),
    ],
)
def test_a_size_is_read_in_the_units_people_write(text: str, count: int) -> None:
    assert Size.parse(text).bytes == count


FOREIGN = ["\uff11GiB", "1.\uff15G", "\u0661GiB", "1\u212aiB"]  # full-width and Arabic digits, the sign of Kelvin


@pytest.mark.parametrize(
    "text", ["", "2048", "0", "MiB", "1XiB", "-1G", "1,5G", "1 G B", "1e9", "0x10", "½G", "1GiB2", *FOREIGN]
)
def test_what_is_no_size_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match="512MiB"):
        Size.parse(text)


def test_a_part_of_a_byte_is_refused() -> None:
    with pytest.raises(ValueError, match="whole number of bytes"):
        Size.parse("1.0001K")


def test_sizes_are_equal_when_their_bytes_are() -> None:
    one, other = Size.parse("2GiB"), Size.parse("2048MiB")
    assert one == other
    assert hash(one) == hash(other)
    assert (str(one), str(other)) == ("2GiB", "2048MiB")
    assert one != Size.parse("2GB")
    assert one != 2 * 2**30


@given(st.integers(min_value=0, max_value=2**60))
def test_a_count_of_bytes_is_written_so_that_it_reads_back(count: int) -> None:
    assert Size.parse(Size.of(count).text).bytes == count


@pytest.mark.parametrize(("count", "text"), [(2**30, "1GiB"), (1536 * 2**20, "1536MiB"), (1000, "1000B"), (0, "0B")])
def test_a_count_is_written_in_the_largest_unit_that_divides_it(count: int, text: str) -> None:
    assert Size.of(count).text == text


def test_kib_are_whole() -> None:
    assert Size.parse("1MiB").kib == 1024


def test_a_multiple_is_demanded() -> None:
    sectors = multiple_of(512, "a whole number of sectors")
    assert sectors(Size.parse("1K")) == Size.parse("1K")
    with pytest.raises(ValueError, match="whole number of sectors"):
        sectors(Size.parse("513B"))
    with pytest.raises(ValueError, match="above zero"):
        sectors(Size.parse("0B"))
