"""Server: what a run that did not get to restart a guest leaves for the next one, and for a refresh before it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from kiln.framework.model import Impact
from kiln.framework.operations import Outcome, Partial

from tests.unit.resources.world import Steps, World

UNSEEN: list[dict[str, Any]] = [
    {"cpuMode": "maximum"},
    {"graphics": "vnc"},
    {"xmlOverlay": [{"xpath": "/domain", "xml": "<iothreads>4</iothreads>"}]},
]
"""What takes a restart and is not seen in a running guest."""


@pytest.fixture
def image(world: World) -> str:
    return world.create("Image", "base", source=world.raw()).id


def failed(world: World, made: Outcome, when: str, step: str, **inputs: Any) -> Outcome:
    """What an update left that failed before or after a step."""
    with pytest.raises(Partial) as caught:
        world.update("Server", made, Steps((when, step)), **inputs)
    return caught.value.outcome


def seen(world: World, made: Outcome) -> Outcome:
    found = world.read("Server", made)
    assert found is not None
    return found


def starts(world: World, made: Outcome) -> int:
    return world.node.domains.guests[made.id].starts


def impacts(world: World, made: Outcome, **inputs: Any) -> dict[Any, Impact]:
    return {change.path[0]: change.impact for change in world.diff("Server", made, **inputs).changes}


@pytest.mark.parametrize("change", UNSEEN, ids=str)
@pytest.mark.parametrize("refreshed", [False, True])
def test_a_restart_that_was_not_made_is_in_the_next_preview(
    world: World, image: str, change: dict[str, Any], refreshed: bool
) -> None:
    made = world.create("Server", "it", image=image)
    left = failed(world, made, "after", "redefine domain", **change)
    (name,) = change
    assert left.state.get(name) == made.state.get(name)
    left = seen(world, left) if refreshed else left
    assert impacts(world, left, **change)[name] is Impact.RESTART
    done = world.update("Server", left, **change)
    assert starts(world, made) == 2
    assert world.diff("Server", done).empty


@pytest.mark.parametrize("change", UNSEEN, ids=str)
def test_a_program_that_goes_back_after_a_refresh_restarts_nothing_and_puts_the_definition_right(
    world: World, image: str, change: dict[str, Any]
) -> None:
    made = world.create("Server", "it", image=image)
    found = seen(world, failed(world, made, "after", "redefine domain", **change))
    (name,) = change
    before = {name: world.inputs("Server", made).get(name)}
    assert impacts(world, found, **before) == {"unfinished": Impact.LIVE}
    assert found.state["unfinished"] == [name]
    done = world.update("Server", found, **before)
    guest = world.node.domains.get(world.context(), made.id)
    assert guest.live is not None
    assert guest.live.asked == guest.asked
    assert (starts(world, made), world.diff("Server", done).empty) == (1, True)


@pytest.mark.parametrize("refreshed", [False, True])
def test_what_waits_goes_on_waiting_for_the_restart_that_was_not_made(
    world: World, image: str, refreshed: bool
) -> None:
    made = world.create("Server", "it", image=image, restartPolicy="deferred")
    made = world.update("Server", made, cpuMode="maximum")
    left = failed(world, made, "before", "shut down", restartPolicy="allowed")
    left = seen(world, left) if refreshed else left
    assert left.state["pendingRestart"] == ["cpuMode"]
    assert impacts(world, left)["pendingRestart"] is Impact.RESTART
    done = world.update("Server", left)
    assert (starts(world, made), done.state.get("pendingRestart")) == (2, None)
    assert world.diff("Server", done).empty


def test_devices_that_were_to_come_with_a_restart_do_so_in_the_next_run(world: World, image: str) -> None:
    disk = world.create("Disk", "data", size="1MiB").id
    made = world.create("Server", "it", image=image)
    guest = world.node.domains.guests[made.id]
    assert guest.live is not None
    guest.live = replace(guest.live, free_slots=0)
    left = failed(world, made, "before", "redefine domain", disks=[disk])
    assert impacts(world, left, disks=[disk])["disks"] is Impact.RESTART
    world.update("Server", left, disks=[disk])
    assert (starts(world, made), {one.target for one in guest.live.disks}) == (2, {"vda", "vdb", "sda"})


@pytest.mark.parametrize("policy", ["deferred", "forbidden"])
def test_a_failed_update_restarts_no_guest_that_is_not_to_be(world: World, image: str, policy: str) -> None:
    made = world.create("Server", "it", image=image, restartPolicy=policy)
    asked: dict[str, Any] = {"description": "new"} | ({"cpuMode": "maximum"} if policy == "deferred" else {})
    for step in ("start", "mark done"):
        left = failed(world, made, "before", step, **asked)
        assert Impact.RESTART not in impacts(world, left, **asked).values()
    done = world.update("Server", left, **asked)
    assert (starts(world, made), done.state.get("pendingRestart")) == (1, ["cpuMode"] if "cpuMode" in asked else None)
    assert world.diff("Server", done).empty


def test_a_deferred_change_that_was_not_defined_is_planned_again(world: World, image: str) -> None:
    made = world.create("Server", "it", image=image, restartPolicy="deferred")
    left = failed(world, made, "before", "redefine domain", cpuMode="maximum")
    assert "pendingRestart" not in left.state
    assert impacts(world, left, cpuMode="maximum")["cpuMode"] is Impact.DEFERRED


def test_a_deferred_change_that_was_defined_is_told_as_made(world: World, image: str) -> None:
    made = world.create("Server", "it", image=image, restartPolicy="deferred")
    left = failed(world, made, "after", "redefine domain", cpuMode="maximum")
    assert (left.state["cpuMode"], left.state["pendingRestart"]) == ("maximum", ["cpuMode"])
    assert impacts(world, left) == {"unfinished": Impact.LIVE}
