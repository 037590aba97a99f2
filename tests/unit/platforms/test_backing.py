"""What is built on what, and volumes as XML."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from kiln.platforms.libvirt.backing import built_on
from kiln.platforms.libvirt.xml.pool import directory_pool, told_pool
from kiln.platforms.libvirt.xml.text import parse
from kiln.platforms.libvirt.xml.volume import told_volume, volume

from tests.unit.platforms.specs import volume as made
from tests.unit.platforms.test_domain_xml import allowed


def test_overlays_are_found_through_all_levels() -> None:
    base, other = made("base"), made("other")
    middle = replace(made("middle"), backing=base.path)
    top = replace(made("top"), backing=middle.path)
    beside = replace(made("beside"), backing=base.path)
    volumes = [top, other, middle, base, beside]
    assert set(built_on(base.path, volumes)) == {middle.ref, top.ref, beside.ref}
    assert built_on(middle.path, volumes) == (top.ref,)
    assert built_on(top.path, volumes) == ()


def test_a_circle_of_overlays_ends() -> None:
    one, two = made("one"), made("two")
    circle = [replace(one, backing=two.path), replace(two, backing=one.path)]
    assert set(built_on(one.path, circle)) == {one.ref, two.ref}


@given(allowed, st.integers(0, 1 << 60))
def test_a_volume_is_written_with_its_name_and_size(name: str, size: int) -> None:
    found = told_volume(volume(name, format="qcow2", virtual_size=size), "kiln")
    assert (found.ref.name, found.ref.pool, found.virtual_size, found.format) == (name, "kiln", size, "qcow2")


def test_an_overlay_names_what_it_is_built_on_and_its_format() -> None:
    written = volume("top", format="qcow2", virtual_size=512, backing=made("cd.iso", "iso"))
    assert told_volume(written, "kiln").backing == "/pool/cd.iso"
    format = parse(written).find("backingStore/format")
    assert format is not None
    assert format.get("type") == "raw"


def test_a_new_volume_is_private_sparse_and_of_the_modern_format() -> None:
    root = parse(volume("v", format="qcow2", virtual_size=512))
    assert root.findtext("target/permissions/mode") == "0600"
    assert root.findtext("target/compat") == "1.1"
    assert root.findtext("allocation") == "0"
    assert parse(volume("v", format="raw", virtual_size=512)).find("target/compat") is None


@given(allowed, allowed)
def test_a_pool_is_read_back_as_it_was_written(name: str, path: str) -> None:
    found = told_pool(directory_pool(name, path), active=True)
    assert (found.name, found.path, found.type, found.active) == (name, path, "dir", True)
