"""What every driver of ``ports.Networks`` does."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from kiln.framework.context import Context
from kiln.framework.errors import Conflict, InputError, NotFound
from kiln.ports.domains import NicSpec
from kiln.ports.marks import Holder, Mark
from kiln.ports.networks import HostRecord, NetworkSettings, NetworkSpec, Reservation
from kiln.ports.nodes import Node

from tests.contract import guests
from tests.contract.conftest import DRIVERS

MARK = Mark("op-1", "creating", urn='urn:"<&>', role="network", holder=Holder("m", "b", 1, 2, 3), made=4)
DONE = replace(MARK, phase="done", holder=None)
NET = f"10.{secrets.randbelow(50) + 180}.{secrets.randbelow(256)}"
"""The first three numbers of a network that nothing else here has."""

# Streams make no difference to networks.
pytestmark = pytest.mark.parametrize("node", [DRIVERS[0], DRIVERS[2]], indirect=True)


@pytest.fixture(autouse=True)
def nothing_is_left(node: Node, ctx: Context, name: str) -> Iterator[None]:
    yield
    ctx = Context().limited(60)
    for network in node.networks.list(ctx):
        if network.name.startswith(name):
            node.networks.stop(ctx, network.uuid)
            node.networks.undefine(ctx, network.uuid)


def full(**changes: Any) -> NetworkSettings:
    """Settings in which everything is set."""
    settings = NetworkSettings(
        mode="nat",
        addresses=(f"{NET}.1/24", "fd00:17:3::1/64"),
        ranges=((f"{NET}.100", f"{NET}.200"),),
        reservations=(
            Reservation("52:54:00:00:00:07", f"{NET}.7", "seven"),
            Reservation("52:54:00:00:00:08", f"{NET}.8"),
        ),
        records=(HostRecord(f"{NET}.9", ("nine", "neun")), HostRecord("fd00:17:3::9", ("nine",))),
        domain="lab.example",
        mtu=1400,
    )
    return replace(settings, **changes)


def spec(name: str, settings: NetworkSettings | None = None, mark: Mark = MARK) -> NetworkSpec:
    return NetworkSpec(name, str(uuid4()), settings or full(), mark)


def started(node: Node, ctx: Context, wanted: NetworkSpec) -> NetworkSpec:
    node.networks.define(ctx, wanted)
    node.networks.start(ctx, wanted.uuid)
    return wanted


def test_a_network_is_told_as_it_was_defined(node: Node, ctx: Context, name: str) -> None:
    wanted = spec(name)
    made = node.networks.define(ctx, wanted)
    assert made == node.networks.get(ctx, name) == node.networks.by_uuid(ctx, wanted.uuid)
    assert made in node.networks.list(ctx)
    assert (made.name, made.uuid, made.mark) == (name, wanted.uuid, MARK)
    assert replace(made.settings, bridge=None) == wanted.settings
    assert (made.active, made.autostart, made.transient, made.live) == (False, False, False, None)


@pytest.mark.parametrize(
    "settings",
    [
        full(mode="routed"),
        full(mode="isolated", addresses=(f"{NET}.1/24",), mtu=None, domain=None),
        NetworkSettings("isolated"),
        NetworkSettings("nat", None, ("fd00:17:4::1/64",)),
        full(ranges=()),
    ],
    ids=["routed", "isolated", "without_addresses", "ipv6_alone", "reservations_alone"],
)
def test_every_kind_of_network_starts_and_is_as_it_was_defined(
    node: Node, ctx: Context, name: str, settings: NetworkSettings
) -> None:
    wanted = started(node, ctx, spec(name, settings))
    network = node.networks.by_uuid(ctx, wanted.uuid)
    assert network.live is not None
    assert replace(network.live, bridge=None) == replace(network.settings, bridge=None) == settings
    assert network.dhcp == bool(settings.ranges or settings.reservations)
    assert network.bridge
    assert node.networks.has_bridge(ctx, network.bridge) is not None


@pytest.mark.parametrize("ends", [("10.0.0.2", "10.0.255.255"), ("10.1.0.1", "10.1.255.255")])
def test_the_largest_ranges_are_taken(node: Node, ctx: Context, name: str, ends: tuple[str, str]) -> None:
    settings = NetworkSettings("isolated", None, ("10.0.0.1/8",), (ends,))
    assert node.networks.define(ctx, spec(name, settings)).settings.ranges == (ends,)


def test_a_network_on_a_bridge_of_the_hosts_starts(node: Node, ctx: Context, name: str) -> None:
    settings = NetworkSettings("bridge", "virbr0")
    wanted = started(node, ctx, spec(name, settings))
    network = node.networks.by_uuid(ctx, wanted.uuid)
    assert (network.settings, network.live, network.bridge) == (settings, settings, "virbr0")


def test_a_guest_that_runs_on_such_a_network_is_told_to_be_on_it(node: Node, ctx: Context, name: str) -> None:
    started(node, ctx, spec(name, NetworkSettings("bridge", "virbr0")))
    guest = guests.spec(name, nics=(NicSpec("52:54:00:17:03:31", network=name),))
    try:
        node.domains.define(ctx, guest)
        node.domains.start(ctx, guest.uuid)
        found = node.domains.get(ctx, guest.uuid)
        assert found.live is not None
        assert [(nic.network, nic.bridge) for nic in (*found.nics, *found.live.nics)] == [(name, None)] * 2
    finally:
        node.domains.destroy(ctx, guest.uuid)
        node.domains.undefine(ctx, guest.uuid)


def test_starting_and_stopping_twice_is_a_success(node: Node, ctx: Context, name: str) -> None:
    wanted = started(node, ctx, spec(name))
    node.networks.start(ctx, wanted.uuid)
    assert node.networks.by_uuid(ctx, wanted.uuid).active
    for _ in range(2):
        node.networks.stop(ctx, wanted.uuid)
        assert not node.networks.by_uuid(ctx, wanted.uuid).active


def test_what_is_gone_is_not_found_and_removing_it_again_is_a_success(node: Node, ctx: Context, name: str) -> None:
    wanted = spec(name)
    node.networks.define(ctx, wanted)
    for _ in range(2):
        node.networks.undefine(ctx, wanted.uuid)
        node.networks.stop(ctx, wanted.uuid)
    with pytest.raises(NotFound):
        node.networks.get(ctx, name)
    with pytest.raises(NotFound):
        node.networks.by_uuid(ctx, wanted.uuid)
    with pytest.raises(NotFound):
        node.networks.start(ctx, wanted.uuid)


def test_redefining_an_active_network_changes_its_definition_alone(node: Node, ctx: Context, name: str) -> None:
    wanted = started(node, ctx, spec(name))
    before = node.networks.by_uuid(ctx, wanted.uuid)
    changed = full(addresses=(f"{NET}.2/24",), reservations=(), records=(), domain=None, mtu=None)
    now = node.networks.define(ctx, replace(wanted, settings=changed, mark=DONE))
    assert now.live == before.live
    assert now.settings == replace(changed, bridge=before.bridge)
    assert now.mark == DONE
    node.networks.stop(ctx, wanted.uuid)
    node.networks.start(ctx, wanted.uuid)
    assert node.networks.by_uuid(ctx, wanted.uuid).live == now.settings


def test_a_definition_is_put_back_as_it_was(node: Node, ctx: Context, name: str) -> None:
    wanted = started(node, ctx, spec(name))
    before, text = node.networks.by_uuid(ctx, wanted.uuid), node.networks.definition(ctx, wanted.uuid)
    ran = node.networks.definition(ctx, wanted.uuid, live=True)
    changed = replace(wanted, settings=NetworkSettings("isolated", addresses=(f"{NET}.9/24",)), mark=DONE)
    node.networks.define(ctx, changed)
    assert node.networks.definition(ctx, wanted.uuid) != text
    for definition in (ran, text):
        node.networks.restore(ctx, definition)
        assert node.networks.by_uuid(ctx, wanted.uuid) == before
    assert node.networks.definition(ctx, wanted.uuid) == text


def test_dhcp_and_dns_change_under_guests_and_nothing_else_does(node: Node, ctx: Context, name: str) -> None:
    wanted = started(node, ctx, spec(name))
    before = node.networks.by_uuid(ctx, wanted.uuid)
    for changed in (
        full(
            ranges=((f"{NET}.100", f"{NET}.150"),),
            reservations=(Reservation("52:54:00:00:00:07", f"{NET}.8", "eight"),),
            records=(HostRecord(f"{NET}.9", ("nine",)), HostRecord(f"{NET}.10", ("ten",))),
        ),
        full(ranges=(), reservations=(), records=()),
        full(ranges=()),
        full(),
    ):
        node.networks.change_live(ctx, wanted.uuid, changed)
        now = node.networks.by_uuid(ctx, wanted.uuid)
        assert now.live is not None
        assert set(now.live.records) == set(changed.records)
        assert set(now.live.reservations) == set(changed.reservations)
        assert replace(now.live, records=(), reservations=()) == replace(
            changed, bridge=before.bridge, records=(), reservations=()
        )
        assert now.settings == before.settings


def test_autostart_is_told(node: Node, ctx: Context, name: str) -> None:
    wanted = spec(name)
    node.networks.define(ctx, wanted)
    for autostart in (True, False):
        node.networks.set_autostart(ctx, wanted.uuid, autostart)
        assert node.networks.by_uuid(ctx, wanted.uuid).autostart == autostart


def test_a_network_undefined_while_active_is_transient_and_belongs_to_whom_it_did(
    node: Node, ctx: Context, name: str
) -> None:
    wanted = started(node, ctx, spec(name))
    node.networks.define(ctx, replace(wanted, mark=DONE))
    node.networks.undefine(ctx, wanted.uuid)
    found = node.networks.by_uuid(ctx, wanted.uuid)
    assert (found.transient, found.active, found.mark) == (True, True, DONE)
    assert not node.networks.define(ctx, replace(wanted, mark=DONE)).transient
    node.networks.undefine(ctx, wanted.uuid)
    node.networks.stop(ctx, wanted.uuid)
    with pytest.raises(NotFound):
        node.networks.by_uuid(ctx, wanted.uuid)


def test_a_name_belongs_to_one_network(node: Node, ctx: Context, name: str) -> None:
    node.networks.define(ctx, spec(name))
    with pytest.raises(Conflict):
        node.networks.define(ctx, spec(name))


def test_a_bridge_belongs_to_one_network(node: Node, ctx: Context, name: str) -> None:
    with pytest.raises(InputError) as caught:
        node.networks.define(ctx, spec(name, full(bridge="virbr0")))
    assert caught.value.path == "bridge"


def test_addresses_that_the_node_has_elsewhere_are_refused_at_start(node: Node, ctx: Context, name: str) -> None:
    first = node.networks.get(ctx, "default").settings.addresses[0]
    wanted = spec(name, NetworkSettings("nat", None, (first,)))
    node.networks.define(ctx, wanted)
    with pytest.raises(InputError) as caught:
        node.networks.start(ctx, wanted.uuid)
    assert caught.value.path == "addresses"
    assert name in caught.value.what
