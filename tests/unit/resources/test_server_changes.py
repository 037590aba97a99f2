"""Server: what a plan says of a change, and changes in place, also those that fail."""

from __future__ import annotations

from typing import Any

import pytest
from kiln.framework import operations
from kiln.framework.errors import InputError, NotFound
from kiln.framework.model import Impact
from kiln.framework.operations import Outcome, Partial

from tests.unit.resources.world import Steps, World, plain


@pytest.fixture
def made(world: World, image: str) -> Outcome:
    return world.create("Server", "it", image=image, powerState="stopped")


@pytest.mark.parametrize(
    ("change", "impact"),
    [
        ({"description": "new"}, Impact.LIVE),
        ({"autostart": True}, Impact.LIVE),
        ({"waitFor": "address"}, Impact.LIVE),
        ({"waitTimeout": 5}, Impact.LIVE),
        ({"shutdownTimeout": 5}, Impact.LIVE),
        ({"memory": "1GiB"}, Impact.RESTART),
        ({"vcpus": 2}, Impact.RESTART),
        ({"cpuMode": "maximum"}, Impact.RESTART),
        ({"networks": []}, Impact.LIVE),
        ({"graphics": "vnc"}, Impact.RESTART),
        ({"boot": {"order": ["hd"]}}, Impact.RESTART),
        ({"name": "other"}, Impact.REPLACE),
        ({"image": "kiln/other"}, Impact.REPLACE),
        ({"diskSize": "8MiB"}, Impact.LIVE),
        ({"firmware": "efi"}, Impact.REPLACE),
        ({"firstBoot": {"hostname": "new"}, "onFirstBootChange": "replace"}, Impact.REPLACE),
        ({"firstBoot": {"hostname": "new"}, "onFirstBootChange": "rerun"}, Impact.RESTART),
    ],
)
@pytest.mark.parametrize("power", ["running", "stopped"])
def test_each_change_has_the_impact_it_is_said_to_have(
    world: World, image: str, change: dict[str, Any], impact: Impact, power: str
) -> None:
    made = world.create("Server", "it", image=image, powerState=power)
    plan = world.diff("Server", made, **change)
    assert {str(one.path[0]) for one in plan.changes} == set(change)
    assert plan.impact is (Impact.LIVE if power == "stopped" and impact is Impact.RESTART else impact)
    assert plan.delete_first


@pytest.mark.parametrize(
    ("inputs", "change", "said"),
    [
        ({}, {"memory": "1GiB"}, "memory 512MiB → 1GiB, restart: graceful shutdown, forced after 60 s"),
        ({}, {"memory": "1GiB", "shutdownTimeout": 5}, "restart: graceful shutdown, forced after 5 s"),
        ({}, {"powerState": "stopped"}, "live: graceful shutdown, forced after 60 s"),
        ({}, {"powerState": "stopped", "vcpus": 2}, "vcpus 1 → 2, live: the guest has it when it starts again"),
        ({}, {"firmware": "efi"}, "replace: the root disk 'kiln/it-root' and what is on it are lost"),
        ({"powerState": "stopped"}, {"vcpus": 2}, "vcpus 1 → 2, live: the guest is off, and has it when it starts"),
        ({"powerState": "stopped"}, {"powerState": "running"}, "powerState stopped → running, live"),
    ],
    ids=str,
)
def test_a_plan_says_what_a_change_does_to_the_guest(
    world: World, image: str, inputs: dict[str, Any], change: dict[str, Any], said: str
) -> None:
    made = world.create("Server", "it", image=image, **inputs)
    assert any(said in str(one) for one in world.diff("Server", made, **change).changes)


def test_a_plan_looks_at_the_guest_and_not_at_what_the_state_says_of_it(world: World, image: str) -> None:
    made = world.create("Server", "it", image=image)
    world.node.domains.destroy(world.context(), made.id)
    assert world.diff("Server", made, vcpus=2).impact is Impact.LIVE


def test_a_plan_goes_by_the_state_where_the_guest_cannot_be_looked_at(world: World, image: str) -> None:
    made = world.create("Server", "it", image=image)
    del world.node.domains.guests[made.id]
    assert world.diff("Server", made, vcpus=2).impact is Impact.RESTART


def test_settings_change_in_place_and_keep_the_guest(world: World, made: Outcome) -> None:
    before = world.node.domains.get(world.context(), made.id)
    changed = world.update("Server", made, memory="1GiB", vcpus=2, description="new", autostart=True)
    domain = world.node.domains.get(world.context(), made.id)
    assert (changed.id, domain.memory, domain.vcpus) == (made.id, 1 << 20, 2)
    assert (domain.description, domain.autostart) == ("new", True)
    assert [nic.mac for nic in domain.nics] == [nic.mac for nic in before.nics]
    assert [disk.path for disk in domain.disks] == [disk.path for disk in before.disks]
    assert plain(changed)["initialPassword"] == plain(made)["initialPassword"]


def test_a_guest_is_started_and_stopped_in_place(world: World, made: Outcome) -> None:
    started = world.update("Server", made, powerState="running")
    assert plain(started)["state"] == "running"
    stopped = world.update("Server", started, powerState="stopped", shutdownTimeout=1)
    assert plain(stopped)["state"] == "stopped"


def test_a_changed_guest_that_ran_runs_again(world: World, image: str) -> None:
    server = world.create("Server", "it", image=image, shutdownTimeout=1)
    assert plain(server)["state"] == "running"
    assert plain(world.update("Server", server, memory="1GiB"))["state"] == "running"


def test_an_update_of_a_guest_that_is_gone_says_so(world: World, made: Outcome) -> None:
    world.node.domains.undefine(world.context(), made.id)
    with pytest.raises(NotFound, match="it is gone: run `pulumi refresh`, and `pulumi up` makes it again"):
        world.update("Server", made, memory="1GiB")


def failed(world: World, made: Outcome, step: str, **inputs: Any) -> Outcome:
    """What the engine keeps of an update that failed at a step: the new state with the old inputs."""
    with pytest.raises(Partial) as caught:
        world.update("Server", made, Steps(("before", step)), **inputs)
    return caught.value.outcome


def test_a_program_taken_back_after_a_failed_update_is_made_so_and_the_plan_says_it(world: World, image: str) -> None:
    made = world.create("Server", "it", image=image, memory="128MiB", shutdownTimeout=1)
    before = world.inputs("Server", made)
    left = failed(world, made, "start", memory="64MiB", cpuMode="maximum")
    assert world.node.domains.get(world.context(), made.id).memory == 64 << 10
    assert left.state["unfinished"] == ["cpuMode", "memory"]
    server = world.resources["Server"]
    plan = operations.diff(world.context(), server, made.id, left.state, before, before)
    assert {change.path[0] for change in plan.changes} == {"memory", "cpuMode", "unfinished"}
    repaired = operations.update(world.context(), server, made.id, left.state, before, before)
    domain = world.node.domains.get(world.context(), made.id)
    assert (domain.state, domain.memory, domain.live.memory if domain.live else 0) == ("running", 128 << 10, 128 << 10)
    assert "unfinished" not in repaired.state
    assert operations.diff(world.context(), server, made.id, repaired.state, before, before).empty


def test_the_hosts_own_cpu_is_refused_where_guests_are_emulated_and_nothing_is_touched(
    world: World, image: str
) -> None:
    made = world.create("Server", "it", image=image)
    live = world.node.domains.guests[made.id].live
    with pytest.raises(InputError, match="needs kvm") as caught:
        world.update("Server", made, cpuMode="host-passthrough")
    assert caught.value.path == "cpuMode"
    assert world.node.domains.guests[made.id].live is live
    with pytest.raises(InputError, match="needs kvm"):
        world.create("Server", "other", image=image, cpuMode="host-passthrough")


def without_start(world: World, made: Outcome, **inputs: Any) -> tuple[Outcome, tuple[str, ...]]:
    """What the engine keeps of an update after which the guest does not start, and what it tells."""
    with pytest.raises(Partial) as caught:
        world.update("Server", made, **inputs)
    return caught.value.outcome, caught.value.reasons


def test_a_guest_that_does_not_start_with_another_kernel_runs_again_with_the_one_it_had(
    world: World, image: str
) -> None:
    boot = {"kernel": "/boot/old", "cmdline": "quiet"}
    made = world.create("Server", "it", image=image, boot=boot, diskSize="4MiB", description="old")
    domains = world.node.domains
    domains.unbootable = {"/boot/new"}
    before = domains.get(world.context(), made.id)
    new: dict[str, Any] = {
        "boot": {"kernel": "/boot/new"},
        "memory": "64MiB",
        "description": "new",
        "autostart": True,
        "diskSize": "8MiB",
    }
    left, reasons = without_start(world, made, **new)
    assert [reason.partition(" ")[0] for reason in reasons] == ["boot.kernel:"]
    after = domains.get(world.context(), made.id)
    assert (after.state, after.boot, after.live) == ("running", before.boot, before.live)
    grown = {"diskSize": "8MiB", "rootDiskSize": "8MiB"}
    assert plain(left) == {**plain(made), **grown, "autostart": True}
    assert world.read("Server", left) == Outcome(left.id, left.state, world.inputs("Server", left))
    old, server = world.inputs("Server", made), world.resources["Server"]
    wanted = world.check("Server", made.id, {**old, **new}, old)
    plan = operations.diff(world.context(), server, made.id, left.state, old, wanted)
    assert {change.path[0] for change in plan.changes} == {"boot", "memory", "description"}
    domains.unbootable = set()
    done = operations.update(world.context(), server, made.id, left.state, old, wanted)
    after = domains.get(world.context(), made.id)
    assert (after.state, after.memory, after.boot and after.boot.kernel) == ("running", 64 << 10, "/boot/new")
    assert "unfinished" not in done.state
    assert operations.diff(world.context(), server, made.id, done.state, wanted, wanted).empty


def test_a_guest_that_starts_neither_with_the_new_kernel_nor_with_the_old_is_told_with_both_reasons(
    world: World, image: str
) -> None:
    made = world.create("Server", "it", image=image, boot={"kernel": "/boot/old"})
    world.node.domains.unbootable = {"/boot/old", "/boot/new"}
    left, reasons = without_start(world, made, boot={"kernel": "/boot/new"})
    assert ["/boot/new" in reasons[0], "/boot/old" in reasons[1]] == [True, True]
    assert "step put the old definition back" in reasons[1]
    assert (left.state["state"], left.state["unfinished"]) == ("stopped", ["boot"])
    world.node.domains.unbootable = {"/boot/old"}
    old = world.inputs("Server", made)
    wanted = world.check("Server", made.id, {**old, "boot": {"kernel": "/boot/new"}}, old)
    server = world.resources["Server"]
    done = operations.update(world.context(), server, made.id, left.state, old, wanted)
    assert (done.state["state"], done.state.get("unfinished")) == ("running", None)


def test_a_guest_that_was_off_stays_so_when_it_does_not_start(world: World, image: str) -> None:
    made = world.create("Server", "it", image=image, boot={"kernel": "/boot/old"}, powerState="stopped")
    world.node.domains.unbootable = {"/boot/new"}
    left, reasons = without_start(world, made, boot={"kernel": "/boot/new"}, powerState="running")
    assert len(reasons) == 1
    domain = world.node.domains.get(world.context(), made.id)
    assert (domain.state, domain.boot and domain.boot.kernel) == ("stopped", "/boot/new")
    assert (left.state["state"], left.state["unfinished"]) == ("stopped", ["boot", "powerState"])
