"""Network: what is refused before anything happens, and what the defaults are."""

from __future__ import annotations

from typing import Any

import pytest
from kiln.framework import operations
from kiln.framework.errors import InputError, InputErrors
from kiln.framework.values import UNKNOWN
from kiln.ports.networks import NetworkSettings

from tests.unit.resources.world import World

LAB: dict[str, Any] = {"addresses": ["10.17.3.1/24"]}
RESERVED = {"mac": "52:54:00:00:00:07", "address": "10.17.3.7", "hostname": "seven"}


def settings(world: World, **inputs: Any) -> NetworkSettings:
    """What the node is told for these inputs."""
    return world.node.networks.by_uuid(world.context(), world.create("Network", "it", **inputs).id).settings


# --- what is refused -------------------------------------------------------------------------------------------------

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "nat_without_addresses": ({"mode": "nat"}, "addresses"),
    "routed_without_addresses": ({"mode": "routed", "addresses": []}, "addresses"),
    "bridge_without_its_name": ({"mode": "bridge"}, "bridge"),
    "bridge_with_addresses": ({"mode": "bridge", "bridge": "br0", **LAB}, "addresses"),
    "bridge_with_dns": (
        {"mode": "bridge", "bridge": "br0", "dnsHosts": [{"address": "1.1.1.1", "hostnames": ["a"]}]},
        "dnsHosts",
    ),
    "bridge_with_mtu": ({"mode": "bridge", "bridge": "br0", "mtu": 1400}, "mtu"),
    "bridge_name_too_long": ({**LAB, "bridge": "a234567890123456"}, "bridge"),
    "bridge_name_with_a_slash": ({**LAB, "bridge": "a/b"}, "bridge"),
    "name_with_a_slash": ({**LAB, "name": "a/b"}, "name"),
    "address_without_length": ({"addresses": ["10.17.3.1"]}, "addresses[0]"),
    "no_address": ({"addresses": ["10.17.3.1/24", "lab"]}, "addresses[1]"),
    "address_of_an_interface": ({"addresses": ["fd00::1%eth0/64"]}, "addresses[0]"),
    "no_room": ({"addresses": ["10.17.3.1/31"]}, "addresses[0]"),
    "no_room_for_ipv6": ({"addresses": ["fd00::1/127"]}, "addresses[0]"),
    "broadcast": ({"addresses": ["10.17.3.255/24"]}, "addresses[0]"),
    "multicast": ({"addresses": ["224.0.0.1/24"]}, "addresses[0]"),
    "overlap": ({"addresses": ["10.17.3.1/24", "fd00::1/64", "10.17.0.1/16"]}, "addresses[2]"),
    "half_a_range": ({**LAB, "dhcp": {"start": "10.17.3.9"}}, "dhcp.end"),
    "other_half_of_a_range": ({**LAB, "dhcp": {"end": "10.17.3.9"}}, "dhcp.start"),
    "range_elsewhere": ({**LAB, "dhcp": {"start": "10.17.4.2", "end": "10.17.4.9"}}, "dhcp.start"),
    "range_to_the_broadcast": ({**LAB, "dhcp": {"start": "10.17.3.2", "end": "10.17.3.255"}}, "dhcp.end"),
    "range_backwards": ({**LAB, "dhcp": {"start": "10.17.3.9", "end": "10.17.3.2"}}, "dhcp.end"),
    "range_too_large": ({"addresses": ["10.0.0.1/8"], "dhcp": {"start": "10.0.0.2", "end": "10.9.0.2"}}, "dhcp.end"),
    "range_of_two_blocks": (
        {"addresses": ["10.0.0.1/8"], "dhcp": {"start": "10.0.255.9", "end": "10.1.0.2"}},
        "dhcp.end",
    ),
    "range_with_too_many": (
        {"addresses": ["10.0.0.1/8"], "dhcp": {"start": "10.1.0.0", "end": "10.1.255.255"}},
        "dhcp.end",
    ),
    "range_of_ipv6": ({**LAB, "dhcp": {"start": "10.17.3.2", "end": "fd00::9"}}, "dhcp.end"),
    "range_without_dhcp": ({**LAB, "dhcp": {"enabled": False, "start": "10.17.3.2", "end": "10.17.3.9"}}, "dhcp.start"),
    "dhcp_without_ipv4": ({"addresses": ["fd00::1/64"], "dhcp": {}}, "dhcp"),
    "reservation_without_ipv4": ({"addresses": ["fd00::1/64"], "reservations": [RESERVED]}, "reservations"),
    "reservation_elsewhere": (
        {**LAB, "reservations": [{**RESERVED, "address": "10.17.4.7"}]},
        "reservations[0].address",
    ),
    "reservation_of_the_nodes": (
        {**LAB, "reservations": [{**RESERVED, "address": "10.17.3.1"}]},
        "reservations[0].address",
    ),
    "reservation_bad_mac": ({**LAB, "reservations": [{**RESERVED, "mac": "nonsense"}]}, "reservations[0].mac"),
    "reservation_bad_name": ({**LAB, "reservations": [{**RESERVED, "hostname": "a b"}]}, "reservations[0].hostname"),
    "mac_twice": (
        {**LAB, "reservations": [RESERVED, {"mac": RESERVED["mac"].upper(), "address": "10.17.3.8"}]},
        "reservations[1].mac",
    ),
    "address_twice": (
        {**LAB, "reservations": [RESERVED, {"mac": "52:54:00:00:00:08", "address": "10.17.3.7"}]},
        "reservations[1].address",
    ),
    "name_twice": (
        {**LAB, "reservations": [RESERVED, {"mac": "52:54:00:00:00:08", "address": "10.17.3.8", "hostname": "seven"}]},
        "reservations[1].hostname",
    ),
    "record_without_names": ({**LAB, "dnsHosts": [{"address": "10.17.3.8", "hostnames": []}]}, "dnsHosts[0].hostnames"),
    "record_bad_name": (
        {**LAB, "dnsHosts": [{"address": "10.17.3.8", "hostnames": ["a", "-"]}]},
        "dnsHosts[0].hostnames[1]",
    ),
    "record_bad_address": ({**LAB, "dnsHosts": [{"address": "x", "hostnames": ["a"]}]}, "dnsHosts[0].address"),
    "record_of_an_interface": (
        {**LAB, "dnsHosts": [{"address": "fe80::1%eth0", "hostnames": ["a"]}]},
        "dnsHosts[0].address",
    ),
    "record_twice": (
        {**LAB, "dnsHosts": [{"address": "fd00::8", "hostnames": ["a"]}, {"address": "fd00:0::8", "hostnames": ["b"]}]},
        "dnsHosts[1].address",
    ),
    "dns_without_addresses": (
        {"mode": "isolated", "dnsHosts": [{"address": "10.1.1.1", "hostnames": ["a"]}]},
        "dnsHosts",
    ),
    "domain_without_addresses": ({"mode": "isolated", "domain": "lab"}, "domain"),
    "bad_domain": ({**LAB, "domain": "a b"}, "domain"),
    "mtu_too_small": ({**LAB, "mtu": 67}, "mtu"),
    "mtu_too_small_for_ipv6": ({"addresses": ["fd00::1/64"], "mtu": 1200}, "mtu"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_cannot_work_is_refused_at_its_property(world: World, wrong: str) -> None:
    inputs, path = WRONG[wrong]
    with pytest.raises(InputErrors) as caught:
        world.check("Network", "it", inputs)
    assert [error.path for error in caught.value.errors] == [path]


@pytest.mark.parametrize(
    "inputs",
    [
        {"mode": UNKNOWN},
        {"addresses": UNKNOWN, "reservations": [RESERVED]},
        {"addresses": [UNKNOWN], "dhcp": {"start": "10.1.1.1", "end": "10.1.1.9"}},
        {**LAB, "dhcp": {"start": UNKNOWN, "end": "10.17.3.9"}},
        {**LAB, "reservations": [{"mac": UNKNOWN, "address": UNKNOWN}, RESERVED]},
        {**LAB, "dnsHosts": [{"address": UNKNOWN, "hostnames": [UNKNOWN]}], "domain": UNKNOWN, "mtu": UNKNOWN},
        {**LAB, "node": UNKNOWN},
    ],
)
def test_what_is_not_known_yet_is_not_refused(world: World, inputs: dict[str, Any]) -> None:
    world.check("Network", "it", inputs)
    made = world.create("Network", "lab", **LAB)
    checked = world.check("Network", "lab", inputs, world.inputs("Network", made))
    operations.diff(
        world.context(), world.resources["Network"], made.id, made.state, world.inputs("Network", made), checked
    )


def test_a_session_node_has_no_networks(world: World) -> None:
    with pytest.raises(InputErrors) as caught:
        world.check("Network", "it", {**LAB, "node": "memory:///session"})
    assert caught.value.errors[0].path == "node"
    assert "user-mode networking" in str(caught.value)


def test_a_bridge_of_the_hosts_has_to_be_there_when_the_network_is_made(world: World) -> None:
    with pytest.raises(InputError) as caught:
        world.create("Network", "it", mode="bridge", bridge="br0")
    assert caught.value.path == "bridge"
    assert [network.name for network in world.node.networks.known] == ["default"]


@pytest.mark.parametrize(
    "change",
    [
        {"mode": "bridge", "bridge": "lo"},
        {"mode": "bridge", "bridge": "nosuch0"},
        {"mode": "bridge", "bridge": "lab0"},
        {**LAB, "bridge": "lo"},
        {**LAB, "bridge": "br0"},
        {**LAB, "bridge": "virbr0"},
    ],
)
def test_a_network_is_not_given_up_for_one_whose_bridge_cannot_be(world: World, change: dict[str, Any]) -> None:
    world.node.networks.bridges.add("br0")
    old = world.inputs("Network", world.create("Network", "lab", **LAB, bridge="lab0"))
    with pytest.raises(InputErrors) as caught:
        world.check("Network", "lab", change, old)
    assert [error.path for error in caught.value.errors] == ["bridge"]


@pytest.mark.parametrize(
    "change",
    [
        {"mode": "bridge", "bridge": "br0"},
        {**LAB, "bridge": "lab0", "mode": "routed"},
        {**LAB, "bridge": "lab1"},
        {**LAB, "bridge": "lab0", "name": "other"},
        {**LAB, "bridge": "lab0", "domain": "lab"},
    ],
)
def test_a_network_is_given_up_for_one_whose_bridge_can_be(world: World, change: dict[str, Any]) -> None:
    world.node.networks.bridges.add("br0")
    old = world.inputs("Network", world.create("Network", "lab", **LAB, bridge="lab0"))
    assert world.check("Network", "lab", change, old)["bridge"] == change["bridge"]


# --- defaults --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "own", "range"),
    [
        ("10.17.3.1/24", "10.17.3.1/24", ("10.17.3.2", "10.17.3.254")),
        ("10.17.3.0/24", "10.17.3.1/24", ("10.17.3.2", "10.17.3.254")),
        ("10.17.3.254/24", "10.17.3.254/24", ("10.17.3.1", "10.17.3.253")),
        ("10.17.3.100/24", "10.17.3.100/24", ("10.17.3.101", "10.17.3.254")),
        ("10.17.3.2/30", "10.17.3.2/30", ("10.17.3.1", "10.17.3.1")),
        ("10.17.0.0/16", "10.17.0.1/16", ("10.17.0.2", "10.17.255.254")),
        ("10.0.0.1/8", "10.0.0.1/8", ("10.0.0.2", "10.0.255.255")),
        ("172.17.200.0/12", "172.17.200.0/12", ("172.17.0.0", "172.17.199.255")),
        ("172.31.255.254/12", "172.31.255.254/12", ("172.31.0.0", "172.31.255.253")),
    ],
)
def test_dhcp_is_on_and_has_the_longer_part_of_the_network(
    world: World, address: str, own: str, range: tuple[str, str]
) -> None:
    told = settings(world, addresses=[address])
    assert (told.addresses, told.ranges) == ((own,), (range,))


def test_dhcp_can_be_off_and_then_serves_reservations_alone(world: World) -> None:
    told = settings(world, **LAB, dhcp={"enabled": False}, reservations=[RESERVED])
    assert told.ranges == ()
    assert [one.address for one in told.reservations] == ["10.17.3.7"]


def test_dhcp_serves_the_first_ipv4_network_and_no_other_kind(world: World) -> None:
    assert settings(world, addresses=["fd00::/64", "10.1.0.1/30", "10.2.0.1/30"]).ranges == (("10.1.0.2", "10.1.0.2"),)


def test_a_network_of_ipv6_alone_has_no_dhcp(world: World) -> None:
    assert settings(world, addresses=["fd00:6::/64"]).ranges == ()
