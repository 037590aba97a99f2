"""Nodes that are not as they should be: gone, silent, full, forbidden; nothing is taken for deleted."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from kiln.framework.errors import InputError, KilnError, Unreachable

from tests.e2e.conftest import TestPool
from tests.e2e.direct import Direct, plain
from tests.e2e.inventory import URI, Inventory
from tests.e2e.stacks import PLUGIN_DIRECTORY
from tests.e2e.test_bad_input import raw, refusal

MIB = 1 << 20


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port of this machine at which a connection is taken and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def stopped_daemon(tmp_path: Path) -> str:
    """The URI of a libvirtd that does not run."""
    return f"qemu+unix:///system?socket={tmp_path}/libvirt-sock"


def test_a_libvirtd_that_does_not_run_is_told_with_what_to_do(prefix: str, stopped_daemon: str) -> None:
    direct = Direct(stopped_daemon, prefix)
    try:
        path, text = refusal(lambda: direct.make("Disk", f"{prefix}-d", size="1MiB"))
        assert path == "node"
        path, _ = refusal(lambda: direct.make("Node", f"{prefix}-n"))
        assert path == "uri"
    finally:
        direct.close()
    assert stopped_daemon in text
    assert "libvirtd" in text


def test_a_node_that_does_not_answer_is_given_up_by_the_connect_timeout(prefix: str, silent_port: int) -> None:
    """The connection is taken and nothing is ever said on it, so that only the time-out of 15 s can end this."""
    direct = Direct(f"qemu+tcp://127.0.0.1:{silent_port}/system", prefix, insecure=True)
    try:
        with pytest.raises(Unreachable) as caught:
            direct.make("Disk", f"{prefix}-d", size="1MiB")
    finally:
        direct.close()
    assert f"127.0.0.1:{silent_port}" in str(caught.value)
    assert "does not answer" in str(caught.value)
    assert caught.value.action


def test_a_daemon_that_may_not_be_talked_to_is_told(prefix: str, tmp_path: Path) -> None:
    """The capabilities by which root gets past permissions are dropped (capabilities(7))."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "sock"))
        listener.listen()
        (tmp_path / "sock").chmod(0)
        command = [str(PLUGIN_DIRECTORY / "kiln"), "gc", f"qemu+unix:///system?socket={tmp_path}/sock"]
        if os.geteuid() == 0:
            command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 2
    assert "Permission denied" in answer.stderr
    assert "libvirt" in answer.stderr.partition("Next: ")[2]


def test_unreachable_is_not_gone(direct: Direct, prefix: str, stopped_daemon: str) -> None:
    disk = direct.make("Disk", f"{prefix}-there", size="1MiB")
    server = direct.make("Server", f"{prefix}-there", disks=[disk.id], networks=[], powerState="stopped")
    away = Direct(stopped_daemon, prefix)
    try:
        for kind, made in (("Disk", disk), ("Server", server)):
            elsewhere = type(made)(made.id, {**made.state, "node": stopped_daemon})
            with pytest.raises(Unreachable):
                away.read(kind, elsewhere)
            with pytest.raises(Unreachable):
                away.remove(kind, elsewhere)
    finally:
        away.close()
    assert direct.read("Disk", disk) is not None
    direct.remove("Server", server)
    direct.remove("Disk", disk)
    assert direct.read("Disk", disk) is None
    assert direct.read("Server", server) is None


@pytest.mark.parametrize(
    ("uri", "words"), [("qemu+tcp://127.0.0.1/system", "allowInsecureTransport"), ("web", "qemu:///system")]
)
def test_what_cannot_be_the_uri_of_a_node_is_refused_at_the_property_that_names_it(
    direct: Direct, prefix: str, tmp_path: Path, uri: str, words: str
) -> None:
    for kind, inputs in needed(tmp_path).items():
        path, text = refusal(partial(direct.check, kind, "it", {**inputs, "node": uri}))
        assert (path, words in text) == ("node", True)
    path, text = refusal(lambda: direct.check("Node", "it", {"uri": uri}))
    assert (path, words in text) == ("uri", True)
    path, text = refusal(lambda: Direct(uri, prefix))
    assert (path, words in text) == ("uri", True)


@pytest.mark.parametrize("kind", ["Disk", "Image", "Server"])
def test_a_pool_that_nobody_promised_is_not_made(
    direct: Direct, prefix: str, inventory: Inventory, tmp_path: Path, kind: str
) -> None:
    name = f"{prefix}-none"
    path, text = refusal(lambda: make_in(direct, kind, prefix, name, tmp_path))
    assert path == "pool"
    assert name in text
    assert name not in inventory.pools()
    assert direct.warnings == []


def make_in(direct: Direct, kind: str, prefix: str, pool: str, directory: Path) -> object:
    """Make something that needs a volume in ``pool``."""
    return direct.make(kind, f"{prefix}-d", pool=pool, **needed(directory)[kind])


def needed(directory: Path) -> dict[str, dict[str, Any]]:
    """The least that each kind must be told."""
    return {"Image": {"source": str(raw(directory))}, "Disk": {"size": "1MiB"}, "Server": {"disks": []}}


@pytest.fixture
def other_pool(prefix: str, inventory: Inventory) -> Iterator[Any]:
    """A running pool that is not Kiln's, whose directory a test may take away."""
    directory = Path("/var/lib/libvirt/images") / f"{prefix}-other"
    directory.mkdir(mode=0o711)
    document = f"<pool type='dir'><name>{prefix}-other</name><target><path>{directory}</path></target></pool>"
    defined = inventory.connection.storagePoolDefineXML(document)
    defined.create()
    yield defined
    if defined.isActive():
        defined.destroy()
    defined.undefine()
    if directory.exists():
        directory.rmdir()


@pytest.mark.parametrize("kind", ["Disk", "Image", "Server"])
def test_a_pool_that_is_stopped_is_told_once_with_the_way_to_start_it(
    direct: Direct, prefix: str, other_pool: Any, tmp_path: Path, kind: str
) -> None:
    other_pool.destroy()
    path, text = refusal(lambda: make_in(direct, kind, prefix, other_pool.name(), tmp_path))
    assert path == "pool"
    assert f"pool-start {other_pool.name()}" in text
    assert direct.warnings == []


@pytest.mark.parametrize("kind", ["Disk", "Image", "Server"])
def test_a_pool_whose_directory_vanished_is_told_once(
    direct: Direct, prefix: str, other_pool: Any, tmp_path: Path, kind: str
) -> None:
    directory = Path("/var/lib/libvirt/images") / f"{prefix}-other"
    directory.rmdir()
    path, text = refusal(lambda: make_in(direct, kind, prefix, other_pool.name(), tmp_path))
    assert path == "pool"
    assert str(directory) in text
    assert direct.warnings == []


def test_the_directory_of_another_pool_is_told_with_its_name(
    prefix: str, other_pool: Any, inventory: Inventory
) -> None:
    """In a run of its own, since the run remembers what a Node states."""
    direct = Direct(URI, prefix)
    wanted = {"name": f"{prefix}-second", "path": f"/var/lib/libvirt/images/{prefix}-other"}
    try:
        path, text = refusal(lambda: direct.make("Node", f"{prefix}-n", storagePool=wanted))
    finally:
        direct.close()
    assert path == "storagePool.path"
    assert f"by the name '{other_pool.name()}'" in text
    assert f"{prefix}-second" not in inventory.pools()


def test_a_pool_whose_directory_is_gone_is_told(direct: Direct, prefix: str, inventory: Inventory) -> None:
    missing = f"/var/lib/libvirt/images/{prefix}-gone"
    document = f"<pool type='dir'><name>{prefix}-gone</name><target><path>{missing}</path></target></pool>"
    defined = inventory.connection.storagePoolDefineXML(document)
    try:
        path, text = refusal(lambda: direct.make("Disk", f"{prefix}-d", pool=f"{prefix}-gone", size="1MiB"))
        assert path == "pool"
    finally:
        if defined.isActive():
            defined.destroy()
        defined.undefine()
    assert f"{prefix}-gone" in text
    assert not Path(missing).exists()


@pytest.fixture
def small_pool(prefix: str, inventory: Inventory) -> Iterator[str]:
    """A pool on a file system of 4 MiB."""
    name = f"{prefix}-small"
    directory = Path("/var/lib/libvirt/images") / name
    directory.mkdir(mode=0o711)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=0711", "none", str(directory)], check=True)
    document = f"<pool type='dir'><name>{name}</name><target><path>{directory}</path></target></pool>"
    defined = inventory.connection.storagePoolDefineXML(document)
    defined.create()
    yield name
    left = [file.name for file in directory.iterdir()]
    defined.destroy()
    defined.undefine()
    subprocess.run(["umount", str(directory)], check=True)
    directory.rmdir()
    assert left == []


def test_out_of_space_is_told_and_leaves_nothing(direct: Direct, prefix: str, small_pool: str, tmp_path: Path) -> None:
    big = tmp_path / "big.raw"
    big.write_bytes(os.urandom(8 * MIB))
    _, text = refusal(lambda: direct.make("Image", f"{prefix}-big", pool=small_pool, source=str(big)))
    assert "no room" in text
    assert small_pool in text
    fits = direct.make("Image", f"{prefix}-big", pool=small_pool, source=str(raw(tmp_path)))
    assert Path(plain(fits)["path"]).stat().st_size == MIB
    direct.remove("Image", fits)


def test_a_pool_that_cannot_be_written_to_is_told(
    direct: Direct, prefix: str, inventory: Inventory, tmp_path: Path
) -> None:
    """A read-only file system, which refuses root as well."""
    name = f"{prefix}-ro"
    directory = Path("/var/lib/libvirt/images") / name
    directory.mkdir(mode=0o711)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,ro,mode=0711", "none", str(directory)], check=True)
    document = f"<pool type='dir'><name>{name}</name><target><path>{directory}</path></target></pool>"
    defined = inventory.connection.storagePoolDefineXML(document)
    defined.create()
    try:
        source = str(raw(tmp_path))
        _, of_image = refusal(lambda: direct.make("Image", f"{prefix}-d", pool=name, source=source))
        _, of_disk = refusal(lambda: direct.make("Disk", f"{prefix}-d", pool=name, size="1MiB"))
        assert name in of_image
        assert name in of_disk
    finally:
        defined.destroy()
        defined.undefine()
        subprocess.run(["umount", str(directory)], check=True)
        directory.rmdir()


def test_a_foreign_volume_of_our_name_is_never_touched(direct: Direct, prefix: str, pool: TestPool) -> None:
    foreign = pool.directory / f"{prefix}-mine"
    foreign.write_bytes(b"not Kiln's".ljust(MIB, b"\0"))
    try:
        _, text = refusal(lambda: direct.make("Disk", f"{prefix}-mine", size="1MiB"))
        assert "Kiln did not make it" in text
        assert foreign.read_bytes().startswith(b"not Kiln's")
        assert pool.files() == {foreign.name}
    finally:
        foreign.unlink()


def test_a_foreign_guest_of_our_name_is_never_touched(
    direct: Direct, prefix: str, inventory: Inventory, pool: TestPool
) -> None:
    name = f"{prefix}-theirs"
    document = f"<domain type='qemu'><name>{name}</name><memory>65536</memory><os><type>hvm</type></os></domain>"
    domain = inventory.connection.defineXML(document)
    uuid = domain.UUIDString()
    try:
        _, text = refusal(lambda: direct.make("Server", name, disks=[], powerState="stopped"))
        assert "Kiln did not make it" in text
        assert inventory.uuid(name) == uuid
        assert pool.files() == set()
    finally:
        domain.undefine()


def test_a_guest_that_took_our_name_under_another_uuid_is_not_ours(
    direct: Direct, prefix: str, inventory: Inventory
) -> None:
    name = f"{prefix}-taken"
    ours = direct.make("Server", name, disks=[], networks=[], powerState="stopped")
    inventory.domain(name).undefine()
    document = f"<domain type='qemu'><name>{name}</name><memory>65536</memory><os><type>hvm</type></os></domain>"
    domain = inventory.connection.defineXML(document)
    try:
        assert direct.read("Server", ours) is None
        direct.remove("Server", ours)
        assert inventory.uuid(name) == domain.UUIDString() != ours.id
        with pytest.raises(KilnError, match="Kiln did not make it"):
            direct.make("Server", name, disks=[], networks=[], powerState="stopped")
    finally:
        domain.undefine()


def test_kvm_that_does_not_work_is_refused_when_it_is_demanded(direct: Direct, prefix: str) -> None:
    probed = direct.make("Node", f"{prefix}-probed")
    works = plain(probed)["effectiveAccelerator"] == "kvm"
    assert plain(probed)["acceleratorReason"]
    with nullcontext() if works else pytest.raises(InputError, match=r"(?i)kvm"):
        direct.remove("Node", direct.make("Node", f"{prefix}-demanded", accelerator="kvm"))
    direct.remove("Node", probed)
