"""Server: what was changed behind Kiln's back, told in the words of a program, and put right."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from kiln.framework import operations
from kiln.framework.context import Context
from kiln.framework.errors import InputError, InputErrors, KilnError
from kiln.framework.model import Impact
from kiln.framework.operations import Outcome, Partial
from kiln.framework.plan import Change, Plan
from kiln.framework.values import UNKNOWN
from kiln.ports.domains import Domain
from kiln.ports.networks import Network
from kiln.ports.volumes import Volume, VolumeRef

from tests.unit.resources.world import POOL, World, play, seen


@pytest.fixture
def running(world: World, image: str) -> Outcome:
    disk = world.create("Disk", "data", size="1MiB")
    return world.create("Server", "it", image=image, disks=[disk.id])


def drift(world: World, made: Outcome) -> dict[str, Any]:
    """The inputs that a refresh finds to be others, None for those that are not there any more."""
    before, now = world.inputs("Server", made), seen(world, made).inputs or {}
    return {key: now.get(key) for key in before.keys() | now.keys() if before.get(key) != now.get(key)}


def replacement(plan: Plan) -> Change:
    """The change that replaces."""
    (change,) = [change for change in plan.changes if change.impact is Impact.REPLACE]
    return change


def repaired(world: World, made: Outcome) -> Domain:
    """The guest after a refresh and the `up` that follows."""
    wanted = world.inputs("Server", made)
    found = seen(world, made)
    missing = {key: wanted.get(key) for key in drift(world, made)}
    found = Outcome(found.id, {**found.state, **(found.inputs or {})}, found.inputs)
    plan = world.diff("Server", found, **missing)
    assert not plan.empty
    assert not plan.replaces
    world.update("Server", found, **missing)
    assert drift(world, made) == {}
    return world.node.domains.get(world.context(), made.id)


def test_drift_is_told_in_the_words_of_a_program(world: World, image: str) -> None:
    disk = world.create("Disk", "data", size="1MiB")
    server = world.create("Server", "it", image=image, disks=[disk.id])
    ctx = world.context()
    world.node.domains.destroy(ctx, server.id)
    world.node.domains.detach_disk(ctx, server.id, "vdb")
    world.node.domains.set_autostart(ctx, server.id, True)
    world.node.domains.set_description(ctx, server.id, "theirs")
    found = seen(world, server)
    expected = {**world.inputs("Server", server), "powerState": "stopped", "autostart": True, "description": "theirs"}
    del expected["disks"]
    assert found.inputs == expected
    assert found.state["state"] == "stopped"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"current_memory": 131072}, {"memory": "128MiB"}),
        ({"memory": 1 << 20, "current_memory": 524288}, {"memory": "1GiB"}),
        ({"current_vcpus": 1}, {"vcpus": 1}),
        ({"vcpus": 4, "current_vcpus": 2}, {"maxVcpus": 4}),
        ({"vcpus": 4, "current_vcpus": 4}, {"vcpus": 4}),
        ({"max_memory": 1 << 20}, {"maxMemory": "1GiB"}),
        ({"current_memory": 524288, "current_vcpus": 2}, {}),
    ],
    ids=str,
)
def test_a_guest_that_would_get_less_or_could_get_more_than_was_asked_for_has_drifted(
    world: World, image: str, changes: dict[str, int], told: dict[str, Any]
) -> None:
    server = world.create("Server", "it", image=image, memory="512MiB", vcpus=2, powerState="stopped")
    world.node.domains._change(server.id, **changes)
    found = seen(world, server)
    assert found.inputs == {**world.inputs("Server", server), **told}
    assert "unfinished" not in found.state
    again = seen(world, found)
    assert (again.inputs, again.state) == (found.inputs, found.state), "every refresh tells the same"
    program: dict[str, Any] = {**dict.fromkeys(told), "memory": "512MiB", "vcpus": 2}
    updated = world.update("Server", found, **program)
    after = world.node.domains.get(world.context(), server.id)
    assert (after.memory, after.vcpus) == (512 << 10, 2)
    assert world.diff("Server", seen(world, updated)).empty


def test_a_root_disk_that_is_gone_is_seen_though_its_mark_is_there(world: World, image: str) -> None:
    server = world.create("Server", "it", image=image, powerState="stopped")
    world.node.volumes.delete(world.context(), VolumeRef(POOL, "it-root"))
    found = seen(world, server)
    assert "image" not in (found.inputs or {})


def test_the_preview_of_an_image_made_again_is_what_the_up_then_does(world: World, running: Outcome) -> None:
    """Somebody deleted the image's volume, which the root disk is an overlay of: the guest is kept, not replaced."""
    source = world.raw()
    world.node.volumes.delete(world.context(), VolumeRef(POOL, "base"))
    resource, inputs = world.resources["Image"], world.check("Image", "base", {"source": source})
    previewed = operations.create(world.context(), resource, inputs, preview=True)
    said = world.diff("Server", running, image=previewed.id)
    made = world.create("Image", "base", source=source)
    assert said == world.diff("Server", running, image=made.id)
    assert said.empty
    assert drift(world, running) == {}


@pytest.mark.parametrize("field", ["name", "pool"])
def test_an_image_or_disk_with_an_unknown_name_or_pool_has_no_id_in_a_preview(world: World, field: str) -> None:
    for kind, program in (("Image", {"source": world.raw()}), ("Disk", {"size": "1MiB"})):
        checked = world.check(kind, "it", {**program, field: UNKNOWN})
        assert operations.create(world.context(), world.resources[kind], checked, preview=True).id == ""


def test_a_replacement_says_that_the_root_disk_is_gone_already(world: World, running: Outcome, image: str) -> None:
    domain = world.node.domains.get(world.context(), running.id)
    play(world, running, disks=without(domain.disks, "vda"))
    world.node.volumes.delete(world.context(), VolumeRef(POOL, "it-root"))
    found = seen(world, running)
    found.state.pop("image", None)
    change = replacement(world.diff("Server", found, image=image))
    assert str(change) == "image none → kiln/base, replace: the guest has lost its root disk 'kiln/it-root' already"


def test_a_server_that_never_had_a_root_disk_loses_none(world: World, image: str) -> None:
    made = world.create("Server", "it", disks=[])
    change = replacement(world.diff("Server", made, image=image))
    assert str(change) == "image none → kiln/base, replace"


def test_a_guest_that_nobody_touched_has_not_drifted(world: World, running: Outcome) -> None:
    assert drift(world, running) == {}
    assert seen(world, running).state == running.state


def without(disks: Any, target: str) -> tuple[Any, ...]:
    return tuple(disk for disk in disks if disk.target != target)


def test_a_disk_taken_from_a_running_guest_is_seen_and_given_back(world: World, running: Outcome) -> None:
    live = world.node.domains.get(world.context(), running.id).live
    assert live is not None
    play(world, running, disks=without(live.disks, "vdb"))
    assert drift(world, running) == {"disks": None}
    after = repaired(world, running).live
    assert after is not None
    assert {disk.target for disk in after.disks} == {"vda", "vdb", "sda"}


@pytest.mark.parametrize("power", ["running", "stopped"])
def test_a_root_disk_that_is_only_detached_is_attached_again(world: World, running: Outcome, power: str) -> None:
    if power == "stopped":
        running = world.update("Server", running, powerState="stopped", shutdownTimeout=1)
    domain = world.node.domains.get(world.context(), running.id)
    if domain.live is not None:
        play(world, running, disks=without(domain.live.disks, "vda"))
    else:
        world.node.domains._change(running.id, disks=without(domain.disks, "vda"))
    assert drift(world, running) == {"image": None}
    volume = world.node.volumes.get(world.context(), VolumeRef(POOL, "it-root"))
    after = repaired(world, running)
    assert [disk.path for disk in after.disks if disk.target == "vda"] == [volume.path]


def test_a_detached_root_disk_is_lost_to_a_server_of_another_image(world: World, running: Outcome) -> None:
    other = world.create("Image", "other", source=world.raw()).id
    domain = world.node.domains.get(world.context(), running.id)
    play(world, running, disks=without(domain.disks, "vda"))
    found = seen(world, running)
    found.state.pop("image", None)
    change = replacement(world.diff("Server", found, image=other))
    assert "replace: the root disk 'kiln/it-root' and what is on it are lost" in str(change)


@pytest.mark.parametrize(
    ("change", "told"),
    [({"mac": "52:54:00:00:00:99"}, {"mac": "52:54:00:00:00:99"}), ({"link": "down"}, {"linkState": "down"})],
)
def test_an_interface_changed_in_a_running_guest_is_seen_and_put_right(
    world: World, running: Outcome, change: dict[str, Any], told: dict[str, str]
) -> None:
    domain = world.node.domains.get(world.context(), running.id)
    play(world, running, nics=(replace(domain.nics[0], **change),))
    (drifted,) = drift(world, running).items()
    assert drifted[0] == "networks"
    assert drifted[1][0].items() >= told.items()
    after = repaired(world, running).live
    assert after is not None
    assert after.nics == domain.nics


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"memory": 256 << 10}, {"memory": "256MiB"}),
        ({"memory": (512 << 10) + 1000}, {}),
        ({"vcpus": 3}, {"vcpus": 3}),
    ],
    ids=str,
)
def test_what_a_running_guest_was_given_or_lost_is_seen(
    world: World, running: Outcome, changes: dict[str, Any], told: dict[str, Any]
) -> None:
    play(world, running, **changes)
    assert drift(world, running) == told


@pytest.mark.parametrize("autostart", [False, True])
def test_a_guest_undefined_while_it_runs_is_defined_again_and_runs_on(
    world: World, image: str, autostart: bool
) -> None:
    made = world.create("Server", "it", image=image, autostart=autostart)
    world.node.domains.undefine(world.context(), made.id)
    assert seen(world, made).state["transient"] is True
    plan = world.diff("Server", seen(world, made))
    assert [(change.path, change.impact) for change in plan.changes] == [(("transient",), Impact.LIVE)]
    started = world.node.domains.guests[made.id].live
    updated = world.update("Server", seen(world, made))
    assert "transient" not in updated.state
    domain = world.node.domains.get(world.context(), made.id)
    assert (domain.state, domain.transient, domain.autostart) == ("running", False, autostart)
    assert domain.live is started
    assert world.diff("Server", seen(world, updated)).empty


@pytest.mark.requirement("CP-69")
@pytest.mark.parametrize(
    ("changes", "pending"),
    [
        ({"current_memory": 131072}, ["memory"]),
        ({"memory": 1 << 20}, ["memory"]),
        ({"vcpus": 4, "current_vcpus": 4}, ["vcpus"]),
        ({"vcpus": 4}, ["maxVcpus"]),
        ({"max_memory": 1 << 20}, ["maxMemory"]),
        ({"nics": ()}, ["networks"]),
        ({"nics": "down"}, ["networks"]),
        ({"disks": "vdb"}, ["disks"]),
        ({"disks": "vda"}, ["disks"]),
    ],
    ids=str,
)
def test_a_definition_that_is_not_what_runs_is_told_and_put_right_while_the_guest_runs_on(
    world: World, running: Outcome, changes: dict[str, Any], pending: list[str]
) -> None:
    before = world.node.domains.get(world.context(), running.id)
    if "disks" in changes:
        changes = {"disks": without(before.disks, changes["disks"])}
    if changes.get("nics") == "down":
        changes = {"nics": tuple(replace(nic, link="down") for nic in before.nics)}
    world.node.domains._change(running.id, **changes)
    found = seen(world, running)
    assert (drift(world, running), found.state["unfinished"]) == ({}, pending)
    assert seen(world, found).state == found.state
    (change,) = world.diff("Server", found).changes
    assert (change.path, change.impact) == (("unfinished",), Impact.LIVE)
    updated = world.update("Server", found)
    after = world.node.domains.get(world.context(), running.id)
    assert (after.disks, after.nics, after.memory, after.vcpus) == (
        before.disks,
        before.nics,
        before.memory,
        before.vcpus,
    )
    assert after.live is before.live
    assert "unfinished" not in seen(world, updated).state


def test_what_a_running_guest_lost_is_told_alike_by_every_refresh(world: World, running: Outcome) -> None:
    play(world, running, memory=256 << 10)
    first = seen(world, running)
    assert first.state["unfinished"] == ["memory"]
    second = seen(world, first)
    assert (second.inputs, second.state) == (first.inputs, first.state)


# --- a root disk grown on the node -----------------------------------------------------------------------------------


ROOT = VolumeRef(POOL, "it-root")


def grow_on_the_node(world: World, size: int) -> None:
    world.node.volumes.grow(world.context(), ROOT, size)


@pytest.mark.parametrize("power", ["running", "stopped"])
def test_a_root_disk_grown_on_the_node_is_drift_of_a_stated_size(world: World, image: str, power: str) -> None:
    made = world.create("Server", "it", image=image, diskSize="4MiB", powerState=power)
    grow_on_the_node(world, 8 << 20)
    assert drift(world, made) == {"diskSize": "8MiB"}
    found = seen(world, made)
    assert found.state["rootDiskSize"] == found.state["diskSize"] == "8MiB"
    assert world.diff("Server", found).empty
    resource, before = world.resources["Server"], world.inputs("Server", made)
    asked = operations.diff(world.context(), resource, found.id, found.state, found.inputs or {}, before)
    said = "diskSize 8MiB → 4MiB, live: refused, since it has 8MiB and does not shrink"
    assert [str(change) for change in asked.changes] == [said]
    with pytest.raises(InputErrors, match="diskSize: the root disk cannot shrink from 8MiB to 4MiB"):
        world.diff("Server", found, diskSize="4MiB")


def test_a_root_disk_grown_on_the_node_changes_an_output_alone_where_no_size_is_stated(
    world: World, image: str
) -> None:
    made = world.create("Server", "it", image=image)
    grow_on_the_node(world, 8 << 20)
    found = seen(world, made)
    assert drift(world, made) == {}
    assert found.state == {**made.state, "rootDiskSize": "8MiB"}
    assert world.diff("Server", found).empty


@pytest.mark.parametrize("stated", ["4MiB", None])
def test_a_size_below_that_of_a_root_disk_grown_since_the_last_refresh_is_refused(
    world: World, image: str, stated: str | None
) -> None:
    made = world.create("Server", "it", image=image, diskSize=stated)
    grow_on_the_node(world, 8 << 20)
    with pytest.raises(InputError, match="cannot shrink from 8MiB to 6MiB") as caught:
        world.diff("Server", made, diskSize="6MiB")
    assert caught.value.path == "diskSize"
    with pytest.raises(Partial, match="diskSize: disk 'kiln/it-root' is larger"):
        world.update("Server", made, diskSize="6MiB")
    assert world.node.volumes.get(world.context(), ROOT).virtual_size == 8 << 20


def test_a_root_disk_that_cannot_be_read_keeps_the_size_it_had(
    world: World, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = world.create("Server", "it", image=image, diskSize="4MiB")

    def broken(ctx: Context, ref: VolumeRef, *, recent: bool = False) -> Volume:
        raise KilnError(f"could not read volume '{ref}'", cause="it is no qcow2")

    monkeypatch.setattr(world.node.volumes, "get", broken)
    assert seen(world, made).state == made.state


def test_a_server_that_is_replaced_may_have_a_smaller_root_disk(world: World) -> None:
    one, two = (world.create("Image", name, source=world.raw()).id for name in ("one", "two"))
    made = world.create("Server", "it", image=one, powerState="stopped", diskSize="8MiB")
    assert world.diff("Server", made, image=two, powerState="stopped", diskSize="4MiB").replaces


def test_only_what_came_or_went_is_told_of_the_disks(world: World, image: str) -> None:
    ids = [world.create("Disk", name, size="1MiB").id for name in "abc"]
    ids.insert(1, world.create("Disk", "cd", source=world.iso()).id)
    made = world.create("Server", "it", image=image, disks=ids)
    world.node.domains.detach_disk(world.context(), made.id, "vdc")
    assert drift(world, made) == {"disks": [id for id in ids if id != "kiln/b"]}


def test_a_guest_keeps_the_network_of_its_node_in_a_run_without_the_node(world: World, image: str) -> None:
    world.node.networks.known.append(Network("lab", active=True, bridge="virbr1", dhcp=True))
    world.check("Node", "host", {"network": "lab"})
    made = world.create("Server", "it", image=image, powerState="stopped")
    world.restart()
    changed = world.update("Server", made, memory="256MiB")
    (nic,) = world.node.domains.get(world.context(), made.id).nics
    assert nic.network == "lab"
    assert world.diff("Server", changed, memory="256MiB").empty


# --- a guest that somebody renamed -----------------------------------------------------------------------------------


def rename(world: World, made: Outcome, name: str) -> None:
    """What `virsh domrename` does, which a guest that is started again afterwards keeps."""
    guest = world.node.domains.guests[made.id]
    guest.domain = replace(guest.domain, name=name)


@pytest.mark.parametrize("of", ["an image", "a disk"])
@pytest.mark.parametrize("power", ["running", "stopped"])
def test_a_guest_that_somebody_renamed_is_renamed_back(world: World, image: str, power: str, of: str) -> None:
    disk = world.create("Disk", "data", size="1MiB").id
    inputs: dict[str, Any] = {"image": image} if of == "an image" else {"disks": [disk]}
    made = world.create("Server", "it", **inputs, powerState=power)
    rename(world, made, "theirs")
    found = seen(world, made)
    assert (drift(world, made), found.state["name"], found.state["renamed"]) == ({}, "it", "theirs")
    assert seen(world, found).state == found.state
    plan = world.diff("Server", found)
    why = "it was renamed on the node, and is renamed back"
    said = f"restart: {why}, graceful shutdown, forced after 60 s"
    off = f"live: {why}, the guest is off, and has it when it starts"
    assert [str(change) for change in plan.changes] == [f"renamed theirs → none, {said if power == 'running' else off}"]
    changed = world.update("Server", found)
    domain = world.node.domains.get(world.context(), made.id)
    assert (domain.name, domain.state) == ("it", power)
    assert world.diff("Server", seen(world, changed)).empty
    assert world.diff("Server", changed, name="other").replaces


def test_a_default_name_does_not_follow_the_node(world: World, image: str) -> None:
    made = world.create("Server", "it", image=image)
    rename(world, made, "theirs")
    checked = world.check("Server", "it", {"image": image}, seen(world, made).inputs)
    assert checked["name"] == "it"


def test_a_program_may_take_the_name_that_somebody_gave_the_guest(world: World, image: str) -> None:
    made = world.create("Server", "it", image=image)
    rename(world, made, "theirs")
    found, starts = seen(world, made), world.node.domains.guests[made.id].starts
    assert {change.impact for change in world.diff("Server", found, name="theirs").changes} == {Impact.LIVE}
    changed = world.update("Server", found, name="theirs")
    assert world.diff("Server", seen(world, changed), name="theirs").empty
    assert world.node.domains.guests[made.id].starts == starts
    assert world.node.volumes.get(world.context(), VolumeRef(POOL, "it-root"))
