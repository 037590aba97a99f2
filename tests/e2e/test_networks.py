"""Networks with guests on them: made in one program, changed under a guest, found stopped, imported, and gone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pulumi
import pulumi_kiln as kiln
import pytest

from tests.e2e.guests import tiny_image, tiny_server
from tests.e2e.inventory import URI, Inventory
from tests.e2e.stacks import Program, Stack
from tools.guests import GuestImage

FIRST, SECOND = "52:54:00:17:03:07", "52:54:00:17:03:08"

Make = Callable[..., Program]


@pytest.fixture(scope="module")
def net(prefix: str) -> str:
    """The first three numbers of a network that nothing else here has."""
    number = int(prefix.rpartition("-")[2], 16)
    return f"10.{230 + number % 20}.{number // 20 % 256}"


@pytest.fixture(scope="module")
def make(prefix: str, tiny_guest: GuestImage, net: str) -> Make:
    def make(*, second: bool = False, **inputs: Any) -> Program:
        """A network and a guest with a reserved address on it, and maybe a second one."""

        def program() -> None:
            given: dict[str, Any] = {
                "addresses": [f"{net}.0/24"],
                "domain": "lab.example",
                "reservations": [{"mac": FIRST, "address": f"{net}.7", "hostname": "first"}],
                **inputs,
            }
            lab = kiln.Network(f"{prefix}-lab", **given)
            image = tiny_image(f"{prefix}-image", tiny_guest)
            for mac in [FIRST, SECOND] if second else [FIRST]:
                name = "first" if mac == FIRST else "second"
                nics = [{"network": lab.name, "mac": mac}]
                server = tiny_server(f"{prefix}-{name}", image.id, networks=nics, wait_for="address")
                pulumi.export(name, server.addresses)

        return program

    return make


@pytest.fixture(scope="module")
def stack(stacks: Callable[..., Stack]) -> Stack:
    return stacks()


def plugged(inventory: Inventory, prefix: str) -> bool:
    """Whether the first guest's interface is a port of the network's bridge."""
    bridge = inventory.connection.networkLookupByName(f"{prefix}-lab").bridgeName()
    target = inventory.xml(f"{prefix}-first", live=True).find("devices/interface/target").get("dev")
    return Path(f"/sys/class/net/{bridge}/brif/{target}").exists()


def test_a_network_and_its_guest_are_previewed_and_made_together(
    stack: Stack, make: Make, prefix: str, net: str, inventory: Inventory
) -> None:
    assert stack.preview(make()).changed == {"create": 4}
    assert inventory.named(prefix)["networks"] == set()
    run = stack.up(make())
    assert run.outputs["first"] == [f"{net}.7"]
    network = inventory.connection.networkLookupByName(f"{prefix}-lab")
    assert (network.isActive(), network.isPersistent(), network.autostart()) == (1, 1, 1)
    assert plugged(inventory, prefix)
    assert stack.refresh().changed == {}
    assert stack.preview(make()).changed == {}


def test_a_reservation_changes_under_the_guest_and_holds_for_the_next_one(
    stack: Stack, make: Make, prefix: str, net: str, inventory: Inventory
) -> None:
    changed: dict[str, Any] = {
        "reservations": [{"mac": FIRST, "address": f"{net}.9"}, {"mac": SECOND, "address": f"{net}.8"}],
        "dns_hosts": [{"address": f"{net}.1", "hostnames": ["gate"]}],
        "dhcp": {"start": f"{net}.100", "end": f"{net}.110"},
    }
    ran = inventory.domain(f"{prefix}-first").ID()
    preview = stack.preview(make(second=True, **changed))
    assert preview.changed == {"create": 1, "update": 1}
    assert f"reservations[0].address {net}.7 → {net}.9, live" in preview.text
    assert "restart" not in preview.text
    run = stack.up(make(second=True, **changed))
    assert run.outputs["second"] == [f"{net}.8"]
    assert inventory.domain(f"{prefix}-first").ID() == ran
    assert plugged(inventory, prefix)
    network = inventory.connection.networkLookupByName(f"{prefix}-lab")
    for document in (network.XMLDesc(0), network.XMLDesc(1)):
        assert all(text in document for text in (f"{net}.9", f"{net}.8", "gate", f"{net}.110"))
    assert stack.up(make()).changed == {"delete": 1, "update": 1}
    assert plugged(inventory, prefix)


def test_a_change_that_cuts_guests_off_says_so_and_names_them(stack: Stack, make: Make, prefix: str) -> None:
    preview = stack.preview(make(domain="other.example"))
    assert "lab: domain lab.example → other.example, restart: the network stops and starts" in preview.text
    assert f"the running guest '{prefix}-first' is cut off" in preview.text
    assert f"refused as long as the running guest '{prefix}-first' is on it" in stack.preview(make(mode="routed")).text


def test_a_network_that_was_stopped_is_found_and_started_by_the_next_up(
    stack: Stack, make: Make, prefix: str, inventory: Inventory
) -> None:
    network = inventory.connection.networkLookupByName(f"{prefix}-lab")
    network.destroy()
    network.setAutostart(0)
    assert stack.refresh().changed == {"update": 1}
    preview = stack.preview(make())
    assert preview.changed == {"update": 1}
    assert "the network was stopped, and is started again" in preview.text
    run = stack.up(make())
    assert f"the running guest '{prefix}-first' is cut off" in run.text
    assert (network.isActive(), network.autostart()) == (1, 1)
    assert stack.refresh().changed == {}
    assert stack.preview(make()).changed == {}


def test_a_network_is_replaced_once_no_running_guest_is_on_it_and_its_server_stays(
    stack: Stack, make: Make, prefix: str, inventory: Inventory
) -> None:
    name, before = f"{prefix}-first", inventory.uuid(f"{prefix}-first")
    old = inventory.connection.networkLookupByName(f"{prefix}-lab").UUIDString()
    assert f"network '{prefix}-lab' is in use and stays" in stack.up_fails(make(mode="routed"))
    assert inventory.connection.networkLookupByName(f"{prefix}-lab").UUIDString() == old
    inventory.domain(name).destroy()
    assert stack.up(make(mode="routed")).changed == {"replace": 1}
    network = inventory.connection.networkLookupByName(f"{prefix}-lab")
    assert network.UUIDString() != old
    assert "<forward mode='route'/>" in network.XMLDesc(0)
    assert stack.refresh().changed == {"update": 1}
    assert stack.up(make(mode="routed")).outputs["first"]
    assert inventory.uuid(name) == before
    assert plugged(inventory, prefix)


def test_a_destroy_leaves_nothing(stack: Stack, prefix: str, inventory: Inventory) -> None:
    bridge = inventory.connection.networkLookupByName(f"{prefix}-lab").bridgeName()
    stack.destroy()
    assert inventory.named(prefix)["networks"] == set()
    assert not Path(f"/sys/class/net/{bridge}").exists()
    assert not list(Path("/var/lib/libvirt/dnsmasq").glob(f"{prefix}*"))


@pytest.fixture
def theirs(prefix: str, net: str, inventory: Inventory) -> Iterator[str]:
    """The name of a network that somebody made with virsh."""
    name = f"{prefix}-theirs"
    document = f"""
    <network><name>{name}</name><forward mode='nat'/><domain name='theirs' localOnly='yes'/>
      <dns><forwarder addr='192.0.2.53'/></dns>
      <ip address='{net}.1' netmask='255.255.255.0'>
        <dhcp><range start='{net}.2' end='{net}.254'/><host mac='{FIRST}' ip='{net}.7'/></dhcp>
      </ip>
    </network>"""
    made = inventory.connection.networkDefineXML(document)
    made.create()
    yield name
    if name in inventory.networks():
        made.destroy()
        made.undefine()


def test_a_network_of_others_is_imported_without_a_change_and_keeps_what_kiln_has_no_word_for(
    stacks: Callable[..., Stack], net: str, theirs: str, inventory: Inventory
) -> None:
    uuid = inventory.connection.networkLookupByName(theirs).UUIDString()
    before = inventory.connection.networkLookupByName(theirs).XMLDesc(0)

    def program(**inputs: Any) -> Program:
        given: dict[str, Any] = {
            "addresses": [f"{net}.1/24"],
            "domain": "theirs",
            "autostart": False,
            "reservations": [{"mac": FIRST, "address": f"{net}.7"}],
            **inputs,
        }

        def made() -> None:
            kiln.Network(theirs, **given, opts=pulumi.ResourceOptions(import_=f"{theirs}@{URI}"))

        return made

    stack = stacks()
    assert "update" not in stack.up(program()).changed
    assert stack.resources()[theirs]["id"] == uuid
    assert stack.preview(program()).changed == {}
    assert inventory.connection.networkLookupByName(theirs).XMLDesc(0) == before
    assert stack.up(program(reservations=[])).changed == {"update": 1}
    after = inventory.connection.networkLookupByName(theirs).XMLDesc(1)
    assert "<forwarder addr='192.0.2.53'/>" in after
    assert "localOnly='yes'" in after
    assert f"{net}.7" not in after
