"""Network: what a change does to guests, what others did to it, whom it belongs to, and that a failed change is taken
back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from kiln.framework import operations
from kiln.framework.errors import Conflict, InputError, KilnError, Refused
from kiln.framework.model import Impact
from kiln.framework.operations import Outcome
from kiln.framework.values import UNKNOWN, reveal
from kiln.ports.networks import Network, NetworkSettings, NetworkSpec
from kiln.resources import leftovers
from kiln.resources.ownership import finished, new_mark

from tests.unit.resources.world import Injected, Steps, World, plain

LAB: dict[str, Any] = {"addresses": ["10.17.3.1/24"]}
RESERVED = {"mac": "52:54:00:00:00:07", "address": "10.17.3.7", "hostname": "seven"}


class Told:
    """A log that keeps what is told."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def info(self, message: str) -> None:
        self.texts.append(message)

    warning = status = debug = info


@pytest.fixture
def lab(world: World) -> Outcome:
    return world.create("Network", "lab", **LAB)


def guest(world: World, name: str = "web", **inputs: Any) -> Outcome:
    return world.create("Server", name, disks=[], networks=[{"network": "lab"}], **inputs)


def network(world: World, made: Outcome) -> Network:
    return world.node.networks.by_uuid(world.context(), made.id)


def by_virsh(world: World, made: Outcome, **changes: Any) -> None:
    """What somebody with virsh does."""
    world.node.networks._put(replace(network(world, made), **changes))


# --- guests ----------------------------------------------------------------------------------------------------------


def test_a_server_can_be_previewed_together_with_its_network(world: World) -> None:
    checked = world.check("Server", "web", {"disks": [], "networks": [{"network": "lab"}]})
    preview = operations.create(world.context(), world.resources["Server"], checked, preview=True)
    assert reveal(preview.state)["networks"] == [{"network": "lab", "model": "virtio", "linkState": "up"}]
    with pytest.raises(InputError, match="there is no network 'lab'"):
        operations.create(world.context(), world.resources["Server"], checked)
    world.create("Network", "lab", **LAB)
    operations.create(world.context(), world.resources["Server"], checked)


def test_a_change_that_stops_the_network_names_the_guests_it_cuts_off(world: World, lab: Outcome) -> None:
    for change in ({"addresses": ["10.17.4.1/24"]}, {"domain": "lab.example"}, {"mtu": 1400}):
        assert world.diff("Network", lab, **change).impact is Impact.LIVE
    guest(world)
    guest(world, "off", powerState="stopped")
    for change in ({"addresses": ["10.17.4.1/24"]}, {"domain": "lab.example"}, {"mtu": 1400}):
        plan = world.diff("Network", lab, **change)
        assert plan.impact is Impact.RESTART
        assert "'web' is cut off" in str(plan.changes[0])
        assert "'off'" not in str(plan.changes[0])


def test_a_change_that_stops_the_network_is_told_as_such_where_its_guests_cannot_be_seen(
    world: World, lab: Outcome
) -> None:
    old = world.inputs("Network", lab)
    new = world.check("Network", "lab", {**old, "mtu": 1400}, old)
    world.nodes.unreachable.add(world.site.uri)
    plan = operations.diff(world.context(), world.resources["Network"], lab.id, lab.state, old, new)
    assert plan.impact is Impact.RESTART


def test_dhcp_and_dns_change_while_guests_are_on_the_network(world: World, lab: Outcome) -> None:
    guest(world)
    starts = world.node.networks.restarts
    change: dict[str, Any] = {
        "reservations": [RESERVED],
        "dnsHosts": [{"address": "10.17.3.8", "hostnames": ["eight"]}],
        "dhcp": {"start": "10.17.3.100", "end": "10.17.3.200"},
    }
    assert world.diff("Network", lab, **change).impact is Impact.LIVE
    updated = world.update("Network", lab, **change)
    now = network(world, updated)
    assert now.live == now.settings
    assert now.live is not None
    assert [one.hostname for one in now.live.reservations] == ["seven"]
    assert world.node.networks.restarts == starts


def test_guests_that_a_restart_cut_off_are_told(world: World, lab: Outcome) -> None:
    guest(world)
    told = Told()
    old = world.inputs("Network", lab)
    new = world.check("Network", "lab", {**old, "mtu": 1400}, old)
    operations.update(replace(world.context(), log=told), world.resources["Network"], lab.id, lab.state, old, new)
    assert [text for text in told.texts if "'web' is cut off" in text]


def test_a_network_is_not_deleted_under_running_guests(world: World, lab: Outcome) -> None:
    server = guest(world)
    plan = world.diff("Network", lab, mode="routed")
    assert plan.impact is Impact.REPLACE
    assert "refused as long as the running guest 'web' is on it" in str(plan.changes[0])
    with pytest.raises(Refused, match="'web'"):
        world.delete("Network", lab)
    assert network(world, lab).active
    world.node.domains.destroy(world.context(), server.id)
    world.delete("Network", lab)
    assert "networks" not in world.inventory()


def test_a_guest_on_the_bridge_of_a_network_is_on_the_network(world: World, lab: Outcome) -> None:
    bridge = plain(lab)["bridgeName"]
    world.create("Server", "web", disks=[], networks=[{"bridge": bridge}])
    assert "'web' is cut off" in str(world.diff("Network", lab, mtu=1400).changes[0])
    assert "'web' is on it" in str(world.diff("Network", lab, mode="routed").changes[0])
    with pytest.raises(Refused, match="'web'"):
        world.delete("Network", lab)
    assert network(world, lab).active


def test_a_guest_on_a_bridge_of_the_hosts_is_not_on_the_network_over_it(world: World) -> None:
    world.node.networks.bridges.add("br0")
    over = world.create("Network", "over", mode="bridge", bridge="br0")
    world.create("Server", "web", disks=[], networks=[{"bridge": "br0"}])
    assert "'web'" not in str(world.diff("Network", over, name="other").changes[0])
    world.delete("Network", over)
    assert "over" not in [one.name for one in world.node.networks.known]


# --- what others did -------------------------------------------------------------------------------------------------


def repaired(world: World, made: Outcome) -> dict[str, Any]:
    """What a refresh says besides the inputs, and that the next run puts it right, and says so before."""
    found = world.read("Network", made)
    assert found is not None
    assert found.inputs == world.inputs("Network", made)
    plan = world.diff("Network", found)
    assert {change.impact for change in plan.changes} == {Impact.LIVE}
    updated = world.update("Network", found)
    again = world.read("Network", updated)
    assert again is not None
    assert again.state == updated.state == made.state
    assert world.diff("Network", again).empty
    return plain(found)


def test_a_network_that_was_stopped_is_started_again(world: World, lab: Outcome) -> None:
    world.node.networks.stop(world.context(), lab.id)
    found = repaired(world, lab)
    assert (found["active"], found["stopped"]) == (False, True)


def test_the_preview_of_a_start_does_not_say_that_the_network_stays_stopped(world: World, lab: Outcome) -> None:
    world.node.networks.stop(world.context(), lab.id)
    found = world.read("Network", lab)
    assert found is not None
    inputs = world.inputs("Network", found)
    preview = operations.update(
        world.context(), world.resources["Network"], found.id, found.state, inputs, inputs, preview=True
    )
    assert preview.state["active"] is UNKNOWN


def test_a_network_that_was_undefined_while_active_is_defined_again(world: World, lab: Outcome) -> None:
    world.node.networks.undefine(world.context(), lab.id)
    assert repaired(world, lab)["transient"]
    assert network(world, lab).autostart


def test_a_definition_that_was_changed_alone_is_put_right(world: World, lab: Outcome) -> None:
    by_virsh(world, lab, settings=replace(network(world, lab).settings, domain="theirs", reservations=()))
    assert repaired(world, lab)["pendingRestart"] == ["domain"]


def test_a_foreign_network_with_the_old_name_is_not_touched(world: World, lab: Outcome) -> None:
    world.node.networks.stop(world.context(), lab.id)
    world.node.networks.undefine(world.context(), lab.id)
    theirs = replace(world.node.networks.known[0], name="lab", uuid="22222222-2222-4222-8222-222222222222")
    world.node.networks.known.append(theirs)
    assert world.read("Network", lab) is None
    world.delete("Network", lab)
    with pytest.raises(Conflict) as caught:
        world.create("Network", "lab", **LAB)
    assert f"pulumi import kiln:index:Network NAME {theirs.uuid}" in str(caught.value)
    assert theirs in world.node.networks.known


def test_a_network_with_a_mode_of_its_own_is_not_misread(world: World, lab: Outcome) -> None:
    by_virsh(world, lab, live=None, active=False, settings=replace(network(world, lab).settings, mode="open"))
    with pytest.raises(KilnError, match="forward mode 'open'"):
        world.imported("Network", "lab")
    with pytest.raises(KilnError, match="forward mode 'open'"):
        world.read("Network", lab)


def test_a_network_over_a_device_that_is_no_bridge_is_not_taken_for_one_over_a_bridge(world: World) -> None:
    world.node.networks.bridges.add("br0")
    made = world.create("Network", "lab", mode="bridge", bridge="br0")
    by_virsh(world, made, live=None, active=False, settings=NetworkSettings("bridge"))
    with pytest.raises(KilnError, match="states no <bridge>"):
        world.imported("Network", "lab")
    with pytest.raises(KilnError, match="states no <bridge>"):
        world.read("Network", made)


def test_a_network_of_others_can_be_imported_and_an_update_makes_it_ours(world: World) -> None:
    found = world.imported("Network", "default")
    assert world.diff("Network", found, addresses=["192.168.122.0/24"]).empty
    updated = world.update("Network", found, reservations=[{**RESERVED, "address": "192.168.122.7"}])
    mark = network(world, updated).mark
    assert mark is not None
    assert mark.phase == "done"


# --- whom it belongs to ----------------------------------------------------------------------------------------------


def left(world: World, *, alive: bool) -> NetworkSpec:
    """A network that another operation began to make."""
    mark = new_mark(world.context("other"), "network")
    spec = NetworkSpec("lab", "33333333-3333-4333-8333-333333333333", NetworkSettings("isolated"), mark)
    world.node.networks.define(world.context(), spec if alive else replace(spec, mark=replace(mark, holder=None)))
    world.node.networks.start(world.context(), spec.uuid)
    return spec


def test_what_a_dead_operation_left_is_made_anew(world: World) -> None:
    spec = left(world, alive=False)
    made = world.create("Network", "lab", **LAB)
    assert made.id != spec.uuid
    assert network(world, made).settings.mode == "nat"
    assert [one.name for one in world.node.networks.known] == ["default", "lab"]


def test_what_a_dead_operation_left_stays_while_guests_run_on_it(world: World) -> None:
    spec = left(world, alive=False)
    server = guest(world)
    with pytest.raises(Refused, match="'web'") as caught:
        world.create("Network", "lab", **LAB)
    assert caught.value.path == "name"
    assert world.node.networks.by_uuid(world.context(), spec.uuid).active
    world.node.domains.destroy(world.context(), server.id)
    assert world.create("Network", "lab", **LAB).id != spec.uuid


def test_what_a_running_operation_makes_is_left_to_it(world: World) -> None:
    spec = left(world, alive=True)
    with pytest.raises(Conflict, match="another operation"):
        world.create("Network", "lab", **LAB)
    assert world.node.networks.by_uuid(world.context(), spec.uuid).active
    assert leftovers.find(world.context(), world.node) == []


def test_a_finished_network_of_kilns_is_refused(world: World, lab: Outcome) -> None:
    with pytest.raises(Conflict, match="pulumi import") as caught:
        world.create("Network", "lab", **LAB)
    assert caught.value.path == "name"
    assert world.read("Network", lab) is not None


def test_gc_finds_networks_that_are_in_no_state(world: World, lab: Outcome) -> None:
    assert leftovers.find(world.context(), world.node, None, {lab.id}) == []
    server = guest(world)
    [found] = [
        item for item in leftovers.find(world.context(), world.node, None, {server.id}) if item.kind == "network"
    ]
    assert (found.id, found.name) == (lab.id, "lab")
    with pytest.raises(Refused, match="'web'"):
        found.remove(world.context())
    world.delete("Server", server)
    found.remove(world.context())
    found.remove(world.context())
    assert "networks" not in world.inventory()


def test_gc_removes_what_a_dead_operation_left_unless_it_was_taken_on(world: World) -> None:
    spec = left(world, alive=False)
    [found] = leftovers.find(world.context(), world.node)
    assert found.kind == "network"
    world.node.networks.define(world.context(), replace(spec, mark=finished(spec.mark)))
    with pytest.raises(Refused, match="changed since"):
        found.remove(world.context())


# --- faults ----------------------------------------------------------------------------------------------------------


def test_a_change_that_fails_at_any_step_is_taken_back(world: World, lab: Outcome) -> None:
    change: dict[str, Any] = {"addresses": ["10.17.4.1/24"], "autostart": False, "reservations": []}
    before = network(world, lab)
    seen = Steps()
    world.update("Network", world.update("Network", lab, seen, **change), **LAB, autostart=True)
    assert len(seen.seen) == 6
    for fault in seen.seen:
        with pytest.raises(Injected):
            world.update("Network", lab, Steps(fault), **change)
        assert network(world, lab) == before, fault


def test_a_network_that_cannot_start_with_its_new_addresses_has_the_old_ones(world: World, lab: Outcome) -> None:
    before = network(world, lab)
    with pytest.raises(InputError) as caught:
        world.update("Network", lab, addresses=["192.168.122.1/24"])
    assert caught.value.path == "addresses"
    assert network(world, lab) == before


def broken_off(world: World, made: Outcome, **change: Any) -> None:
    """A change that fails at each step in turn, and leaves no trace."""
    before = network(world, made)
    for step in ("define network", "bring network up", "set autostart"):
        with pytest.raises(Injected):
            world.update("Network", made, Steps(("after", step)), **change)
        assert network(world, made) == before, step


def test_a_failed_change_of_a_network_of_others_leaves_no_mark_in_it(world: World) -> None:
    found = world.imported("Network", "default")
    assert network(world, found).mark is None
    broken_off(world, found, mtu=1400, autostart=False)


def test_a_failed_change_puts_a_definition_back_that_is_not_what_runs(world: World, lab: Outcome) -> None:
    by_virsh(world, lab, settings=replace(network(world, lab).settings, domain="theirs"))
    for change in ({"mtu": 1400}, {"reservations": [RESERVED]}):
        broken_off(world, lab, **change)


def test_a_network_that_was_transient_or_stopped_is_so_again_after_a_failed_change(world: World, lab: Outcome) -> None:
    world.node.networks.undefine(world.context(), lab.id)
    broken_off(world, lab, mtu=1400)
    world.update("Network", lab)
    world.node.networks.stop(world.context(), lab.id)
    broken_off(world, lab, mtu=1400)
