"""What every driver of ``ports.Volumes`` does with storage pools."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kiln.framework.context import Context
from kiln.framework.errors import KilnError, NotFound
from kiln.framework.process import tag
from kiln.platforms.libvirt.node import LibvirtNode
from kiln.ports.marks import Mark
from kiln.ports.nodes import Node
from kiln.ports.volumes import Chunk, VolumeRef

from tests.contract.conftest import real
from tests.fakes.memory import MemoryNode

MIB = 1 << 20
MARK = Mark("op-1", "creating")


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
    stop(node, ctx, pool)
    assert not node.volumes.pool(ctx, pool).active
    for recent in (False, True):
        with pytest.raises(KilnError, match="not active") as caught:
            node.volumes.get(ctx, ref, recent=recent)
        assert not isinstance(caught.value, NotFound)
    with pytest.raises(NotFound):
        node.volumes.by_path(ctx, made.path)
    assert not node.volumes.ensure_pool(ctx, pool, None)
    assert node.volumes.get(ctx, ref) == made


def test_a_pool_that_holds_a_volume_is_not_removed(node: Node, ctx: Context, pool: str) -> None:
    ref = VolumeRef(pool, "v")
    node.volumes.create(ctx, ref, format="raw", virtual_size=MIB)
    assert not node.volumes.remove_pool(ctx, pool)
    node.volumes.delete(ctx, ref)
    node.volumes.write_mark(ctx, ref, MARK)
    assert not node.volumes.remove_pool(ctx, pool)


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
