"""What gc finds, and what it never touches."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from unittest.mock import Mock
from uuid import uuid4

import pytest
from kiln.firstboot.metadata import TOKEN
from kiln.framework.context import Context, SilentLog
from kiln.framework.errors import KilnError, NotFound, Refused
from kiln.framework.operations import Outcome
from kiln.framework.process import tag
from kiln.ports.domains import GuestLog
from kiln.ports.marks import Mark
from kiln.ports.volumes import VolumeRef
from kiln.resources import leftovers
from kiln.resources.ownership import Claim, finished, new_mark
from kiln.resources.server.storage import instance_id
from kiln.transfer.upload import temporary_name

from tests.unit.resources.world import POOL, World


def found(world: World, known: set[str] | None = None) -> dict[str, str]:
    items = leftovers.find(world.context(), world.node, None, known)
    return {item.id: item.why for item in items}


def remove_all(world: World, known: set[str] | None = None) -> None:
    for item in leftovers.find(world.context(), world.node, None, known):
        item.remove(world.context())


def unfinished(mark: Mark | None) -> Mark:
    """The mark as an operation that died long ago would have left it."""
    assert mark is not None
    return replace(mark, phase="creating", holder=None)


@pytest.fixture
def full(world: World) -> dict[str, Outcome]:
    image = world.create("Image", "base", source=world.raw(), kernel=world.raw("k"))
    disk = world.create("Disk", "data", size="1MiB")
    server = world.create("Server", "web", image=image.id, disks=[disk.id], powerState="stopped")
    return {"image": image, "disk": disk, "server": server}


def test_on_a_node_in_use_nothing_is_left_over(world: World, full: dict[str, Outcome]) -> None:
    assert found(world) == {}
    assert found(world, {made.id for made in full.values()}) == {}


def test_an_empty_pool_that_no_stack_needs_is_left_over(world: World, full: dict[str, Outcome]) -> None:
    for kind, made in (("Server", full["server"]), ("Disk", full["disk"]), ("Image", full["image"])):
        assert found(world, {made.id for made in full.values()}) == {}
        world.delete(kind, made)
    assert found(world) == {}
    assert found(world, {world.node.identity(world.context())}) == {}
    assert found(world, set()) == {POOL: "Kiln made it, and nothing is in it"}
    remove_all(world, set())
    assert world.node.volumes.named == {}


def test_what_a_living_operation_makes_is_not_left_over(world: World, full: dict[str, Outcome]) -> None:
    ref = VolumeRef(POOL, "data")
    world.node.volumes.write_mark(world.context(), ref, new_mark(world.context(), "disk"))
    assert found(world) == {}


def test_what_a_dead_operation_left_is_found_and_removed(world: World, full: dict[str, Outcome]) -> None:
    ctx, volumes = world.context(), world.node.volumes
    ref = VolumeRef(POOL, "lost")
    volumes.create(ctx, ref, format="raw", virtual_size=1024)
    mark = replace(new_mark(ctx, "disk"), holder=None)
    volumes.write_mark(ctx, ref, mark)
    directory = volumes.local_directory(ctx, POOL)
    assert directory is not None
    (half := directory / temporary_name(mark, ref)).write_bytes(b"half of it")
    assert found(world) == {"kiln/lost": "an operation that died left it unfinished"}
    before = world.inventory()["volumes"]
    remove_all(world)
    assert world.inventory()["volumes"] == before - {"kiln/lost"}
    assert not half.exists()
    assert found(world) == {}


def test_an_unfinished_guest_goes_with_its_own_volumes(world: World, full: dict[str, Outcome]) -> None:
    ctx = world.context()
    server = full["server"]
    domain = world.node.domains.get(ctx, server.id)
    world.node.domains.set_mark(ctx, server.id, unfinished(domain.mark))
    assert set(found(world)) == {server.id}
    remove_all(world)
    assert world.inventory()["guests"] == {}
    assert world.inventory()["volumes"] == {"kiln/base", "kiln/base.kernel", "kiln/data"}


def test_finished_objects_are_left_over_only_when_no_given_stack_holds_them(
    world: World, full: dict[str, Outcome]
) -> None:
    known = {full["image"].id}
    assert set(found(world, known)) == {full["server"].id}, "a disk that a guest uses goes with the guest"
    remove_all(world, known)
    assert set(found(world, known)) == {"kiln/data"}
    remove_all(world, known)
    assert world.inventory()["volumes"] == {"kiln/base", "kiln/base.kernel"}


def test_an_image_takes_its_kernel_with_it(world: World) -> None:
    world.create("Image", "base", source=world.raw(), kernel=world.raw("k"))
    remove_all(world, set())
    assert world.inventory() == {"guests": {}, "volumes": set(), "marks": {}}


def test_a_seed_without_its_guest_and_a_kernel_without_its_image_are_found(
    world: World, full: dict[str, Outcome]
) -> None:
    ctx = world.context()
    world.node.domains.undefine(ctx, full["server"].id)
    assert found(world) == {"kiln/web-seed": "no guest reads this seed"}
    remove_all(world)
    world.node.volumes.delete(ctx, VolumeRef(POOL, "web-root"))
    world.node.volumes.delete_mark(ctx, VolumeRef(POOL, "web-root"))
    world.node.volumes.delete(ctx, VolumeRef(POOL, "base"))
    world.node.volumes.delete_mark(ctx, VolumeRef(POOL, "base"))
    assert found(world) == {"kiln/base.kernel": "its image is gone"}


def test_a_mark_without_its_volume_is_found(world: World, full: dict[str, Outcome]) -> None:
    world.node.volumes.write_mark(world.context(), VolumeRef(POOL, "ghost"), Mark("op", "done", role="disk"))
    assert found(world) == {"kiln/ghost": "a mark without its volume"}
    remove_all(world)
    assert found(world) == {}


def test_what_kiln_did_not_make_is_never_found(world: World, full: dict[str, Outcome]) -> None:
    world.node.volumes.create(world.context(), VolumeRef(POOL, "theirs"), format="raw", virtual_size=1024)
    held: set[str] = {made.id for made in full.values()}
    assert found(world, held) == {}


def test_an_image_that_others_are_built_on_is_not_removed(world: World) -> None:
    image = world.create("Image", "base", source=world.raw())
    disk = world.create("Disk", "over", image=image.id)
    items: list[Any] = leftovers.find(world.context(), world.node, POOL, {disk.id})
    (item,) = items
    with pytest.raises(Exception, match="kiln/over is an overlay"):
        item.remove(world.context())


def test_a_pool_that_is_not_there_is_told(world: World) -> None:
    with pytest.raises(NotFound):
        leftovers.find(world.context(), world.node, "no-such-pool")


def test_every_pool_is_looked_into_unless_one_is_asked_for(world: World, full: dict[str, Outcome]) -> None:
    ctx, volumes = world.context(), world.node.volumes
    ghosts = [VolumeRef(pool, "ghost") for pool in ("fast", "slow")]
    for ref in ghosts:
        volumes.ensure_pool(ctx, ref.pool, None)
        volumes.write_mark(ctx, ref, Mark("op", "done", role="disk"))
    assert set(found(world)) == {"fast/ghost", "slow/ghost"}
    assert [item.id for item in leftovers.find(ctx, world.node, "slow")] == ["slow/ghost"]


def test_a_pool_that_cannot_be_looked_into_is_told_and_hides_no_other(
    world: World, full: dict[str, Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    volumes, said = world.node.volumes, Mock(spec=SilentLog)
    ctx = replace(world.context(), log=said)
    for name in ("broken", "fast", "stopped"):
        volumes.ensure_pool(ctx, name, None)
    volumes.named["stopped"].active = False
    volumes.write_mark(ctx, VolumeRef("fast", "ghost"), Mark("op", "done", role="disk"))
    marks = volumes.marks

    def refusing(ctx: Context, pool: str) -> Sequence[tuple[VolumeRef, Mark]]:
        if pool == "broken":
            raise KilnError("could not list pool 'broken'", cause="Input/output error")
        return marks(ctx, pool)

    monkeypatch.setattr(volumes, "marks", refusing)
    assert [item.id for item in leftovers.find(ctx, world.node)] == ["fast/ghost"]
    told = [call.args[0] for call in said.warning.call_args_list]
    assert any("Input/output error" in text for text in told)
    assert any("'stopped' is stopped" in text for text in told)


def test_what_another_operation_took_on_since_it_was_found_stays(world: World, full: dict[str, Outcome]) -> None:
    ctx, volumes, ref = world.context(), world.node.volumes, VolumeRef(POOL, "lost")
    volumes.write_mark(ctx, ref, replace(new_mark(ctx, "disk"), holder=None))
    volumes.create(ctx, ref, format="raw", virtual_size=1024)
    (item,) = leftovers.find(ctx, world.node)
    claim = Claim(volumes, ref, mark := new_mark(ctx, "disk"))
    claim.take(ctx)
    volumes.create(ctx, ref, format="raw", virtual_size=1024)
    with pytest.raises(Refused, match="changed since it was found"):
        item.remove(ctx)
    assert volumes.read_mark(ctx, ref) == mark
    volumes.write_mark(ctx, ref, finished(mark))
    with pytest.raises(Refused, match="changed since it was found"):
        item.remove(ctx)
    assert volumes.get(ctx, ref)


def test_a_guest_that_became_another_operations_since_it_was_found_stays(
    world: World, full: dict[str, Outcome]
) -> None:
    ctx, domains, uuid = world.context(), world.node.domains, full["server"].id
    domains.set_mark(ctx, uuid, unfinished(domains.get(ctx, uuid).mark))
    (item,) = leftovers.find(ctx, world.node)
    domains.set_mark(ctx, uuid, new_mark(ctx, "server"))
    with pytest.raises(Refused, match="changed since it was found"):
        item.remove(ctx)
    assert domains.get(ctx, uuid)


def test_a_leftover_tells_where_it_is_and_since_when(world: World, full: dict[str, Outcome]) -> None:
    ctx = world.context()
    made = {item.name: item for item in leftovers.find(ctx, world.node, None, set())}
    path = world.node.volumes.get(ctx, VolumeRef(POOL, "base")).path
    assert made["base"].where == path
    assert all(item.since is not None and 0 <= time.time() - item.since < 600 for item in made.values())


def test_a_seed_whose_first_boot_has_ended_is_found_and_removed(world: World) -> None:
    ctx = world.context()
    image = world.create("Image", "base", source=world.raw())
    server = world.create("Server", "web", image=image.id, waitFor="none")
    assert found(world) == {}
    world.node.domains.guests[server.id].console += f"{TOKEN} {instance_id(server.id)} done\r\n".encode()
    assert found(world) == {"kiln/web-seed": "the first boot that reads it has ended"}
    remove_all(world)
    assert found(world) == {}
    assert "kiln/web-seed" not in world.inventory()["volumes"]
    assert [disk.target for disk in world.node.domains.get(ctx, server.id).disks] == ["vda"]


OURS, DEAD = tag(), f"{tag()[:16]}-7fffffff-1-01234567"
ELSEWHERE = f"{'0' * 16}-1-1-01234567"


def age(world: World, name: str, seconds: float) -> None:
    """Let a temporary volume have been written to so long ago."""
    world.node.volumes.changed[name] = time.time() - seconds


@pytest.mark.parametrize("kind", ["probe", "doctor", "mark"])
def test_what_a_killed_check_left_is_found_and_removed_and_what_runs_is_not(
    world: World, full: dict[str, Outcome], kind: str
) -> None:
    ctx, volumes = world.context(), world.node.volumes
    names = {who: f".kiln-{kind}-{who}" for who in (OURS, DEAD, ELSEWHERE)}
    for name in names.values():
        volumes.create(ctx, VolumeRef(POOL, name), format="raw", virtual_size=1024)
    age(world, names[ELSEWHERE], 60)
    assert set(found(world)) == {f"kiln/{names[DEAD]}"}
    age(world, names[ELSEWHERE], 7200)
    assert set(found(world)) == {f"kiln/{names[DEAD]}", f"kiln/{names[ELSEWHERE]}"}
    remove_all(world)
    assert [each.ref.name for each in volumes.temporaries(ctx, POOL)] == [names[OURS]]


def test_the_disk_of_a_probe_guest_that_runs_is_not_left_over(world: World, full: dict[str, Outcome]) -> None:
    ctx, volumes, guests = world.context(), world.node.volumes, world.node.domains.guests
    volume = volumes.create(ctx, VolumeRef(POOL, f".kiln-probe-{ELSEWHERE}"), format="raw", virtual_size=1024)
    guest = guests[full["server"].id]
    probe = replace(guest.domain.disks[0], path=volume.path)
    guest.domain = replace(guest.domain, disks=(*guest.domain.disks, probe))
    assert found(world) == {}


def test_a_pool_of_a_killed_probe_goes_with_what_is_in_it(world: World, full: dict[str, Outcome]) -> None:
    ctx, volumes = world.context(), world.node.volumes
    for who in (OURS, DEAD, ELSEWHERE):
        volumes.ensure_pool(ctx, f"kiln-probe-{who}", None)
        volumes.create(ctx, VolumeRef(f"kiln-probe-{who}", f".kiln-probe-{who}"), format="raw", virtual_size=1024)
    age(world, f".kiln-probe-{ELSEWHERE}", 60)
    volumes.ensure_pool(ctx, "kiln-probe-theirs", None)
    assert set(found(world)) == {f"kiln-probe-{DEAD}"}
    remove_all(world)
    assert set(volumes.named) == {POOL, "kiln-probe-theirs", f"kiln-probe-{OURS}", f"kiln-probe-{ELSEWHERE}"}


def test_a_half_uploaded_file_is_left_over_once_its_operation_has_no_mark(
    world: World, full: dict[str, Outcome]
) -> None:
    ctx, volumes = world.context(), world.node.volumes
    directory = volumes.local_directory(ctx, POOL)
    assert directory is not None
    mark, ref = new_mark(ctx, "disk"), VolumeRef(POOL, "it")
    (half := directory / temporary_name(mark, ref)).write_bytes(b"half of it")
    volumes.write_mark(ctx, ref, mark)
    assert found(world) == {}, "it is being uploaded"
    volumes.delete_mark(ctx, ref)
    assert found(world) == {f"kiln/{half.name}": "an upload that was killed left it"}
    remove_all(world)
    assert not half.exists()


def test_a_name_that_only_begins_like_a_temporary_one_is_not_kilns_to_remove(
    world: World, full: dict[str, Outcome]
) -> None:
    ctx, volumes = world.context(), world.node.volumes
    for name in (".kiln-notes", ".kiln-web-root.kiln"):
        volumes.create(ctx, VolumeRef(POOL, name), format="raw", virtual_size=1024)
    assert found(world) == {}


def test_the_log_of_a_guest_that_is_gone_is_found_and_removed(world: World, full: dict[str, Outcome]) -> None:
    domains, there, gone = world.node.domains, full["server"].id, str(uuid4())
    written = domains.get(world.context(), there).console_log
    assert written is not None
    logs = [
        GuestLog(f"/log/web-{there}.console.log", "web", there, 1.0),
        GuestLog(written, "the guest that this one was copied from", gone, 1.0),
        GuestLog(f"/log/old-{gone}.console.log", "old", gone, 1.0),
        GuestLog(f"/log/kiln-probe-{DEAD}.log", f"kiln-probe-{DEAD}", None, 1.0),
    ]
    domains.logged = {log.path: log for log in logs}
    assert set(found(world)) == {log.path for log in logs[2:]}
    remove_all(world)
    assert list(domains.logged) == [log.path for log in logs[:2]]
