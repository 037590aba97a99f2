"""Networks as XML: what is written is read back, and what Kiln has no word for stays."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv6Interface

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kiln.platforms.libvirt import network_changes
from kiln.platforms.libvirt.xml import metadata
from kiln.platforms.libvirt.xml.network import is_bridge, network, served_index, told_settings
from kiln.platforms.libvirt.xml.text import parse
from kiln.ports.marks import Holder, Mark
from kiln.ports.networks import HostRecord, NetworkSettings, NetworkSpec, Reservation

from tests.unit.platforms.test_domain_xml import allowed

MARK = Mark("op", "creating", urn='urn:"<&>', role="network", holder=Holder("m", "b", 1, 2, 3), made=4)
UUID = "6c2d6f33-4e19-4d1c-9a5e-111111111111"

ipv4 = st.ip_addresses(v=4).map(str)
interfaces4 = st.builds(
    lambda ip, length: str(IPv4Interface((int(ip), length))), st.ip_addresses(v=4), st.integers(8, 30)
)
interfaces6 = st.builds(
    lambda ip, length: str(IPv6Interface((int(ip), length))), st.ip_addresses(v=6), st.integers(8, 64)
)
ranges = st.lists(st.tuples(ipv4, ipv4), max_size=1).map(tuple)
reservations = st.lists(st.builds(Reservation, st.just("52:54:00:00:00:01"), ipv4, st.none() | allowed), max_size=3)
records = st.lists(st.builds(HostRecord, ipv4, st.lists(allowed, min_size=1, max_size=3).map(tuple)), max_size=3)
settings = st.builds(
    NetworkSettings,
    mode=st.sampled_from(["nat", "routed", "isolated", "bridge"]),
    bridge=st.none() | allowed,
    addresses=st.tuples(interfaces4, interfaces6),
    ranges=ranges,
    reservations=reservations.map(tuple),
    records=records.map(tuple),
    domain=st.none() | allowed,
    mtu=st.none() | st.integers(68, 65535),
)


def spec(wanted: NetworkSettings) -> NetworkSpec:
    return NetworkSpec("lab", UUID, wanted, MARK)


@given(settings)
def test_a_network_is_read_back_as_it_was_written(wanted: NetworkSettings) -> None:
    root = parse(network(spec(wanted)))
    assert told_settings(root) == wanted
    assert (root.findtext("name"), root.findtext("uuid")) == ("lab", UUID)
    assert metadata.told(metadata.find_network(root)).mark == MARK


@given(settings, settings)
def test_a_redefined_network_has_what_is_wanted_now_and_the_same_bridge(
    before: NetworkSettings, wanted: NetworkSettings
) -> None:
    root = parse(network(spec(wanted), network(spec(before))))
    told = told_settings(root)
    assert told.bridge == (before.bridge if wanted.bridge is None else wanted.bridge)
    same = {name: getattr(told, name) for name in ("addresses", "ranges", "reservations", "records", "domain", "mtu")}
    assert same == {name: getattr(wanted, name) for name in same}
    assert len(root.findall("metadata/*")) == 1


THEIRS = """
<network connections='1' ipv6='yes'>
  <name>lab</name><uuid>6c2d6f33-4e19-4d1c-9a5e-111111111111</uuid>
  <metadata><theirs:note xmlns:theirs='urn:theirs' by='somebody'/></metadata>
  <forward mode='nat'><nat><port start='1024' end='2048'/></nat></forward>
  <bridge name='virbr7' stp='on' delay='0'/><mac address='52:54:00:ce:4d:1a'/>
  <domain name='old' localOnly='yes'/>
  <dns><forwarder addr='192.0.2.53'/><txt name='a' value='b'/><host ip='192.0.2.9'><hostname>x</hostname></host></dns>
  <bandwidth><inbound average='1000'/></bandwidth>
  <ip address='192.0.2.1' netmask='255.255.255.0'>
    <tftp root='/tftp'/><dhcp><range start='192.0.2.2' end='192.0.2.9'/><bootp file='pxe.0'/></dhcp>
  </ip>
  <ip family='ipv6' address='fd00::1' prefix='64'><dhcp><range start='fd00::2' end='fd00::9'/></dhcp></ip>
</network>
"""


def test_what_kiln_has_no_word_for_stays() -> None:
    wanted = NetworkSettings(
        "nat", None, ("192.0.2.1/24", "fd00::1/64"), (("192.0.2.20", "192.0.2.30"),), domain="new", mtu=1400
    )
    root = parse(network(spec(wanted), THEIRS))
    assert told_settings(root).ranges == wanted.ranges
    assert told_settings(root).records == ()
    for path in (
        "metadata/{urn:theirs}note[@by='somebody']",
        "forward/nat/port[@start='1024']",
        "bridge[@name='virbr7'][@stp='on']",
        "mac[@address='52:54:00:ce:4d:1a']",
        "domain[@name='new'][@localOnly='yes']",
        "dns/forwarder",
        "dns/txt",
        "bandwidth/inbound",
        "ip/tftp",
        "ip/dhcp/bootp",
        "ip[@family='ipv6']/dhcp/range[@start='fd00::2']",
    ):
        assert root.find(path) is not None, path


FOREIGN = """
<network>
  <name>lab</name><uuid>6c2d6f33-4e19-4d1c-9a5e-111111111111</uuid><forward mode='nat'/><bridge name='virbr7'/>
  <dns><host ip='192.0.2.9'><hostname>x</hostname></host></dns>
  <ip address='192.0.2.1' prefix='24'><dhcp>
    <range start='192.0.2.2' end='192.0.2.9'><lease expiry='24' unit='hours'/></range>
    <host mac='52:54:00:00:00:07' ip='192.0.2.7'><lease expiry='0'/></host>
    <host mac='52:54:00:00:00:08' ip='192.0.2.8'><lease expiry='0'/></host>
  </dhcp></ip>
  <ip family='ipv6' address='fd00::1' prefix='64'/>
</network>
"""


def test_entries_that_stay_keep_what_kiln_has_no_word_for() -> None:
    before = told_settings(parse(FOREIGN))
    wanted = replace(before, reservations=(*before.reservations[:1], Reservation("52:54:00:00:00:08", "192.0.2.9")))
    dhcp = parse(network(spec(wanted), FOREIGN)).find("ip/dhcp")
    assert dhcp is not None
    assert dhcp.find("range/lease[@expiry='24']") is not None
    assert [(one.get("ip"), one.find("lease") is not None) for one in dhcp.findall("host")] == [
        ("192.0.2.7", True),
        ("192.0.2.9", False),
    ]


def test_ipv6_is_translated_where_kiln_brings_it_and_otherwise_as_somebody_chose() -> None:
    before = told_settings(parse(FOREIGN))
    assert parse(network(spec(before), FOREIGN)).find("forward/nat") is None
    more = replace(before, addresses=(*before.addresses, "fd00:1::1/64"))
    assert parse(network(spec(more), FOREIGN)).find("forward/nat[@ipv6='yes']") is not None
    assert parse(network(spec(before))).find("forward/nat[@ipv6='yes']") is not None


def test_a_reservation_for_a_name_is_not_told_and_stays() -> None:
    theirs = FOREIGN.replace("</dhcp>", "<host name='printer' ip='192.0.2.5'/></dhcp>")
    before = told_settings(parse(theirs))
    assert [one.mac for one in before.reservations] == ["52:54:00:00:00:07", "52:54:00:00:00:08"]
    changed = parse(network(spec(replace(before, reservations=())), theirs))
    assert [one.get("name") for one in changed.findall("ip/dhcp/host")] == ["printer"]


class Active:
    """A ``virNetwork`` that runs without what its definition says of DHCP, and keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def XMLDesc(self, flags: int) -> str:
        return FOREIGN if flags else "<network><ip address='192.0.2.1' prefix='24'/></network>"

    def update(self, command: int, section: int, parent: int, document: str, flags: int) -> None:
        self.told.append(document)


def test_an_active_network_is_given_entries_in_the_words_of_its_definition() -> None:
    active, new = Active(), Reservation("52:54:00:00:00:09", "192.0.2.6")
    before = told_settings(parse(FOREIGN))
    network_changes.make(active, replace(before, reservations=(*before.reservations, new), records=()))
    leases = [parse(each).find("lease") for each in active.told]
    assert [None if one is None else one.get("expiry") for one in leases] == ["24", "0", "0", None]


SECOND = """
<network><name>lab</name><forward mode='nat'/><ip address='192.0.2.1' prefix='24'/>
<ip address='198.51.100.1' prefix='24'><dhcp><range start='198.51.100.2' end='198.51.100.9'/></dhcp></ip></network>
"""


def test_dhcp_of_another_address_is_left_alone() -> None:
    before = told_settings(parse(SECOND))
    assert before.ranges == ()
    changed = parse(network(spec(replace(before, domain="new")), SECOND))
    assert changed.find("ip[@address='198.51.100.1']/dhcp/range") is not None


def test_dhcp_goes_with_the_first_place_among_the_addresses() -> None:
    first, second = "192.0.2.1/24", "198.51.100.1/24"
    before = NetworkSettings("nat", None, (first, second), (("192.0.2.2", "192.0.2.9"),))
    after = replace(before, addresses=(second, first), ranges=(("198.51.100.2", "198.51.100.9"),))
    changed = parse(network(spec(after), network(spec(before))))
    assert [each.find("dhcp") is not None for each in changed.findall("ip")] == [True, False]
    assert told_settings(changed) == after


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("address='10.0.0.1' netmask='255.255.0.0'", "10.0.0.1/16"),
        ("address='10.0.0.1'", "10.0.0.1/8"),
        ("address='172.16.0.1'", "172.16.0.1/16"),
        ("address='192.168.0.1'", "192.168.0.1/24"),
        ("family='ipv6' address='fd00::1'", "fd00::1/64"),
    ],
)
def test_an_address_is_told_with_its_prefix_length_however_it_is_written(written: str, told: str) -> None:
    assert told_settings(parse(f"<network><ip {written}/></network>")).addresses == (told,)


@pytest.mark.parametrize(
    ("forward", "mode"),
    [
        ("", "isolated"),
        ("<forward mode='none'/>", "isolated"),
        ("<forward/>", "nat"),
        ("<forward mode='route'/>", "routed"),
        ("<forward mode='open'/>", "open"),
    ],
)
def test_a_mode_is_told_in_kilns_words_or_libvirts(forward: str, mode: str) -> None:
    document = f"<network><name>n</name>{forward}</network>"
    assert told_settings(parse(document)).mode == mode
    assert told_settings(parse(network(spec(NetworkSettings(mode)), document))).mode == mode


def test_dhcp_belongs_to_the_first_ipv4_address() -> None:
    ranges = ((str(IPv4Address("10.1.0.2")), str(IPv4Address("10.1.0.9"))),)
    wanted = NetworkSettings("isolated", None, ("fd00::1/64", "10.1.0.1/24", "10.2.0.1/24"), ranges)
    root = parse(network(spec(wanted)))
    assert served_index(root) == 1
    assert [each.find("dhcp") is not None for each in root.findall("ip")] == [False, True, False]
    assert served_index(parse("<network/>")) == -1


def test_a_bridge_is_told_from_other_interfaces() -> None:
    assert is_bridge("<interface type='bridge'/>")
    assert not is_bridge("<interface type='ethernet'/>")
