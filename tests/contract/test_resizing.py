"""Memory and virtual CPUs that a guest is given while it runs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from kiln.framework.context import Context
from kiln.framework.errors import KilnError
from kiln.platforms.libvirt import resize
from kiln.ports.domains import Live, Sizes
from kiln.ports.nodes import Node

from tests.contract.conftest import real
from tests.contract.guests import spec

MIB = 1 << 10


@pytest.fixture(autouse=True)
def clean(no_guest_is_left: None) -> None:
    """Every test here makes guests."""


def live(node: Node, ctx: Context, uuid: str) -> Live:
    found = node.domains.get(ctx, uuid).live
    assert found is not None
    return found


@pytest.mark.parametrize(
    "wanted",
    [
        Sizes(64 * MIB, 1),
        Sizes(64 * MIB, 1, 320 * MIB, 4),
        Sizes(64 * MIB, 2, 64 * MIB, 2),
        Sizes(65 * MIB, 1, max_memory=67 * MIB),
        Sizes(64 * MIB, 1, max_vcpus=3),
    ],
    ids=str,
)
def test_what_a_guest_can_grow_to_is_read_back_as_it_was_defined(
    node: Node, ctx: Context, name: str, wanted: Sizes
) -> None:
    asked = spec(
        name, memory=wanted.memory, vcpus=wanted.vcpus, max_memory=wanted.max_memory, max_vcpus=wanted.max_vcpus
    )
    node.domains.define(ctx, asked)
    found = node.domains.get(ctx, asked.uuid)
    room = wanted.max_memory if wanted.max_memory != wanted.memory else None
    assert found.sizes == wanted
    assert (found.memory, found.current_memory, found.max_memory) == (wanted.memory, wanted.memory, room)
    assert (found.current_vcpus, found.vcpus) == (wanted.vcpus, wanted.max_vcpus or wanted.vcpus)
    node.domains.start(ctx, asked.uuid)
    started = live(node, ctx, asked.uuid)
    assert started.sizes == wanted
    assert (started.memory, started.installed, started.max_memory) == (wanted.memory, wanted.memory, room)
    assert (started.vcpus, started.max_vcpus) == (found.current_vcpus, found.vcpus)
    assert started.memory_slots == (16 if room else 0)


def test_a_running_guest_is_given_memory_and_virtual_cpus_and_its_definition_is_not(
    node: Node, ctx: Context, name: str
) -> None:
    wanted = spec(name, max_memory=320 * MIB, max_vcpus=4)
    node.domains.define(ctx, wanted)
    node.domains.start(ctx, wanted.uuid)
    node.domains.plug_memory(ctx, wanted.uuid, 128 * MIB)
    node.domains.plug_vcpus(ctx, wanted.uuid, 3)
    now = live(node, ctx, wanted.uuid)
    assert (now.memory, now.installed, now.memory_slots, now.vcpus) == (192 * MIB, 192 * MIB, 15, 3)
    with pytest.raises(KilnError):
        node.domains.plug_memory(ctx, wanted.uuid, 256 * MIB)
    with pytest.raises(KilnError):
        node.domains.plug_vcpus(ctx, wanted.uuid, 5)
    found = node.domains.define(ctx, replace(wanted, memory=192 * MIB, vcpus=3))
    assert (found.memory, found.current_vcpus, found.live) == (192 * MIB, 3, now)
    node.domains.destroy(ctx, wanted.uuid)
    node.domains.start(ctx, wanted.uuid)
    again = live(node, ctx, wanted.uuid)
    assert (again.memory, again.installed, again.memory_slots, again.vcpus) == (192 * MIB, 192 * MIB, 16, 3)


def test_a_guest_that_was_not_made_to_grow_is_given_nothing(node: Node, ctx: Context, name: str) -> None:
    wanted = spec(name)
    node.domains.define(ctx, wanted)
    node.domains.start(ctx, wanted.uuid)
    with pytest.raises(KilnError):
        node.domains.plug_memory(ctx, wanted.uuid, 128 * MIB)
    with pytest.raises(KilnError):
        node.domains.plug_vcpus(ctx, wanted.uuid, 2)
    now = live(node, ctx, wanted.uuid)
    assert (now.memory, now.installed, now.max_memory, now.vcpus) == (64 * MIB, 64 * MIB, None, 1)
    assert node.domains.spare_memory(ctx, wanted.uuid) is None


@real
def test_a_guest_without_a_balloon_driver_keeps_its_memory_and_is_told_of(
    node: Node, ctx: Context, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resize, "BALLOON_SECONDS", 1.0)
    wanted = spec(name, max_memory=320 * MIB)
    node.domains.define(ctx, wanted)
    node.domains.start(ctx, wanted.uuid)
    with pytest.raises(KilnError, match="balloon driver did not come to 48 MiB"):
        node.domains.balloon(ctx, wanted.uuid, 48 * MIB)
    assert live(node, ctx, wanted.uuid).memory == 64 * MIB
