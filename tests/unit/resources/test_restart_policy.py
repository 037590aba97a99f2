"""Server: what becomes of a change that takes a restart, by what the program says of restarts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from kiln.framework import operations
from kiln.framework.errors import InputErrors
from kiln.framework.model import Impact
from kiln.framework.operations import Outcome, Partial
from kiln.framework.plan import Plan
from kiln.ports.domains import Domain
from kiln.ports.volumes import VolumeRef
from kiln.resources.server import seeds

from tests.unit.resources.world import POOL, Steps, World, plain, play, seen, start_again, steady

WAITS = "deferred: waits for the next start of the guest"
COLD: list[tuple[dict[str, Any], str]] = [
    ({"memory": "1GiB"}, "memory"),
    ({"vcpus": 2}, "vcpus"),
    ({"cpuMode": "maximum"}, "cpuMode"),
    ({"boot": {"order": ["hd"]}}, "boot"),
    ({"graphics": "vnc"}, "graphics"),
    ({"platformConfig": {"machine": "pc"}}, "platformConfig"),
    ({"firstBoot": {"hostname": "other"}, "onFirstBootChange": "rerun"}, "firstBoot"),
]
"""Changes that take a restart, and the properties that they are of."""


@pytest.fixture
def made(world: World, image: str) -> Outcome:
    return world.create("Server", "it", image=image, restartPolicy="deferred")


@pytest.fixture
def strict(world: World, image: str) -> Outcome:
    return world.create("Server", "it", image=image, restartPolicy="forbidden")


def guest(world: World, made: Outcome) -> Domain:
    return world.node.domains.get(world.context(), made.id)


def starts(world: World, made: Outcome) -> int:
    return world.node.domains.guests[made.id].starts


def said(plan: Plan) -> list[str]:
    return [str(change) for change in plan.changes]


# --- deferred --------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("CP-69")
@pytest.mark.parametrize(("change", "name"), COLD, ids=str)
def test_what_takes_a_restart_waits_for_a_start_by_whomever_and_is_listed_until_then(
    world: World, made: Outcome, change: dict[str, Any], name: str
) -> None:
    plan = world.diff("Server", made, **change)
    assert any("waits for the next start of the guest" in one for one in said(plan))
    assert plan.impact is Impact.DEFERRED
    changed = world.update("Server", made, **change)
    assert starts(world, made) == 1
    assert changed.state["pendingRestart"] == [name]
    assert "unfinished" not in changed.state
    assert steady(world, changed)
    start_again(world, made)
    found = seen(world, changed)
    assert "pendingRestart" not in found.state
    assert found.inputs == world.inputs("Server", changed)
    assert world.diff("Server", found).empty


def test_a_plan_says_what_waits(world: World, made: Outcome) -> None:
    assert said(world.diff("Server", made, memory="1GiB")) == [f"memory 512MiB → 1GiB, {WAITS}"]


@pytest.mark.parametrize(("change", "name"), COLD[:-1], ids=str)
def test_what_a_program_takes_back_waits_no_more(
    world: World, made: Outcome, change: dict[str, Any], name: str
) -> None:
    before = {key: world.inputs("Server", made).get(key) for key in change}
    changed = world.update("Server", made, **change)
    plan = world.diff("Server", changed, **before)
    assert (plan.impact, "the guest runs with it" in said(plan)[0]) == (Impact.LIVE, True)
    back = world.update("Server", changed, **before)
    assert "pendingRestart" not in back.state
    assert steady(world, back)
    assert starts(world, made) == 1


def test_what_waits_adds_up_and_other_changes_stay_live(world: World, made: Outcome) -> None:
    disk = world.create("Disk", "data", size="1MiB").id
    made = world.update("Server", made, memory="1GiB")
    made = world.update("Server", made, cpuMode="maximum", description="new", disks=[disk])
    live = guest(world, made).live
    assert live is not None
    assert made.state["pendingRestart"] == ["memory", "cpuMode"]
    assert {one.target for one in live.disks} == {"vda", "vdb", "sda"}
    assert guest(world, made).description == "new"
    assert steady(world, made)
    assert starts(world, made) == 1


@pytest.mark.parametrize("changes", [{"memory": 1 << 20}, {"vcpus": 3}], ids=str)
def test_what_a_running_guest_was_given_waits_too(world: World, made: Outcome, changes: dict[str, int]) -> None:
    play(world, made, **changes)
    found = seen(world, made)
    assert (found.inputs, found.state["pendingRestart"]) == (world.inputs("Server", made), list(changes))
    assert steady(world, found)


def test_a_definition_that_somebody_changed_is_put_right_while_the_guest_runs_on(world: World, made: Outcome) -> None:
    world.node.domains._change(made.id, memory=1 << 20)
    found = seen(world, made)
    assert (found.inputs or {})["memory"] == "1GiB"
    plan = world.diff("Server", found, memory="512MiB")
    assert said(plan) == ["memory 1GiB → 512MiB, live: the guest runs with it"]
    updated = world.update("Server", found, memory="512MiB")
    assert (guest(world, made).memory, starts(world, made)) == (512 << 10, 1)
    assert steady(world, updated)


def test_a_disk_taken_from_a_running_guest_is_given_back_while_it_runs(world: World, image: str) -> None:
    disk = world.create("Disk", "data", size="1MiB").id
    made = world.create("Server", "it", image=image, disks=[disk], restartPolicy="deferred")
    made = world.update("Server", made, memory="1GiB")
    live = guest(world, made).live
    assert live is not None
    play(world, made, disks=tuple(one for one in live.disks if one.target != "vdb"), free_slots=1)
    found = seen(world, made)
    assert world.diff("Server", found, disks=[disk]).impact is Impact.LIVE
    assert ("disks" in (found.inputs or {}), found.state["unfinished"]) == (False, ["disks"])
    updated = world.update("Server", found, disks=[disk])
    assert (updated.state["pendingRestart"], updated.state.get("unfinished")) == (["memory"], None)
    assert steady(world, updated)
    assert starts(world, made) == 1


def test_disks_without_a_place_wait_and_those_that_go_make_none_for_more_than_go(world: World, image: str) -> None:
    ids = [world.create("Disk", name, size="1MiB").id for name in ("one", "two", "three")]
    made = world.create("Server", "it", image=image, disks=ids[:1], restartPolicy="deferred")
    play(world, made, free_slots=0)
    assert said(world.diff("Server", made, disks=ids)) == [
        "disks[1] none → kiln/two, deferred: no PCI slot is free, waits for the next start of the guest",
        "disks[2] none → kiln/three, deferred: no PCI slot is free, waits for the next start of the guest",
    ]
    made = world.update("Server", made, disks=ids)
    assert made.state["pendingRestart"] == ["disks"]
    assert steady(world, made)
    made = world.update("Server", made, disks=ids[1:])
    live = guest(world, made).live
    assert live is not None
    assert [one.path for one in live.disks if one.target.startswith("vd")] == [
        world.node.volumes.get(world.context(), VolumeRef(POOL, "it-root")).path
    ]
    assert starts(world, made) == 1
    start_again(world, made)
    assert "pendingRestart" not in seen(world, made).state


def test_a_detached_root_disk_waits_for_a_start(world: World, made: Outcome) -> None:
    world.node.domains.detach_disk(world.context(), made.id, "vda")
    found = seen(world, made)
    assert "image" not in (found.inputs or {})
    found = Outcome(found.id, {key: value for key, value in found.state.items() if key != "image"})
    plan = world.diff("Server", found, image="kiln/base")
    assert plan.impact is Impact.DEFERRED
    updated = world.update("Server", found, image="kiln/base")
    assert updated.state["pendingRestart"] == ["image"]
    assert steady(world, updated)
    start_again(world, made)
    assert seen(world, updated).state.get("pendingRestart") is None
    assert "vda" in {disk.target for disk in guest(world, made).disks}


def test_a_renamed_guest_gets_its_name_back_when_it_is_off(world: World, made: Outcome) -> None:
    known = world.node.domains.guests[made.id]
    known.domain = replace(known.domain, name="theirs")
    found = seen(world, made)
    assert (found.inputs, found.state["pendingRestart"]) == (world.inputs("Server", made), ["name"])
    assert steady(world, found)
    changed = world.update("Server", found, memory="1GiB")
    assert (guest(world, made).name, starts(world, made)) == ("theirs", 1)
    assert changed.state["pendingRestart"] == ["name", "memory"]
    world.node.domains.destroy(world.context(), made.id)
    found = seen(world, changed)
    assert (found.state["renamed"], found.state.get("pendingRestart")) == ("theirs", None)
    updated = world.update("Server", found, name="it", powerState="running")
    assert (guest(world, made).name, starts(world, made)) == ("it", 2)
    assert steady(world, updated)


def test_a_name_that_a_refresh_found_waits_until_the_guest_is_off(world: World, image: str) -> None:
    made = world.create("Server", "it", image=image)
    known = world.node.domains.guests[made.id]
    known.domain = replace(known.domain, name="theirs")
    found = seen(world, made)
    wanted: dict[str, Any] = {"name": "it", "restartPolicy": "deferred"}
    (change,) = [one for one in said(world.diff("Server", found, **wanted)) if one.startswith("renamed")]
    assert change == (
        "renamed theirs → none, deferred: it was renamed on the node, and is renamed back, waits until the guest is off"
    )
    updated = world.update("Server", found, **wanted)
    assert (updated.state["pendingRestart"], starts(world, made)) == (["name"], 1)
    assert steady(world, updated)


def test_what_waits_is_known_of_a_guest_that_somebody_else_made_and_started(world: World, made: Outcome) -> None:
    world.node.domains._change(made.id, mark=None, asked={})
    play(world, made, asked={})
    changed = world.update("Server", made, cpuMode="maximum")
    assert changed.state["pendingRestart"] == ["cpuMode"]
    assert steady(world, changed)
    changed = world.update("Server", changed, graphics="vnc")
    assert changed.state["pendingRestart"] == ["cpuMode", "graphics"]
    start_again(world, made)
    assert "pendingRestart" not in seen(world, changed).state


def test_a_guest_that_is_off_or_to_be_stopped_has_nothing_that_waits(world: World, made: Outcome) -> None:
    stopped = world.update("Server", made, memory="1GiB", powerState="stopped")
    assert "pendingRestart" not in stopped.state
    changed = world.update("Server", stopped, vcpus=2)
    assert "pendingRestart" not in changed.state
    started = world.update("Server", changed, powerState="running")
    live = guest(world, made).live
    assert live is not None
    assert (live.memory, live.vcpus) == (1 << 20, 2)
    assert steady(world, started)


def test_a_first_boot_that_waits_keeps_its_seed_and_is_waited_for_by_nobody(world: World, made: Outcome) -> None:
    wanted: dict[str, Any] = {"firstBoot": {"hostname": "other"}, "onFirstBootChange": "rerun"}
    world.node.domains.guests[made.id].agent = lambda _command: '{"return": 1}'
    changed = world.update("Server", made, **wanted, waitFor="firstBoot", waitTimeout=1)
    again = world.update("Server", changed, description="new")
    assert again.state["pendingRestart"] == ["firstBoot"]
    assert seeds.ended_seed(world.context(), world.node, guest(world, made)) is None
    assert "kiln/it-seed" in world.inventory()["volumes"]
    start_again(world, made)
    live = guest(world, made).live
    assert live is not None
    assert "sda" in {disk.target for disk in live.disks}


# --- from one policy to another --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("change", "name"), COLD, ids=str)
def test_what_waits_is_had_by_a_restart_as_soon_as_that_is_allowed_and_the_plan_says_so(
    world: World, made: Outcome, change: dict[str, Any], name: str
) -> None:
    changed = world.update("Server", made, **change)
    assert said(world.diff("Server", changed, restartPolicy="allowed")) == [
        "restartPolicy deferred → allowed, live",
        f'pendingRestart ["{name}"] → none, restart: graceful shutdown, forced after 60 s',
    ]
    done = world.update("Server", changed, restartPolicy="allowed", shutdownTimeout=1)
    assert starts(world, made) == 2
    assert "pendingRestart" not in done.state
    assert steady(world, done)


def test_a_guest_started_since_is_not_restarted_when_that_is_allowed(world: World, made: Outcome) -> None:
    changed = world.update("Server", made, memory="1GiB")
    start_again(world, made)
    assert said(world.diff("Server", changed, restartPolicy="allowed")) == ["restartPolicy deferred → allowed, live"]
    world.update("Server", changed, restartPolicy="allowed")
    assert starts(world, made) == 2


def test_a_restart_that_failed_is_made_by_the_next_run(world: World, made: Outcome) -> None:
    changed = world.update("Server", made, cpuMode="maximum")
    with pytest.raises(Partial) as caught:
        world.update("Server", changed, Steps(("before", "shut down")), restartPolicy="allowed")
    left = caught.value.outcome
    assert left.state["pendingRestart"] == ["cpuMode"]
    assert world.diff("Server", left).impact is Impact.RESTART
    done = world.update("Server", left)
    assert starts(world, made) == 2
    assert {"pendingRestart", "unfinished"}.isdisjoint(done.state)
    assert world.diff("Server", done).empty


def test_what_waits_goes_on_waiting_where_a_restart_is_forbidden(world: World, made: Outcome) -> None:
    changed = world.update("Server", made, memory="1GiB")
    strict = world.update("Server", changed, restartPolicy="forbidden")
    assert (strict.state["pendingRestart"], starts(world, made)) == (["memory"], 1)
    assert steady(world, strict)
    assert world.update("Server", strict, description="new").state["pendingRestart"] == ["memory"]


@pytest.mark.parametrize("policy", ["deferred", "forbidden"])
def test_a_replacement_is_none_the_less_one(world: World, image: str, policy: str) -> None:
    made = world.create("Server", "it", image=image, restartPolicy=policy)
    plan = world.diff("Server", made, firmware="efi", memory="1GiB")
    assert plan.replaces
    assert not plan.refused


def test_a_state_of_an_earlier_version_is_understood(world: World, image: str) -> None:
    made = world.create("Server", "it", image=image)
    world.node.domains._change(made.id, memory=1 << 20)
    old = {key: value for key, value in made.state.items() if key != "restartPolicy"}
    before = Outcome(made.id, {**old, "pendingRestart": ["memory"]})
    found = seen(world, before)
    assert (found.state.get("pendingRestart"), found.state["unfinished"]) == (None, ["memory"])
    assert world.diff("Server", before, description="new").impact is Impact.RESTART
    updated = world.update("Server", found)
    assert (guest(world, made).memory, starts(world, made)) == (512 << 10, 1)
    assert steady(world, updated)


# --- forbidden -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("change", "name"), COLD[:-1], ids=str)
def test_a_check_refuses_what_takes_a_restart_and_names_the_field(
    world: World, strict: Outcome, change: dict[str, Any], name: str
) -> None:
    old = world.inputs("Server", strict)
    with pytest.raises(InputErrors) as caught:
        world.check("Server", "it", {**old, **change}, old)
    (error,) = caught.value.errors
    assert error.path.partition(".")[0] == name
    assert str(error) == (
        f"a change of '{error.path}' restarts the guest 'it', and its 'restartPolicy' is forbidden. Next: leave it as "
        "it was, stop the guest first ('powerState'), or state another 'restartPolicy': with 'deferred' the guest has "
        "it when it starts again, with 'allowed' it is restarted now."
    )


def test_a_check_refuses_without_the_node_too(world: World, strict: Outcome) -> None:
    old = world.inputs("Server", strict)
    world.nodes.unreachable.add(old["node"])
    world.restart()
    with pytest.raises(InputErrors, match="restarts the guest"):
        world.check("Server", "it", {**old, "vcpus": 2}, old)


@pytest.mark.parametrize("power", ["stopped", "destroyed", "stops"])
def test_a_guest_that_is_off_is_changed_though_it_may_not_be_restarted(
    world: World, strict: Outcome, power: str
) -> None:
    change: dict[str, Any] = {"memory": "1GiB"}
    if power == "destroyed":
        world.node.domains.destroy(world.context(), strict.id)
    elif power == "stopped":
        strict = world.update("Server", strict, powerState="stopped")
    else:
        change["powerState"] = "stopped"
    changed = world.update("Server", strict, **change)
    assert guest(world, strict).memory == 1 << 20
    assert "pendingRestart" not in changed.state


def refused(world: World, made: Outcome, **change: Any) -> list[str]:
    """The paths at which an update is refused, in its preview and for good, with nothing done. A refresh asks for the
    plan too, and gets it."""
    old = world.inputs("Server", made)
    new = world.check("Server", made.id, {**old, **change}, old)
    resource, before = world.resources["Server"], guest(world, made)
    assert not operations.diff(world.context(), resource, made.id, made.state, old, new).empty
    paths = []
    for preview in (True, False):
        with pytest.raises(InputErrors, match="'restartPolicy' is forbidden") as caught:
            operations.update(world.context(), resource, made.id, made.state, old, new, preview=preview)
        paths.append([error.path for error in caught.value.errors])
    assert guest(world, made) == before
    assert paths[0] == paths[1]
    return paths[0]


def test_a_first_boot_is_not_told_again_to_a_guest_that_may_not_be_restarted(world: World, strict: Outcome) -> None:
    wanted: dict[str, Any] = {"firstBoot": {"hostname": "other"}, "onFirstBootChange": "rerun"}
    assert refused(world, strict, **wanted) == ["firstBoot"]


def test_a_disk_without_a_place_is_refused_where_no_restart_may_make_one(world: World, strict: Outcome) -> None:
    disk = world.create("Disk", "data", size="1MiB").id
    play(world, strict, free_slots=0)
    assert refused(world, strict, disks=[disk]) == ["disks"]
    play(world, strict, free_slots=1)
    assert world.update("Server", strict, disks=[disk]).state["disks"] == [disk]


def test_a_root_disk_is_not_attached_again_to_a_guest_that_may_not_be_restarted(world: World, strict: Outcome) -> None:
    world.node.domains.detach_disk(world.context(), strict.id, "vda")
    found = seen(world, strict)
    found = Outcome(found.id, {key: value for key, value in found.state.items() if key != "image"})
    assert refused(world, found, image="kiln/base") == ["image"]


def test_a_name_that_a_refresh_found_is_refused_where_a_restart_is_forbidden(world: World, image: str) -> None:
    made = world.create("Server", "it", image=image)
    known = world.node.domains.guests[made.id]
    known.domain = replace(known.domain, name="theirs")
    assert refused(world, seen(world, made), name="it", restartPolicy="forbidden") == ["renamed"]


def test_live_changes_are_made_where_a_restart_is_forbidden(world: World, strict: Outcome) -> None:
    disk = world.create("Disk", "data", size="1MiB").id
    changed = world.update("Server", strict, disks=[disk], networks=[], description="new", autostart=True)
    assert starts(world, strict) == 1
    assert steady(world, changed)


def test_a_secret_value_is_in_no_refusal(world: World, strict: Outcome) -> None:
    wanted: dict[str, Any] = {"firstBoot": {"password": "sesame-sesame"}, "onFirstBootChange": "rerun"}
    old = world.inputs("Server", strict)
    new = world.check("Server", strict.id, {**old, **wanted}, old)
    with pytest.raises(InputErrors) as caught:
        operations.update(world.context(), world.resources["Server"], strict.id, strict.state, old, new, preview=True)
    assert "sesame" not in str(caught.value)
    assert plain(strict)["restartPolicy"] == "forbidden"
