"""Snapshot: what it can be taken of, what going back to it discards and says so, and whom it belongs to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from kiln.framework import operations
from kiln.framework.errors import Conflict, InputError, KilnError, NotFound, Refused
from kiln.framework.model import Impact
from kiln.framework.operations import Outcome, Partial
from kiln.framework.values import UNKNOWN, reveal
from kiln.ports.domains import PowerState
from kiln.ports.marks import Mark
from kiln.ports.volumes import Chunk, VolumeRef
from kiln.resources import leftovers
from kiln.resources.snapshot.reverting import prepare

from tests.fakes.memory_domains import MemoryGuest
from tests.fakes.memory_snapshots import MemorySnapshot
from tests.unit.resources.world import POOL, Injected, Steps, World, plain

ROOT, DATA = VolumeRef(POOL, "web-root"), VolumeRef(POOL, "data")


@pytest.fixture
def web(world: World) -> Outcome:
    image = world.create("Image", "base", source=world.raw())
    data = world.create("Disk", "data", size="1MiB")
    return world.create("Server", "web", image=image.id, disks=[data.id])


@pytest.fixture
def off(world: World, web: Outcome) -> Outcome:
    return world.update("Server", web, powerState="stopped")


def take(world: World, web: Outcome, name: str = "first", **inputs: Any) -> Outcome:
    return world.create("Snapshot", name, server=web.id, **inputs)


def guest(world: World, web: Outcome) -> MemoryGuest:
    return world.node.domains.guests[web.id]


def held(world: World, made: Outcome) -> MemorySnapshot:
    uuid, _, name = made.id.partition("/")
    return world.node.snapshots.known[uuid, name]


def write(world: World, ref: VolumeRef, byte: int) -> None:
    """What the guest writes to the start of a disk."""
    world.node.volumes.upload(world.context(), ref, iter([Chunk(bytes([byte]) * 512)]))


def read(world: World, ref: VolumeRef) -> int:
    return world.node.volumes.download(world.context(), ref, 0, 1)[0]


def told(plan: Any) -> str:
    return "\n".join(map(str, plan.changes))


# --- taking one ------------------------------------------------------------------------------------------------------


def test_it_holds_all_disks_and_the_memory_of_a_guest_that_runs(world: World, web: Outcome) -> None:
    made = take(world, web, description="before")
    state = plain(made)
    assert made.id == f"{web.id}/first"
    assert (state["state"], state["disks"]) == ("running", ["kiln/web-root", "kiln/data"])
    assert state["created"].endswith("Z")
    assert held(world, made).live is not None


def test_it_holds_the_disks_alone_of_a_guest_that_is_off(world: World, off: Outcome) -> None:
    made = take(world, off)
    assert plain(made)["state"] == "stopped"
    assert held(world, made).live is None


def test_a_preview_knows_its_id_where_the_server_is_known(world: World, web: Outcome) -> None:
    for server, id in ((web.id, f"{web.id}/first"), (UNKNOWN, "")):
        checked = world.check("Snapshot", "first", {"server": server})
        assert operations.create(world.context(), world.resources["Snapshot"], checked, preview=True).id == id


def plays(state: PowerState) -> Callable[[MemoryGuest], None]:
    def play(guest: MemoryGuest) -> None:
        guest.domain = replace(guest.domain, state=state)
        guest.live = guest.live if state in ("running", "paused") else None

    return play


def has_efi(guest: MemoryGuest) -> None:
    guest.domain = replace(guest.domain, firmware="efi")


def is_transient(guest: MemoryGuest) -> None:
    guest.transient = True


def has_a_raw_disk(guest: MemoryGuest) -> None:
    assert guest.live is not None
    disks = tuple(replace(disk, format="raw") if disk.target == "vdb" else disk for disk in guest.live.disks)
    guest.live = replace(guest.live, disks=disks)


def has_no_disk(guest: MemoryGuest) -> None:
    assert guest.live is not None
    guest.live = replace(guest.live, disks=())


@pytest.mark.parametrize(
    ("happens", "inputs", "path", "words"),
    [
        (plays("running"), {"memory": False}, "memory", "'web' runs"),
        (plays("stopped"), {"memory": True}, "memory", "'web' is stopped and has no memory"),
        (plays("saved"), {}, "server", "virsh managedsave-remove"),
        (is_transient, {}, "server", "undefined while it ran"),
        (has_efi, {}, "server", "UEFI"),
        (has_a_raw_disk, {}, "server", "hold no snapshots: vdb"),
        (has_no_disk, {}, "server", "no disk"),
    ],
    ids=["runs", "off", "saved", "transient", "efi", "raw", "diskless"],
)
def test_what_cannot_be_kept_is_refused_at_its_property_with_what_to_do(
    world: World, web: Outcome, happens: Callable[[MemoryGuest], None], inputs: dict[str, Any], path: str, words: str
) -> None:
    happens(guest(world, web))
    with pytest.raises(InputError, match=words) as caught:
        take(world, web, **inputs)
    assert caught.value.path == path
    assert world.node.snapshots.known == {}


def test_a_guest_with_uefi_that_is_off_can_be_kept(world: World, off: Outcome) -> None:
    has_efi(guest(world, off))
    assert plain(take(world, off))["state"] == "stopped"


def test_a_server_that_is_not_there_is_told_at_its_property(world: World, web: Outcome) -> None:
    with pytest.raises(InputError, match="there is no guest") as caught:
        world.create("Snapshot", "first", server="99999999-9999-4999-8999-999999999999")
    assert caught.value.path == "server"
    with pytest.raises(KilnError, match="is not the id of a server"):
        world.check("Snapshot", "first", {"server": "web"})


# --- going back ------------------------------------------------------------------------------------------------------


def test_a_changed_revert_takes_the_disks_back_once_and_the_guest_runs_on(world: World, web: Outcome) -> None:
    write(world, ROOT, 1)
    made = take(world, web, revert="never")
    write(world, ROOT, 2)
    made = world.update("Snapshot", made, description="other")
    assert read(world, ROOT) == 2
    starts = guest(world, web).starts
    made = world.update("Snapshot", made, revert="now")
    assert (read(world, ROOT), plain(made)["revert"]) == (1, "now")
    assert (guest(world, web).domain.state, guest(world, web).starts) == ("running", starts)
    write(world, ROOT, 3)
    assert world.diff("Snapshot", made).empty
    for text in (None, ""):
        world.update("Snapshot", made, revert=text)
        assert read(world, ROOT) == 3


def test_a_preview_says_what_a_revert_discards(world: World, web: Outcome) -> None:
    made = take(world, web)
    plan = world.diff("Snapshot", made, revert="now")
    assert plan.impact is Impact.RESTART
    assert (
        f"discards what the guest 'web' wrote to 'kiln/web-root', 'kiln/data' since {plain(made)['created']}"
        in told(plan)
    )
    assert "and what is in its memory; it runs on from then" in told(plan)
    guest(world, web).live = None
    plays("stopped")(guest(world, web))
    assert "memory" not in told(world.diff("Snapshot", made, revert="now"))


def test_a_preview_says_how_a_guest_goes_on_from_its_disks_alone(world: World, off: Outcome) -> None:
    made = take(world, off)
    assert told(world.diff("Snapshot", made, revert="now")).endswith("it stays off")
    world.node.domains.start(world.context(), off.id)
    assert "and what is in its memory; it is started again" in told(world.diff("Snapshot", made, revert="now"))
    world.nodes.unreachable.add(plain(made)["node"])
    assert "and what is in its memory if it runs; it is started again if it runs" in told(
        world.diff("Snapshot", made, revert="now")
    )


def test_taking_revert_away_does_nothing_and_says_so(world: World, web: Outcome) -> None:
    made = take(world, web, revert="never")
    plan = world.diff("Snapshot", made, revert=None)
    assert plan.impact is Impact.LIVE
    assert "nothing is reverted" in told(plan)


def test_a_guest_that_ran_is_started_again_from_disks_that_were_kept_while_it_was_off(
    world: World, off: Outcome
) -> None:
    write(world, DATA, 1)
    made = take(world, off)
    world.node.domains.start(world.context(), off.id)
    write(world, DATA, 2)
    world.update("Snapshot", made, revert="now")
    assert (read(world, DATA), guest(world, off).domain.state) == (1, "running")


def test_a_guest_that_is_off_stays_off(world: World, off: Outcome) -> None:
    made = take(world, off)
    world.update("Snapshot", made, revert="now")
    assert guest(world, off).domain.state == "stopped"


def test_the_definition_and_the_sizes_of_disks_stay_as_the_program_says(world: World, off: Outcome) -> None:
    made = take(world, off)
    changed = world.update("Server", off, memory="1GiB", diskSize="16MiB", disks=[])
    world.update("Snapshot", made, revert="now")
    found = world.read("Server", changed)
    assert found is not None
    assert reveal(found.state) == reveal(changed.state)
    assert world.node.volumes.get(world.context(), ROOT).virtual_size == 16 << 20


def test_a_cd_that_is_gone_is_out_of_its_drive(world: World, web: Outcome) -> None:
    cd = world.create("Disk", "cd", source=world.iso())
    web = world.update("Server", web, disks=["kiln/data", cd.id])
    made = take(world, web)
    world.update("Server", web, disks=["kiln/data"])
    world.delete("Disk", cd)
    world.update("Snapshot", made, revert="now")
    assert [path.rpartition("/")[2] for path in held(world, made).told.media.values() if path] == ["web-seed"]


def test_a_cd_that_lies_in_no_pool_is_left_in_its_drive(world: World, web: Outcome) -> None:
    made = take(world, web)
    found = held(world, made)
    found.told = replace(found.told, media={"sda": "/srv/isos/debian.iso"})
    snapshot = found.told
    assert prepare(world.context(), world.node, snapshot).ejected == []
    gone = f"{world.node.volumes.pool(world.context(), POOL).path}/gone"
    assert prepare(world.context(), world.node, replace(snapshot, media={"sda": gone, "sdb": None})).ejected == [gone]


def is_deleted(world: World) -> None:
    world.node.volumes.delete(world.context(), DATA)


def is_made_anew(world: World) -> None:
    is_deleted(world)
    world.create("Disk", "data", size="1MiB")


@pytest.mark.parametrize("happens", [is_deleted, is_made_anew])
def test_a_snapshot_that_lost_a_disk_is_not_reverted_in_part(
    world: World, off: Outcome, happens: Callable[[World], None]
) -> None:
    write(world, ROOT, 1)
    made = take(world, off)
    write(world, ROOT, 2)
    happens(world)
    for verb in (world.diff, world.update):
        with pytest.raises(InputError, match=r"only a part of it.*(is gone|does not hold it any more)") as caught:
            verb("Snapshot", made, revert="now")
        assert caught.value.path == "revert"
    assert read(world, ROOT) == 2


def test_saved_memory_is_never_left_with_disks_of_another_time(world: World, off: Outcome) -> None:
    made = take(world, off)
    plays("saved")(guest(world, off))
    with pytest.raises(InputError, match="managedsave-remove"):
        world.update("Snapshot", made, revert="now")


@pytest.mark.parametrize("at", [("after", "stop guest"), ("before", "revert")])
def test_a_guest_that_was_stopped_for_nothing_runs_again(world: World, web: Outcome, at: tuple[str, str]) -> None:
    made = take(world, web)
    write(world, ROOT, 2)
    with pytest.raises(Injected):
        world.update("Snapshot", made, observer=Steps(at), revert="now")
    assert (guest(world, web).domain.state, read(world, ROOT)) == ("running", 2)
    assert world.diff("Snapshot", made, revert="now").impact is Impact.RESTART


@pytest.mark.parametrize("step", ["put the definition back", "grow disks", "start guest"])
def test_a_revert_that_is_not_finished_is_told_and_not_done_again(world: World, off: Outcome, step: str) -> None:
    write(world, ROOT, 1)
    made = take(world, off)
    world.node.domains.start(world.context(), off.id)
    with pytest.raises(Partial, match=r"is back at the snapshot; `pulumi refresh` and `pulumi up` mend it") as caught:
        world.update("Snapshot", made, observer=Steps(("before", step)), revert="now")
    left = caught.value.outcome
    write(world, ROOT, 2)
    again = world.update("Snapshot", left)
    assert read(world, ROOT) == 2
    assert world.diff("Snapshot", again, revert="now").empty


def test_a_name_that_a_disk_holds_twice_is_not_gone_back_to(world: World, off: Outcome) -> None:
    made = take(world, off)
    world.node.volumes.held(DATA).append("first")
    with pytest.raises(InputError, match="holds another one of that name"):
        world.update("Snapshot", made, revert="now")


# --- replacing one ---------------------------------------------------------------------------------------------------


def test_a_replacement_says_what_is_lost_and_is_refused_before_it_is(world: World, web: Outcome) -> None:
    made = take(world, web)
    plan = world.diff("Snapshot", made, name="other")
    assert plan.replaces
    assert f"the snapshot of {plain(made)['created']} is lost" in told(plan)
    with pytest.raises(InputError, match="'web' runs"):
        world.diff("Snapshot", made, memory=False)


def test_memory_that_states_what_is_so_is_no_change(world: World, web: Outcome) -> None:
    made = take(world, web)
    assert world.diff("Snapshot", made, memory=True).empty


def test_it_is_replaced_with_its_server(world: World, web: Outcome) -> None:
    made = take(world, web)
    old = world.inputs("Snapshot", made)
    new = {**old, "server": UNKNOWN}
    plan = operations.diff(world.context(), world.resources["Snapshot"], made.id, made.state, old, new)
    assert plan.replaces


# --- whom it belongs to ----------------------------------------------------------------------------------------------


def by_virsh(world: World, web: Outcome, name: str = "first", mark: Mark | None = None) -> None:
    """What somebody with virsh makes."""
    nobody = Mark("x", "done")
    world.node.snapshots.create(world.context(), web.id, name, memory=True, description=None, mark=mark or nobody)
    found = world.node.snapshots.known[web.id, name]
    found.told = replace(found.told, mark=mark)


def test_a_name_that_is_taken_is_refused_with_how_to_import_it(world: World, web: Outcome) -> None:
    by_virsh(world, web)
    with pytest.raises(Conflict, match=f"pulumi import kiln:index:Snapshot NAME {web.id}/first"):
        take(world, web)
    assert list(world.node.snapshots.known) == [(web.id, "first")]
    take(world, web, "second")
    with pytest.raises(Conflict, match="Kiln made it"):
        take(world, web, "second")


def test_what_a_killed_create_left_is_made_anew_and_found_by_gc(world: World, web: Outcome) -> None:
    by_virsh(world, web, mark=Mark("op", "creating", urn="urn"))
    (left,) = leftovers.find(world.context(), world.node)
    assert (left.kind, left.id, left.name) == ("snapshot", f"{web.id}/first", "web/first")
    made = take(world, web)
    mark = held(world, made).told.mark
    assert mark is not None
    assert (mark.phase, mark.operation == "op") == ("done", False)
    with pytest.raises(Refused, match="changed since it was found"):
        left.remove(world.context())


def test_gc_removes_what_no_stack_holds_and_never_what_others_made(world: World, web: Outcome) -> None:
    by_virsh(world, web, "theirs")
    made = take(world, web)
    known = {web.id, "kiln/base", "kiln/data"}
    assert leftovers.find(world.context(), world.node, known={*known, made.id}) == []
    (left,) = leftovers.find(world.context(), world.node, known=known)
    for _ in range(2):
        left.remove(world.context())
    assert list(world.node.snapshots.known) == [(web.id, "theirs")]


def test_another_one_of_its_name_is_not_read_changed_or_deleted(world: World, web: Outcome) -> None:
    made = take(world, web)
    found = held(world, made)
    found.told = replace(found.told, created=found.told.created + 1, mark=None)
    assert world.read("Snapshot", made) is None
    with pytest.raises(NotFound, match="another one has its name"):
        world.update("Snapshot", made, revert="now")
    world.delete("Snapshot", made)
    assert len(world.node.snapshots.known) == 1


def test_one_that_others_made_is_imported_and_then_kilns(world: World, web: Outcome) -> None:
    by_virsh(world, web)
    made = world.imported("Snapshot", "web/first")
    assert made.id == world.imported("Snapshot", f"{web.id}/first").id == f"{web.id}/first"
    made = world.update("Snapshot", made, description="ours")
    mark = held(world, made).told.mark
    assert mark is not None
    assert (mark.phase, mark.info) == ("done", {"name": "first"})
    world.delete("Snapshot", made)
    assert world.node.snapshots.known == {}


def test_an_external_one_is_not_imported(world: World, web: Outcome) -> None:
    by_virsh(world, web)
    found = world.node.snapshots.known[web.id, "first"]
    found.told = replace(found.told, internal=False)
    with pytest.raises(KilnError, match="external"):
        world.imported("Snapshot", "web/first")
    with pytest.raises(InputError, match="SERVER/SNAPSHOT"):
        world.imported("Snapshot", "first")


def test_what_a_disk_holds_of_a_guest_that_is_gone_is_not_touched(world: World, off: Outcome) -> None:
    world.node.volumes.held(DATA).append("first")
    with pytest.raises(Conflict, match=r"'kiln/data' holds a snapshot 'first' already.*qemu-img snapshot -d") as caught:
        take(world, off)
    assert caught.value.path == "name"
    assert world.node.volumes.held(DATA) == ["first"]


# --- deleting one ----------------------------------------------------------------------------------------------------


def test_it_stays_while_a_disk_is_in_the_way_of_removing_what_it_holds(world: World, web: Outcome) -> None:
    made = take(world, web)
    has_a_raw_disk(guest(world, web))
    with pytest.raises(Refused, match="vdb"):
        world.delete("Snapshot", made)
    world.node.domains.destroy(world.context(), web.id)
    world.delete("Snapshot", made)
    assert world.node.snapshots.known == {}


def test_it_stays_while_the_guest_runs_without_a_disk_that_it_holds(world: World, web: Outcome) -> None:
    made = take(world, web)
    world.update("Server", web, disks=[])
    with pytest.raises(Refused, match="vdb"):
        world.delete("Snapshot", made)
    assert world.read("Snapshot", made) is not None
    world.node.domains.destroy(world.context(), web.id)
    world.delete("Snapshot", made)
    assert list(world.node.volumes.held(DATA)) == []


def test_a_deleted_one_whose_guest_is_gone_is_a_success(world: World, web: Outcome) -> None:
    made = take(world, web)
    world.delete("Server", web)
    assert world.read("Snapshot", made) is None
    world.delete("Snapshot", made)
