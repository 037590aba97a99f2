"""What every driver of ``ports.Moves`` does."""

from __future__ import annotations

import pytest
from kiln.framework.context import Cancellation, Context
from kiln.framework.errors import Cancelled, KilnError
from kiln.ports.domains import DiskSpec, Domain
from kiln.ports.nodes import Node
from kiln.ports.overlays import OverlaySpec
from kiln.ports.volumes import Chunk, Volume, VolumeRef

from tests.contract.conftest import DRIVERS
from tests.contract.guests import bootable, heard, spec

pytestmark = pytest.mark.parametrize("node", [DRIVERS[0], DRIVERS[2]], indirect=True)
MIB = 1 << 20


@pytest.fixture(autouse=True)
def clean(no_guest_is_left: None) -> None:
    """Every test here makes guests."""


@pytest.fixture
def old(node: Node, ctx: Context, pool: str) -> Volume:
    """A disk with something on it."""
    ref = VolumeRef(pool, "old")
    node.volumes.create(ctx, ref, format="raw", virtual_size=MIB)
    node.volumes.upload(ctx, ref, iter([Chunk(b"word".ljust(4096, b"\1"))]))
    return node.volumes.get(ctx, ref)


def empty(node: Node, ctx: Context, pool: str, *, size: int = MIB) -> Volume:
    return node.volumes.create(ctx, VolumeRef(pool, "new"), format="raw", virtual_size=size)


def defined(node: Node, ctx: Context, name: str, *disks: Volume) -> Domain:
    chains = [node.volumes.chain(ctx, disk.ref) for disk in disks]
    specs = [DiskSpec(chain, f"vd{letter}") for chain, letter in zip(chains, "abc", strict=False)]
    return node.domains.define(ctx, spec(name, disks=specs))


def paths(node: Node, ctx: Context, uuid: str) -> tuple[list[str | None], list[str | None] | None]:
    """Where the disks are stored by the definition, and in what runs."""
    domain = node.domains.get(ctx, uuid)
    live = None if domain.live is None else [disk.path for disk in domain.live.disks]
    return [disk.path for disk in domain.disks], live


def test_a_running_guest_gets_the_copy_in_its_definition_too(
    node: Node, ctx: Context, pool: str, name: str, old: Volume
) -> None:
    uuid = defined(node, ctx, name, old).uuid
    node.domains.start(ctx, uuid)
    new = empty(node, ctx, pool)
    node.moves.mirror(ctx, uuid, "vda", new)
    assert paths(node, ctx, uuid) == ([old.path], [old.path])
    for _ in range(2):
        node.moves.pivot(ctx, uuid, "vda", new)
        assert paths(node, ctx, uuid) == ([new.path], [new.path])
    assert node.domains.get(ctx, uuid).state == "running"
    assert list(node.domains.users(ctx, new.path)) == [name]
    assert list(node.domains.users(ctx, old.path)) == []
    assert node.volumes.download(ctx, new.ref, 0, MIB) == node.volumes.download(ctx, old.ref, 0, MIB)


def test_another_disk_that_the_definition_has_in_its_place_stays_there(
    node: Node, ctx: Context, pool: str, name: str, old: Volume
) -> None:
    uuid = defined(node, ctx, name, old).uuid
    node.domains.start(ctx, uuid)
    other = node.volumes.create(ctx, VolumeRef(pool, "other"), format="raw", virtual_size=MIB)
    node.moves.repoint(ctx, uuid, "vda", other)
    new = empty(node, ctx, pool)
    node.moves.mirror(ctx, uuid, "vda", new)
    node.moves.pivot(ctx, uuid, "vda", new)
    assert paths(node, ctx, uuid) == ([other.path], [new.path])


def test_a_copy_of_an_overlay_is_whole(node: Node, ctx: Context, pool: str, name: str, old: Volume) -> None:
    top = node.volumes.create(ctx, VolumeRef(pool, "top"), format="qcow2", virtual_size=MIB, backing=old)
    uuid = defined(node, ctx, name, top).uuid
    node.domains.start(ctx, uuid)
    new = empty(node, ctx, pool)
    node.moves.mirror(ctx, uuid, "vda", new)
    node.moves.pivot(ctx, uuid, "vda", new)
    assert node.volumes.download(ctx, new.ref, 0, 4) == b"word"
    assert [disk.format for disk in node.domains.get(ctx, uuid).disks] == ["raw"]
    node.domains.destroy(ctx, uuid)
    node.domains.start(ctx, uuid)
    assert paths(node, ctx, uuid) == ([new.path], [new.path])


def test_a_guest_keeps_its_disk_when_mirroring_ends(
    node: Node, ctx: Context, pool: str, name: str, old: Volume
) -> None:
    uuid = defined(node, ctx, name, old).uuid
    node.domains.start(ctx, uuid)
    new = empty(node, ctx, pool)
    node.moves.unmirror(ctx, uuid, "vda", new)
    for _ in range(2):
        node.moves.mirror(ctx, uuid, "vda", new)
        node.moves.unmirror(ctx, uuid, "vda", old)  # is mirrored to no such volume
        with pytest.raises(KilnError):
            node.moves.mirror(ctx, uuid, "vda", old)
        node.moves.unmirror(ctx, uuid, "vda", new)
        with pytest.raises(KilnError):
            node.moves.pivot(ctx, uuid, "vda", new)
    node.moves.unmirror(ctx, uuid, "vda", new)
    assert paths(node, ctx, uuid) == ([old.path], [old.path])
    node.domains.destroy(ctx, uuid)
    node.moves.unmirror(ctx, uuid, "vda", new)
    with pytest.raises(KilnError):
        node.moves.mirror(ctx, uuid, "vda", new)


def test_a_volume_that_is_too_small_gets_no_mirror(node: Node, ctx: Context, pool: str, name: str, old: Volume) -> None:
    uuid = defined(node, ctx, name, old).uuid
    node.domains.start(ctx, uuid)
    with pytest.raises(KilnError):
        node.moves.mirror(ctx, uuid, "vda", empty(node, ctx, pool, size=MIB // 2))
    assert paths(node, ctx, uuid) == ([old.path], [old.path])
    node.volumes.delete(ctx, VolumeRef(pool, "new"))
    node.moves.mirror(ctx, uuid, "vda", empty(node, ctx, pool))


def test_a_cancelled_copy_leaves_no_mirror(node: Node, ctx: Context, pool: str, name: str, old: Volume) -> None:
    uuid = defined(node, ctx, name, old).uuid
    node.domains.start(ctx, uuid)
    new, cancellation = empty(node, ctx, pool), Cancellation()
    cancellation.cancel()
    with pytest.raises(Cancelled):
        node.moves.mirror(Context(cancellation=cancellation), uuid, "vda", new)
    node.moves.mirror(ctx, uuid, "vda", new)
    node.moves.pivot(ctx, uuid, "vda", new)


def test_a_guest_that_is_off_starts_with_what_it_was_pointed_to(node: Node, ctx: Context, pool: str, name: str) -> None:
    disk = bootable(node, ctx, VolumeRef(pool, "old"))
    domain = node.domains.define(ctx, spec(name, disks=(disk,)))
    new = node.volumes.copy(ctx, disk.chain[0], VolumeRef(pool, "new"), format="qcow2", virtual_size=MIB)
    node.moves.repoint(ctx, domain.uuid, "vda", new)
    node.volumes.delete(ctx, disk.chain[0].ref)
    (found,) = node.domains.get(ctx, domain.uuid).disks
    assert (found.path, found.format, found.boot_order, found.bus) == (new.path, "qcow2", 1, "virtio")
    assert heard(ctx, node.domains.start(ctx, domain.uuid, with_console=True))


def test_what_an_overlay_put_at_a_disk_stays_there(node: Node, ctx: Context, pool: str, name: str, old: Volume) -> None:
    disk = "/domain/devices/disk[target/@dev='vda']"
    overlay = [
        OverlaySpec(disk, xml="<iotune><total_iops_sec>1000</total_iops_sec></iotune>"),
        OverlaySpec(f"{disk}/driver", attribute=("io", "threads")),
    ]
    wanted = spec(name, disks=[DiskSpec([old], "vda")], overlay=overlay)
    node.domains.define(ctx, wanted)
    node.domains.start(ctx, wanted.uuid)
    new = empty(node, ctx, pool)
    node.moves.mirror(ctx, wanted.uuid, "vda", new)
    node.moves.pivot(ctx, wanted.uuid, "vda", new)
    assert paths(node, ctx, wanted.uuid) == ([new.path], [new.path])
    assert node.domains.overlaid(ctx, wanted.uuid, overlay) == overlay
    node.domains.destroy(ctx, wanted.uuid)
    node.moves.repoint(ctx, wanted.uuid, "vda", old)
    assert paths(node, ctx, wanted.uuid) == ([old.path], None)
    assert node.domains.overlaid(ctx, wanted.uuid, overlay, recent=True) == overlay


def test_what_runs_goes_on_when_its_definition_is_pointed_elsewhere(
    node: Node, ctx: Context, pool: str, name: str, old: Volume
) -> None:
    uuid = defined(node, ctx, name, old).uuid
    node.domains.start(ctx, uuid)
    new = empty(node, ctx, pool)
    node.moves.repoint(ctx, uuid, "vda", new)
    assert paths(node, ctx, uuid) == ([new.path], [old.path])


def test_nothing_is_in_the_way_of_a_guest_without_snapshots(node: Node, ctx: Context, name: str, old: Volume) -> None:
    uuid = defined(node, ctx, name, old).uuid
    assert node.moves.obstacle(ctx, uuid) is None
