"""What every driver of ``ports.Volumes`` does."""

from __future__ import annotations

import random
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import libvirt
import pytest
from kiln.framework.context import Cancellation, Context
from kiln.framework.errors import Cancelled, Conflict, KilnError, NotFound, Refused
from kiln.framework.process import tag
from kiln.platforms.libvirt.node import LibvirtNode
from kiln.ports.marks import Holder, Mark
from kiln.ports.nodes import Node
from kiln.ports.volumes import Chunk, VolumeRef

from tests.contract.conftest import SYSTEM, local, real
from tests.fakes.memory import MemoryNode

MIB = 1 << 20
MARK = Mark("op-1", "creating", urn='urn:"<é>', role="disk", holder=Holder("m", "b", 1, 2, 3), info={"a\n": "ü"})


def test_a_pool_that_is_not_there_is_not_found(node: Node, ctx: Context, name: str) -> None:
    with pytest.raises(NotFound):
        node.volumes.pool(ctx, name)
    with pytest.raises(NotFound):
        node.volumes.list(ctx, name)
    with pytest.raises(NotFound):
        node.volumes.create(ctx, VolumeRef(name, "v"), format="raw", virtual_size=MIB)
    with pytest.raises(NotFound):
        node.volumes.get(ctx, VolumeRef(name, "v"))
    assert not node.volumes.remove_pool(ctx, name)


def test_a_pool_is_made_once(node: Node, ctx: Context, pool: str) -> None:
    assert not node.volumes.ensure_pool(ctx, pool, None)
    found = node.volumes.pool(ctx, pool)
    assert found.active
    assert found.available > 0


def test_of_many_who_need_a_pool_one_makes_it(node: Node, ctx: Context, name: str) -> None:
    made: list[bool] = []
    barrier = threading.Barrier(6)

    def ensure() -> None:
        barrier.wait()
        made.append(node.volumes.ensure_pool(ctx, name, None))

    threads = [threading.Thread(target=ensure) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    try:
        assert sorted(made) == [False] * 5 + [True]
    finally:
        assert node.volumes.remove_pool(ctx, name)


def test_a_stopped_pool_tells_nothing_of_its_volumes_and_is_started_on_demand(
    node: Node, ctx: Context, pool: str
) -> None:
    ref = VolumeRef(pool, "v")
    made = node.volumes.create(ctx, ref, format="raw", virtual_size=MIB)
    stop_pool(node, pool)
    assert not node.volumes.pool(ctx, pool).active
    for recent in (False, True):
        with pytest.raises(KilnError, match="not active") as caught:
            node.volumes.get(ctx, ref, recent=recent)
        assert not isinstance(caught.value, NotFound)
    with pytest.raises(NotFound):
        node.volumes.by_path(ctx, made.path)
    assert not node.volumes.ensure_pool(ctx, pool, None)
    assert node.volumes.get(ctx, ref) == made


def stop_pool(node: Node, pool: str) -> None:
    """What `virsh pool-destroy` does."""
    if isinstance(node, MemoryNode):
        node.volumes.named[pool].active = False
        return
    connection = libvirt.open(SYSTEM)
    try:
        connection.storagePoolLookupByName(pool).destroy()
    finally:
        connection.close()


def test_a_pool_that_holds_a_volume_is_not_removed(node: Node, ctx: Context, pool: str) -> None:
    ref = VolumeRef(pool, "v")
    node.volumes.create(ctx, ref, format="raw", virtual_size=MIB)
    assert not node.volumes.remove_pool(ctx, pool)
    node.volumes.delete(ctx, ref)
    node.volumes.write_mark(ctx, ref, MARK)
    assert not node.volumes.remove_pool(ctx, pool)


@pytest.mark.parametrize("format", ["raw", "qcow2"])
def test_a_new_volume_is_as_asked_for(node: Node, ctx: Context, pool: str, format: str) -> None:
    ref = VolumeRef(pool, "v")
    made = node.volumes.create(ctx, ref, format=format, virtual_size=3 * MIB)  # type: ignore[arg-type]
    assert made == node.volumes.get(ctx, ref)
    assert (made.ref, made.format, made.virtual_size, made.backing) == (ref, format, 3 * MIB, None)
    assert [volume.ref for volume in node.volumes.list(ctx, pool)] == [ref]
    assert node.volumes.by_path(ctx, made.path).ref == ref


def test_the_image_of_a_cd_is_raw(node: Node, ctx: Context, pool: str) -> None:
    assert node.volumes.create(ctx, VolumeRef(pool, "v"), format="iso", virtual_size=MIB).format == "raw"


def test_a_taken_name_is_a_conflict(node: Node, ctx: Context, pool: str) -> None:
    node.volumes.create(ctx, VolumeRef(pool, "v"), format="raw", virtual_size=MIB)
    with pytest.raises(Conflict):
        node.volumes.create(ctx, VolumeRef(pool, "v"), format="qcow2", virtual_size=MIB)


def test_deleting_twice_and_in_no_pool_succeeds(node: Node, ctx: Context, pool: str) -> None:
    ref = VolumeRef(pool, "v")
    node.volumes.create(ctx, ref, format="raw", virtual_size=MIB)
    node.volumes.delete(ctx, ref)
    node.volumes.delete(ctx, ref)
    node.volumes.delete_mark(ctx, ref)
    node.volumes.delete(ctx, VolumeRef("contract-none", "v"))
    node.volumes.delete_mark(ctx, VolumeRef("contract-none", "v"))
    with pytest.raises(NotFound):
        node.volumes.get(ctx, ref)


def test_a_chain_is_told_from_the_top_and_overlays_from_the_bottom(node: Node, ctx: Context, pool: str) -> None:
    refs = [VolumeRef(pool, name) for name in ("base", "middle", "top")]
    backing = None
    for ref in refs:
        backing = node.volumes.create(ctx, ref, format="qcow2", virtual_size=2 * MIB, backing=backing)
    other = VolumeRef(pool, "other")
    node.volumes.create(ctx, other, format="qcow2", virtual_size=MIB)
    assert [volume.ref for volume in node.volumes.chain(ctx, refs[2])] == refs[::-1]
    assert set(node.volumes.overlays(ctx, refs[0])) == set(refs[1:])
    assert node.volumes.overlays(ctx, refs[2]) == node.volumes.overlays(ctx, other) == ()


def test_an_overlay_is_seen_as_soon_as_it_is_there_and_no_longer(node: Node, ctx: Context, pool: str) -> None:
    base = node.volumes.create(ctx, VolumeRef(pool, "base"), format="qcow2", virtual_size=MIB)
    top = VolumeRef(pool, "top")
    for _ in range(2):
        assert node.volumes.overlays(ctx, base.ref) == ()
        node.volumes.create(ctx, top, format="qcow2", virtual_size=MIB, backing=base)
        assert node.volumes.overlays(ctx, base.ref) == (top,)
        node.volumes.delete(ctx, top)
    node.volumes.create(ctx, top, format="qcow2", virtual_size=MIB)
    assert node.volumes.overlays(ctx, base.ref) == ()


def test_a_volume_is_found_by_its_path_as_long_as_it_is_there(node: Node, ctx: Context, pool: str) -> None:
    made = node.volumes.create(ctx, VolumeRef(pool, "v"), format="qcow2", virtual_size=MIB)
    for recent in (False, True, True):
        assert node.volumes.by_path(ctx, made.path, recent=recent) == made
    node.volumes.grow(ctx, made.ref, 2 * MIB)
    assert node.volumes.by_path(ctx, made.path, recent=True).virtual_size == 2 * MIB
    node.volumes.delete(ctx, made.ref)
    with pytest.raises(NotFound):
        node.volumes.by_path(ctx, made.path, recent=True)


def test_a_chain_that_leaves_the_pools_is_refused(node: Node, ctx: Context, pool: str) -> None:
    base = node.volumes.create(ctx, VolumeRef(pool, "base"), format="raw", virtual_size=MIB)
    node.volumes.create(ctx, VolumeRef(pool, "top"), format="qcow2", virtual_size=MIB, backing=base)
    node.volumes.delete(ctx, base.ref)
    with pytest.raises((Refused, NotFound)):
        node.volumes.chain(ctx, VolumeRef(pool, "top"))


@pytest.mark.parametrize("format", ["raw", "qcow2"])
def test_a_volume_grows_and_never_shrinks(node: Node, ctx: Context, pool: str, format: str) -> None:
    ref = VolumeRef(pool, "v")
    node.volumes.create(ctx, ref, format=format, virtual_size=2 * MIB)  # type: ignore[arg-type]
    node.volumes.grow(ctx, ref, 5 * MIB)
    node.volumes.grow(ctx, ref, 5 * MIB)
    assert node.volumes.get(ctx, ref).virtual_size == 5 * MIB
    with pytest.raises(Refused):
        node.volumes.grow(ctx, ref, 4 * MIB)
    assert node.volumes.get(ctx, ref).virtual_size == 5 * MIB
    with pytest.raises(NotFound):
        node.volumes.grow(ctx, VolumeRef(pool, "none"), MIB)


@pytest.mark.parametrize("format", ["raw", "qcow2"])
def test_a_copy_owes_its_source_nothing_and_may_be_larger(node: Node, ctx: Context, pool: str, format: str) -> None:
    base = node.volumes.create(ctx, VolumeRef(pool, "base"), format="qcow2", virtual_size=2 * MIB)
    top = node.volumes.create(ctx, VolumeRef(pool, "top"), format="qcow2", virtual_size=2 * MIB, backing=base)
    made = node.volumes.copy(ctx, top, VolumeRef(pool, "copy"), format=format, virtual_size=6 * MIB)  # type: ignore[arg-type]
    assert (made.backing, made.virtual_size, made.format) == (None, 6 * MIB, format)
    assert node.volumes.overlays(ctx, base.ref) == (top.ref,)


def test_what_is_uploaded_is_read_back_with_its_holes(node: Node, ctx: Context, pool: str) -> None:
    ref, data = VolumeRef(pool, "v"), random.Random(1).randbytes(700_001)
    node.volumes.create(ctx, ref, format="raw", virtual_size=64 * MIB)
    hole = 50 * MIB
    rest = 64 * MIB - hole - 2 * len(data)
    node.volumes.upload(ctx, ref, iter([Chunk(data), Chunk(None, hole), Chunk(memoryview(data)), Chunk(None, rest)]))
    found = node.volumes.get(ctx, ref)
    assert found.virtual_size == 64 * MIB
    assert found.allocation < 16 * MIB
    assert node.volumes.download(ctx, ref, 0, len(data)) == data
    assert node.volumes.download(ctx, ref, len(data) + hole - 5, len(data) + 10) == bytes(5) + data + bytes(5)


def test_nothing_of_an_empty_volume_shows_through_a_hole_at_the_front(node: Node, ctx: Context, pool: str) -> None:
    ref = VolumeRef(pool, "v")
    node.volumes.create(ctx, ref, format="qcow2", virtual_size=8 * MIB)
    node.volumes.upload(ctx, ref, iter([Chunk(b"QFI\xfb"), Chunk(None, 2 * MIB), Chunk(b"end")]))
    assert node.volumes.download(ctx, ref, 0, 1000) == b"QFI\xfb".ljust(1000, b"\0")
    assert node.volumes.download(ctx, ref, 2 * MIB + 4, 3) == b"end"


def test_an_upload_that_fails_or_is_cancelled_ends_with_that_error(node: Node, ctx: Context, pool: str) -> None:
    ref, cancellation = VolumeRef(pool, "v"), Cancellation()
    node.volumes.create(ctx, ref, format="raw", virtual_size=4 * MIB)

    def broken() -> Chunk:
        raise KilnError("the source broke")

    def chunks(last: Callable[[], Chunk]):  # type: ignore[no-untyped-def]  # noqa: ANN202
        yield Chunk(bytes(MIB))
        yield last()

    with pytest.raises(KilnError, match="the source broke"):
        node.volumes.upload(ctx, ref, chunks(broken))

    def cancel() -> Chunk:
        cancellation.cancel()
        return Chunk(bytes(MIB))

    with pytest.raises(Cancelled):
        node.volumes.upload(Context(cancellation=cancellation), ref, chunks(cancel))
    assert node.volumes.get(ctx, ref).virtual_size == 4 * MIB


def test_a_volume_exists_while_it_is_there_and_its_mark_is_no_volume(node: Node, ctx: Context, pool: str) -> None:
    ref = VolumeRef(pool, "v")
    node.volumes.write_mark(ctx, ref, MARK)
    assert not node.volumes.exists(ctx, ref)
    node.volumes.create(ctx, ref, format="raw", virtual_size=MIB)
    assert node.volumes.exists(ctx, ref)
    node.volumes.delete(ctx, ref)
    assert not node.volumes.exists(ctx, ref)


def test_a_mark_is_read_back_replaced_and_deleted(node: Node, ctx: Context, pool: str) -> None:
    ref = VolumeRef(pool, "v")
    assert node.volumes.read_mark(ctx, ref) is None
    node.volumes.write_mark(ctx, ref, MARK)
    assert node.volumes.read_mark(ctx, ref) == MARK
    large = Mark("op-1", "done", info={"key": "x" * 10_000})
    node.volumes.write_mark(ctx, ref, large)
    assert node.volumes.read_mark(ctx, ref) == large
    node.volumes.write_mark(ctx, ref, MARK)
    assert node.volumes.read_mark(ctx, ref) == MARK
    assert node.volumes.marks(ctx, pool) == [(ref, MARK)]
    node.volumes.delete_mark(ctx, ref)
    assert node.volumes.read_mark(ctx, ref) is None


def test_marks_are_in_no_listing(node: Node, ctx: Context, pool: str) -> None:
    node.volumes.write_mark(ctx, VolumeRef(pool, "v"), MARK)
    assert list(node.volumes.list(ctx, pool)) == []


def test_of_many_who_claim_a_name_one_wins(node: Node, ctx: Context, pool: str) -> None:
    ref = VolumeRef(pool, "v")
    won: list[str] = []
    barrier = threading.Barrier(5)

    def claim(operation: str) -> None:
        barrier.wait()
        try:
            node.volumes.write_mark(ctx, ref, Mark(operation, "creating"), new=True)
            won.append(operation)
        except Conflict:
            return

    threads = [threading.Thread(target=claim, args=(f"op-{index}",)) for index in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    mark = node.volumes.read_mark(ctx, ref)
    assert mark is not None
    assert won == [mark.operation]


@local
@pytest.mark.parametrize("format", ["raw", "qcow2"])
def test_a_finished_file_takes_its_final_name_whole(node: Node, ctx: Context, pool: str, format: str) -> None:
    directory = node.volumes.local_directory(ctx, pool)
    assert directory is not None
    temporary = directory / ".kiln-upload"
    source = node.volumes.create(ctx, VolumeRef(pool, "source"), format=format, virtual_size=3 * MIB)  # type: ignore[arg-type]
    node.volumes.upload(ctx, source.ref, iter([Chunk(b"content" * 1000)]))
    temporary.write_bytes(node.volumes.download(ctx, source.ref, 0, 7000))
    ref = VolumeRef(pool, "v")
    made = node.volumes.adopt(ctx, ref, format=format, virtual_size=3 * MIB, temporary=temporary)  # type: ignore[arg-type]
    assert (made.ref, made.format) == (ref, format)
    assert not temporary.exists()
    assert node.volumes.download(ctx, ref, 0, 7000) == b"content" * 1000
    assert ref in [volume.ref for volume in node.volumes.list(ctx, pool)]
    temporary.write_bytes(b"other")
    with pytest.raises(Conflict):
        node.volumes.adopt(ctx, ref, format="raw", virtual_size=MIB, temporary=temporary)
    assert node.volumes.download(ctx, ref, 0, 7) == b"content"
    temporary.unlink()


@real
def test_what_was_removed_behind_the_node_is_not_found(node: Node, ctx: Context, pool: str) -> None:
    made = node.volumes.create(ctx, VolumeRef(pool, "v"), format="raw", virtual_size=MIB)
    Path(made.path).unlink()
    with pytest.raises(NotFound):
        node.volumes.get(ctx, made.ref)
    node.volumes.delete(ctx, made.ref)


@real
def test_volumes_and_marks_are_readable_by_their_owner_alone(node: Node, ctx: Context, pool: str) -> None:
    made = node.volumes.create(ctx, VolumeRef(pool, "v"), format="qcow2", virtual_size=MIB)
    node.volumes.write_mark(ctx, made.ref, MARK)
    directory = Path(made.path).parent
    assert {file.name: oct(file.stat().st_mode & 0o777) for file in directory.iterdir()} == {
        "v": "0o600",
        ".v.kiln": "0o600",
        ".kiln": "0o600",
    }
    assert directory.stat().st_mode & 0o777 == 0o711


@real
def test_a_directory_that_was_there_keeps_its_mode_and_stays(
    node: Node, ctx: Context, name: str, tmp_path: Path
) -> None:
    directory = tmp_path / "theirs"
    directory.mkdir(mode=0o755)
    assert node.volumes.ensure_pool(ctx, name, str(directory))
    assert directory.stat().st_mode & 0o777 == 0o755
    assert node.volumes.remove_pool(ctx, name)
    assert list(directory.iterdir()) == []


@real
def test_a_foreign_pool_is_used_and_never_removed(node: Node, ctx: Context, pool: str) -> None:
    directory = Path(node.volumes.pool(ctx, pool).path)
    mark = (directory / ".kiln").read_bytes()
    (directory / ".kiln").unlink()
    try:
        assert not node.volumes.ensure_pool(ctx, pool, None)
        assert not node.volumes.remove_pool(ctx, pool)
        assert node.volumes.pool(ctx, pool).active
    finally:
        (directory / ".kiln").write_bytes(mark)


@pytest.mark.parametrize("node", ["qemu with files"], indirect=True)
def test_a_file_the_node_has_not_seen_yet_is_found(node: Node, ctx: Context, pool: str) -> None:
    directory = node.volumes.local_directory(ctx, pool)
    assert directory is not None
    (directory / "v").write_bytes(bytes(MIB))
    assert node.volumes.get(ctx, VolumeRef(pool, "v")).virtual_size == MIB


@real
def test_a_full_pool_is_told_with_what_to_do(node: Node, ctx: Context, pool: str) -> None:
    available = node.volumes.pool(ctx, pool).available
    ref = VolumeRef(pool, "v")
    with pytest.raises(KilnError) as caught:
        node.volumes.create(ctx, ref, format="raw", virtual_size=1 << 62)
    assert caught.value.action
    assert node.volumes.pool(ctx, pool).available > available // 2


@pytest.fixture
def small_pool(node: Node, ctx: Context, name: str, tmp_path: Path) -> Iterator[str]:
    """A pool on a file system of 8 MiB."""
    directory = tmp_path / "small"
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=0711", "tmpfs", directory], check=True)
    try:
        assert node.volumes.ensure_pool(ctx, name, str(directory))
        yield name
        for volume in node.volumes.list(ctx, name):
            node.volumes.delete(ctx, volume.ref)
        assert node.volumes.remove_pool(ctx, name)
        assert list(directory.iterdir()) == []
    finally:
        subprocess.run(["umount", directory], check=True)


@real
def test_no_space_is_always_told(node: Node, ctx: Context, small_pool: str) -> None:
    """Also for content so small that libvirt itself says it was stored."""
    ref = VolumeRef(small_pool, "v")
    node.volumes.create(ctx, ref, format="raw", virtual_size=32 << 20)
    with pytest.raises(KilnError) as caught:
        node.volumes.upload(ctx, ref, (Chunk(b"x" * MIB) for _ in range(32)))
    assert "free space" in str(caught.value)
    for index in range(4):
        with pytest.raises(KilnError) as caught:
            node.volumes.write_mark(ctx, VolumeRef(small_pool, f"m{index}"), MARK, new=True)
        assert "free space" in str(caught.value)
    assert node.volumes.marks(ctx, small_pool) == []


def test_all_pools_are_told_whether_they_run_or_not(node: Node, ctx: Context, pool: str) -> None:
    assert pool in [each.name for each in node.volumes.pools(ctx) if each.active]
    stop(node, ctx, pool)
    try:
        (found,) = [each for each in node.volumes.pools(ctx) if each.name == pool]
        assert not found.active
    finally:
        start(node, ctx, pool)


def handle(node: Node, ctx: Context, pool: str) -> Any:
    """The ``virStoragePool``."""
    assert isinstance(node, LibvirtNode)
    return node._link.open(ctx).handle.storagePoolLookupByName(pool)


def stop(node: Node, ctx: Context, pool: str) -> None:
    """Stop a pool behind Kiln's back."""
    if isinstance(node, MemoryNode):
        node.volumes.named[pool].active = False
    else:
        handle(node, ctx, pool).destroy()


def start(node: Node, ctx: Context, pool: str) -> None:
    """Start it again."""
    if isinstance(node, MemoryNode):
        node.volumes.named[pool].active = True
    else:
        handle(node, ctx, pool).create()


def test_temporary_volumes_are_in_no_listing_but_their_own(node: Node, ctx: Context, pool: str) -> None:
    begun = time.time()
    refs = [VolumeRef(pool, f".kiln-{kind}-0f") for kind in ("doctor", "probe")]
    for ref in refs:
        node.volumes.create(ctx, ref, format="raw", virtual_size=MIB)
    marked = VolumeRef(pool, "kiln-web")
    node.volumes.write_mark(ctx, marked, MARK)
    assert [ref for ref, _ in node.volumes.marks(ctx, pool)] == [marked]
    assert node.volumes.list(ctx, pool) == []
    found = {each.ref: each for each in node.volumes.temporaries(ctx, pool)}
    assert set(found) == set(refs)
    assert [found[ref].path for ref in refs] == [node.volumes.get(ctx, ref).path for ref in refs]
    if not isinstance(node, MemoryNode):
        assert all(abs(each.changed - begun) < 60 for each in found.values())
    for ref in refs:
        node.volumes.delete(ctx, ref)
    assert node.volumes.temporaries(ctx, pool) == []


@local
def test_a_temporary_file_that_the_node_has_not_seen_is_told_and_deleted(node: Node, ctx: Context, pool: str) -> None:
    directory = node.volumes.local_directory(ctx, pool)
    assert directory is not None
    (half := directory / ".kiln-0123456789abcdef-01234567").write_bytes(b"half")
    (found,) = node.volumes.temporaries(ctx, pool)
    assert found.changed == half.stat().st_mtime
    node.volumes.delete(ctx, found.ref)
    assert not half.exists()


@real
def test_a_pool_for_a_moment_goes_with_its_directory(node: Node, libvirt_node: LibvirtNode, ctx: Context) -> None:
    name = f"kiln-probe-{tag()}"
    directory = Path("/var/lib/libvirt/images") / name
    document = f"<pool type='dir'><name>{name}</name><target><path>{directory}</path></target></pool>"
    libvirt_node._link.open(ctx).handle.storagePoolCreateXML(document, 1)
    ref = VolumeRef(name, f".kiln-probe-{tag()}")
    node.volumes.create(ctx, ref, format="raw", virtual_size=MIB)
    node.volumes.delete(ctx, ref)
    node.volumes.discard_pool(ctx, name)
    assert not directory.exists()
    with pytest.raises(NotFound):
        node.volumes.pool(ctx, name)
    node.volumes.discard_pool(ctx, name)


def test_a_recent_reading_shows_every_change_of_a_volume_made_through_the_same_node(
    node: Node, ctx: Context, pool: str
) -> None:
    ref = VolumeRef(pool, "v")
    made = node.volumes.create(ctx, ref, format="qcow2", virtual_size=MIB)
    assert node.volumes.get(ctx, ref, recent=True) == made
    node.volumes.grow(ctx, ref, 2 * MIB)
    assert node.volumes.get(ctx, ref, recent=True).virtual_size == 2 * MIB
    later = node.volumes.create(ctx, VolumeRef(pool, "later"), format="qcow2", virtual_size=MIB)
    assert node.volumes.get(ctx, later.ref, recent=True) == later
    node.volumes.delete(ctx, ref)
    with pytest.raises(NotFound):
        node.volumes.get(ctx, ref, recent=True)


@real
def test_a_volume_that_cannot_be_read_is_in_nobodys_way(node: Node, ctx: Context, pool: str) -> None:
    good, lost = (
        node.volumes.create(ctx, VolumeRef(pool, name), format="qcow2", virtual_size=MIB) for name in ("good", "lost")
    )
    Path(lost.path).unlink()
    assert node.volumes.get(ctx, good.ref, recent=True) == good
    with pytest.raises(NotFound):
        node.volumes.get(ctx, lost.ref, recent=True)


@real
def test_a_volume_grown_behind_the_node_has_its_new_size(node: Node, ctx: Context, pool: str) -> None:
    made = node.volumes.create(ctx, VolumeRef(pool, "v"), format="qcow2", virtual_size=MIB)
    subprocess.run(["qemu-img", "resize", "-q", made.path, str(2 * MIB)], check=True)
    assert node.volumes.get(ctx, made.ref, recent=True).virtual_size == 2 * MIB
