"""Memory and virtual CPUs of a guest that runs: what changes while it does, and what restarts it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from kiln.framework.context import SilentLog
from kiln.framework.errors import InputErrors
from kiln.framework.model import Impact
from kiln.framework.operations import Outcome, Partial
from kiln.ports.domains import Live
from kiln.resources.server import resizing

from tests.fakes.memory_domains import MemoryGuest
from tests.unit.resources.world import World

MIB = 1 << 10
GROWING: dict[str, Any] = {"memory": "512MiB", "maxMemory": "2GiB", "vcpus": 1, "maxVcpus": 4}


@pytest.fixture
def made(world: World) -> Outcome:
    return world.create("Server", "it", disks=[], networks=[], shutdownTimeout=1, **GROWING)


@pytest.fixture
def warned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The warnings of the test."""
    said: list[str] = []
    monkeypatch.setattr(SilentLog, "warning", lambda _self, message: said.append(message))
    return said


def guest_of(world: World, made: Outcome) -> MemoryGuest:
    return world.node.domains.guests[made.id]


def live(world: World, made: Outcome) -> Live:
    found = guest_of(world, made).live
    assert found is not None
    return found


def said(world: World, made: Outcome, **inputs: Any) -> str:
    (change,) = [change for change in world.diff("Server", made, **inputs).changes if change.field in inputs]
    return str(change)


def settled(world: World, made: Outcome) -> None:
    """Nothing is different, and nothing waits."""
    assert world.diff("Server", made).empty
    found = world.read("Server", made)
    assert found is not None
    assert found.inputs == world.inputs("Server", made)
    assert found.state == made.state


def updated(world: World, made: Outcome, *, restarts: int, **inputs: Any) -> Outcome:
    """The guest after an update that restarts it so many times, as its preview says."""
    impact = world.diff("Server", made, **inputs).impact
    assert impact is (Impact.RESTART if restarts else Impact.LIVE)
    starts = guest_of(world, made).starts
    changed = world.update("Server", made, **inputs)
    assert guest_of(world, made).starts == starts + restarts
    settled(world, changed)
    return changed


def test_a_guest_grows_and_shrinks_while_it_runs(world: World, made: Outcome) -> None:
    settled(world, made)
    made = updated(world, made, restarts=0, memory="1GiB", vcpus=3)
    assert (live(world, made).memory, live(world, made).vcpus, live(world, made).memory_slots) == (1 << 20, 3, 15)
    guest_of(world, made).spare = 600 * MIB
    made = updated(world, made, restarts=0, memory="600MiB")
    assert (live(world, made).memory, live(world, made).installed) == (600 * MIB, 1 << 20)
    made = updated(world, made, restarts=0, memory="700MiB")
    assert live(world, made).memory_slots == 15, "it takes again what it gave back"
    made = updated(world, made, restarts=0, memory="2GiB", vcpus=4)
    assert (live(world, made).memory, live(world, made).installed) == (2 << 20, 2 << 20)


@pytest.mark.parametrize(
    ("inputs", "plays", "why"),
    [
        ({"memory": "600MiB"}, {}, "a running guest is given multiples of 128MiB"),
        ({"memory": "640MiB"}, {"memory_slots": 0}, "no memory slot is free"),
        ({"memory": "640MiB"}, {"max_memory": None}, "graceful shutdown"),
        ({"memory": "256MiB"}, {}, "the guest does not say what it can spare"),
        ({"memory": "256MiB"}, {"max_memory": None}, "graceful shutdown"),
        ({"vcpus": 2}, {"max_vcpus": 1}, "graceful shutdown"),
    ],
    ids=str,
)
def test_what_a_running_guest_cannot_be_given_is_a_restart_that_says_why(
    world: World, made: Outcome, inputs: dict[str, Any], plays: dict[str, Any], why: str
) -> None:
    guest_of(world, made).live = replace(live(world, made), **plays)
    assert f"restart: {why}" in said(world, made, **inputs)
    starts = guest_of(world, made).starts
    made = world.update("Server", made, **inputs)
    assert guest_of(world, made).starts == starts + 1
    settled(world, made)


def test_a_guest_is_asked_for_no_memory_that_it_needs(world: World, made: Outcome) -> None:
    guest_of(world, made).spare = 256 * MIB + 31 * MIB
    assert "restart: the guest can spare too little of it, 287MiB" in said(world, made, memory="256MiB")
    guest_of(world, made).spare = 256 * MIB + 32 * MIB
    assert said(world, made, memory="256MiB") == "memory 512MiB → 256MiB, live"


def test_virtual_cpus_are_taken_by_a_restart(world: World, made: Outcome) -> None:
    made = updated(world, made, restarts=0, vcpus=3)
    made = updated(world, made, restarts=1, vcpus=2)
    assert (live(world, made).vcpus, live(world, made).max_vcpus) == (2, 4)


@pytest.mark.parametrize(
    ("inputs", "path"),
    [
        ({"memory": "3GiB"}, "memory"),
        ({"vcpus": 5}, "vcpus"),
        ({"memory": "1025KiB"}, "memory"),
        ({"maxMemory": "2000001KiB"}, "maxMemory"),
    ],
    ids=str,
)
def test_more_than_the_most_is_refused(world: World, made: Outcome, inputs: dict[str, Any], path: str) -> None:
    with pytest.raises(InputErrors) as caught:
        world.diff("Server", made, **inputs)
    assert [error.path for error in caught.value.errors] == [path]


def test_beyond_the_most_the_most_is_raised_by_a_restart(world: World, made: Outcome) -> None:
    made = updated(world, made, restarts=1, memory="3GiB", maxMemory="3GiB", vcpus=8, maxVcpus=8)
    assert live(world, made).memory == 3 << 20


def test_a_guest_that_states_no_most_is_restarted_for_any_change(world: World) -> None:
    made = world.create("Server", "it", disks=[], networks=[], shutdownTimeout=1)
    made = updated(world, made, restarts=1, memory="640MiB")
    made = updated(world, made, restarts=1, vcpus=2)
    guest_of(world, made).spare = 500 * MIB
    updated(world, made, restarts=1, memory="512MiB")


def test_a_guest_that_does_not_yield_is_told_and_asked_again_by_the_next_run(world: World, made: Outcome) -> None:
    guest_of(world, made).spare, guest_of(world, made).clings = 500 * MIB, True
    with pytest.raises(Partial, match="its balloon does not get there") as caught:
        world.update("Server", made, memory="256MiB")
    assert caught.value.outcome.state["unfinished"] == ["memory"]
    assert "pendingRestart" not in caught.value.outcome.state
    guest_of(world, made).clings = False
    starts = guest_of(world, made).starts
    again = world.update("Server", caught.value.outcome, memory="256MiB")
    assert (guest_of(world, made).starts, live(world, made).memory) == (starts, 256 * MIB)
    settled(world, again)


# --- what others do --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plays", "told"),
    [
        ({"memory": 300 * MIB}, {"memory": "300MiB"}),
        ({"memory": 640 * MIB, "installed": 640 * MIB}, {"memory": "640MiB"}),
        ({"memory": 512 * MIB + 1000}, {}),
        ({"vcpus": 2}, {"vcpus": 2}),
        ({"vcpus": 4}, {"vcpus": 4}),
    ],
    ids=str,
)
def test_what_was_done_to_the_running_guest_is_told_alike_by_every_refresh_and_repaired(
    world: World, made: Outcome, plays: dict[str, Any], told: dict[str, Any]
) -> None:
    wanted = world.inputs("Server", made)
    guest_of(world, made).live = replace(live(world, made), **plays)
    found = world.read("Server", made)
    assert found is not None
    assert found.inputs == {**wanted, **told}
    again = world.read("Server", Outcome(found.id, {**found.state, **wanted, **told}, found.inputs))
    assert again is not None
    assert (again.inputs, again.state) == (found.inputs, found.state)
    repaired = world.update("Server", found, **{field: wanted[field] for field in told})
    assert world.inputs("Server", repaired) == wanted
    settled(world, repaired)


def test_memory_that_somebody_took_is_given_back_while_the_guest_runs(world: World) -> None:
    made = world.create("Server", "it", disks=[], networks=[])
    guest_of(world, made).live = replace(live(world, made), memory=300 * MIB)
    found = world.read("Server", made)
    assert found is not None
    assert said(world, found, memory="512MiB") == "memory 300MiB → 512MiB, live"
    updated(world, found, restarts=0, memory="512MiB")


@pytest.mark.parametrize(
    "changes",
    [{"current_memory": 300 * MIB}, {"current_vcpus": 2}, {"current_vcpus": 2, "current_memory": 300 * MIB}],
    ids=str,
)
def test_what_was_done_to_the_definition_of_a_guest_that_is_off_is_told_alike_by_every_refresh(
    world: World, changes: dict[str, int]
) -> None:
    made = world.create("Server", "it", disks=[], networks=[], powerState="stopped", memory="512MiB", vcpus=4)
    world.node.domains._change(made.id, **changes)
    first = world.read("Server", made)
    assert first is not None
    assert first.inputs is not None
    second = world.read("Server", Outcome(first.id, {**first.state, **first.inputs}, first.inputs))
    assert second is not None
    assert first.inputs == second.inputs
    differing = {key for key, value in first.inputs.items() if world.inputs("Server", made).get(key) != value}
    assert differing == {key.removeprefix("current_") for key in changes}


@pytest.mark.parametrize("state", ["running", "stopped"])
def test_a_guest_of_somebody_elses_is_imported_with_what_it_can_grow_to(world: World, state: str) -> None:
    made = world.create("Server", "it", disks=[], networks=[], powerState=state, **GROWING)
    world.node.domains._change(made.id, mark=None, asked={}, sizes=None)
    if guest_of(world, made).live is not None:
        guest_of(world, made).live = replace(live(world, made), asked={}, sizes=None)
    found = world.imported("Server", "it")
    assert found.inputs is not None
    assert {key: found.inputs[key] for key in GROWING} == GROWING
    assert world.diff("Server", found).empty
    settled(world, found)


# --- where no guest is restarted ------------------------------------------------------------------------------------


def test_a_guest_that_is_not_restarted_changes_while_it_runs_or_waits(world: World) -> None:
    made = world.create("Server", "it", disks=[], networks=[], restartPolicy="deferred", **GROWING)
    assert said(world, made, memory="1GiB") == "memory 512MiB → 1GiB, live"
    assert "a running guest is given multiples of 128MiB, waits for" in said(world, made, memory="600MiB")
    both = world.update("Server", made, memory="1GiB", vcpus=3)
    assert (live(world, both).memory, live(world, both).vcpus) == (1 << 20, 3)
    settled(world, both)
    waits = world.update("Server", both, memory="1100MiB", vcpus=2, maxVcpus=8)
    assert (live(world, waits).memory, live(world, waits).vcpus) == (1 << 20, 3)
    assert waits.state["pendingRestart"] == ["memory", "vcpus", "maxVcpus"]
    settled(world, waits)
    back = world.update("Server", waits, memory="1GiB", vcpus=3, maxVcpus=4)
    assert "pendingRestart" not in back.state
    settled(world, back)
    assert guest_of(world, back).starts == 1


def test_a_guest_that_is_never_restarted_grows_and_is_asked_for_what_it_can_spare(world: World) -> None:
    made = world.create("Server", "it", disks=[], networks=[], restartPolicy="forbidden", **GROWING)
    old = world.inputs("Server", made)
    world.check("Server", "it", {**old, "memory": "1GiB", "vcpus": 4}, old)
    with pytest.raises(InputErrors, match="restarts the guest"):
        world.check("Server", "it", {**old, "memory": "256MiB"}, old)
    guest_of(world, made).spare = 500 * MIB
    world.check("Server", "it", {**old, "memory": "256MiB"}, old)
    made = updated(world, made, restarts=0, memory="256MiB")
    assert live(world, made).memory == 256 * MIB


def test_what_a_guest_that_is_not_restarted_lost_is_given_back_while_it_runs(world: World) -> None:
    made = world.create("Server", "it", disks=[], networks=[], restartPolicy="deferred", **{**GROWING, "vcpus": 2})
    wanted = world.inputs("Server", made)
    guest_of(world, made).live = replace(live(world, made), memory=300 * MIB, vcpus=1)
    found = world.read("Server", made)
    assert found is not None
    assert found.inputs == {**wanted, "memory": "300MiB", "vcpus": 1}
    assert (found.state["unfinished"], found.state.get("pendingRestart")) == (["memory", "vcpus"], None)
    again = world.read("Server", found)
    assert again is not None
    assert (again.inputs, again.state) == (found.inputs, found.state)
    assert said(world, found, memory="512MiB") == "memory 300MiB → 512MiB, live"
    settled(world, updated(world, found, restarts=0, memory="512MiB", vcpus=2))


def test_a_guest_that_started_with_all_its_memory_waits_for_less_alone(world: World) -> None:
    most = {**GROWING, "memory": "2GiB"}
    made = world.create("Server", "it", disks=[], networks=[], restartPolicy="deferred", **most)
    made = world.update("Server", made, memory="1GiB")
    assert made.state["pendingRestart"] == ["memory"], "its own metadata says what it could grow to"
    settled(world, made)


# --- what the guest must do ------------------------------------------------------------------------------------------


class Agent:
    """The guest agent of a guest that sees what it was given, and brings online what it is told to unless ``idle``."""

    def __init__(self, guest: Callable[[], Live], *, idle: bool = False) -> None:
        self._guest, self._idle = guest, idle
        self.cpus, self.blocks = {0}, set(range(4))

    def __call__(self, command: str) -> str | None:
        asked = json.loads(command)
        match asked["execute"]:
            case "guest-get-vcpus":
                told: Any = [{"logical-id": cpu, "online": cpu in self.cpus} for cpu in range(self._guest().vcpus)]
            case "guest-set-vcpus":
                told = self._online(self.cpus, asked["arguments"]["vcpus"], "logical-id")
            case "guest-get-memory-block-info":
                told = {"size": 128 << 20}
            case "guest-get-memory-blocks":
                count = self._guest().installed // (128 << 10)
                told = [{"phys-index": block, "online": block in self.blocks} for block in range(count)]
            case "guest-set-memory-blocks":
                told = self._online(self.blocks, asked["arguments"]["mem-blks"], "phys-index")
            case _:
                return None
        return json.dumps({"return": told})

    def _online(self, online: set[int], asked: list[dict[str, Any]], key: str) -> int:
        if not self._idle:
            online |= {one[key] for one in asked if one["online"]}
        return len(asked)


def test_the_agent_brings_online_what_was_added(world: World, made: Outcome, warned: list[str]) -> None:
    agent = Agent(lambda: live(world, made))
    guest_of(world, made).agent = agent
    made = updated(world, made, restarts=0, memory="768MiB", vcpus=3)
    assert (agent.cpus, agent.blocks) == ({0, 1, 2}, set(range(6)))
    assert warned == []


@pytest.mark.parametrize("agent", ["none", "idle", "liar"])
def test_a_guest_that_does_not_bring_it_online_is_told_of(
    world: World, made: Outcome, agent: str, warned: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resizing, "ONLINE_SECONDS", 0.0)
    agents: dict[str, Callable[[str], str | None]] = {
        "none": lambda _: None,
        "idle": Agent(lambda: live(world, made), idle=True),
        "liar": lambda _: '{"return": [1]}',
    }
    guest_of(world, made).agent = agents[agent]
    updated(world, made, restarts=0, memory="640MiB", vcpus=2)
    memory, vcpus = warned
    assert memory.startswith("memory added, which the guest must bring online")
    assert vcpus.startswith("virtual CPUs added, which the guest must bring online")
