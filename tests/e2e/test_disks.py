"""Disks and images on the node: what is made is what was asked for, and nothing is lost."""

from __future__ import annotations

import gzip
import hashlib
import os
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from kiln.framework.errors import Conflict, InputErrors, Refused
from kiln.framework.operations import Outcome

from tests.e2e.conftest import TestPool
from tests.e2e.direct import Direct, plain
from tests.e2e.inventory import URI, Inventory, image_info
from tests.e2e.webserver import serving
from tools.guests import GuestImage

MIB = 1 << 20


@pytest.fixture
def made(direct: Direct) -> Iterator[Callable[..., Outcome]]:
    """Make an object that is removed after the test, newest first."""
    objects: list[tuple[str, Outcome]] = []

    def make(kind: str, name: str, **inputs: Any) -> Outcome:
        outcome = direct.make(kind, name, **inputs)
        objects.append((kind, outcome))
        return outcome

    yield make
    for kind, outcome in reversed(objects):
        direct.remove(kind, outcome)


@pytest.fixture
def qcow2(tiny_guest: GuestImage, tmp_path: Path) -> Path:
    file = tmp_path / "disk.qcow2"
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", str(tiny_guest.disk), str(file)], check=True)
    return file


def content(file: Path) -> bytes:
    """What a guest would read from a disk."""
    if image_info(file)["format"] == "raw":
        return file.read_bytes()
    raw = file.with_name(f".{file.name}.raw-for-test")
    try:
        command = ["qemu-img", "convert", "-U", "-O", "raw", str(file), str(raw)]
        subprocess.run(command, check=True, capture_output=True)
        return raw.read_bytes()
    finally:
        raw.unlink(missing_ok=True)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.requirement("FX-30", "FX-44")
def test_a_blank_disk_is_sparse_and_of_the_size_asked_for(made: Callable[..., Outcome], prefix: str) -> None:
    for format in ("qcow2", "raw"):
        state = plain(made("Disk", f"{prefix}-{format}", size="20GiB", format=format))
        info = image_info(Path(state["path"]))
        assert (info["format"], info["virtual-size"]) == (format, 20 << 30)
        assert info["actual-size"] < MIB
        assert state["virtualSize"] == "20GiB"
        assert os.stat(state["path"]).st_mode & 0o007 == 0


@pytest.mark.requirement("FX-01", "FX-40")
@pytest.mark.parametrize("kind", ["Image", "Disk"])
@pytest.mark.parametrize("source", ["raw", "qcow2"])
def test_a_file_becomes_an_image_or_a_disk_byte_for_byte(
    made: Callable[..., Outcome], prefix: str, tiny_guest: GuestImage, qcow2: Path, kind: str, source: str
) -> None:
    file = tiny_guest.disk if source == "raw" else qcow2
    state = plain(made(kind, f"{prefix}-copy", source=str(file)))
    stored = Path(state["path"])
    assert stored.read_bytes() == file.read_bytes()
    assert image_info(stored)["format"] == source
    assert state["kind"] == "disk"
    if kind == "Image" and source == "qcow2":
        assert state["digest"] == f"sha256:{digest(file.read_bytes())}"


@pytest.mark.requirement("FX-29")
def test_holes_stay_holes(made: Callable[..., Outcome], prefix: str, tmp_path: Path) -> None:
    file = tmp_path / "sparse.raw"
    with file.open("wb") as opened:
        opened.truncate(1 << 30)
        opened.seek(512 * MIB)
        opened.write(b"data" * 1024)
    state = plain(made("Image", f"{prefix}-sparse", source=str(file)))
    stored = os.stat(state["path"])
    assert stored.st_size == 1 << 30
    assert stored.st_blocks * 512 < MIB


@pytest.mark.requirement("FX-45", "FX-60")
def test_compressed_content_is_expanded_on_the_way(
    made: Callable[..., Outcome], prefix: str, tiny_guest: GuestImage, tmp_path: Path
) -> None:
    file = tmp_path / "disk.img.gz"
    file.write_bytes(gzip.compress(tiny_guest.disk.read_bytes()))
    packed = digest(file.read_bytes())
    state = plain(made("Disk", f"{prefix}-gz", source=str(file)))
    assert Path(state["path"]).read_bytes() == tiny_guest.disk.read_bytes()
    image = plain(made("Image", f"{prefix}-gz-image", source=str(file), checksum=f"sha256:{packed}"))
    assert Path(image["path"]).read_bytes() == tiny_guest.disk.read_bytes()


@pytest.mark.requirement("FX-43")
@pytest.mark.parametrize("kind", ["Image", "Disk"])
def test_images_and_disks_are_fetched_from_a_url_alike(
    made: Callable[..., Outcome], prefix: str, tiny_guest: GuestImage, kind: str
) -> None:
    data = tiny_guest.disk.read_bytes()
    for packed in (data, gzip.compress(data)):
        with serving(packed) as url:
            state = plain(made(kind, f"{prefix}-url-{len(packed)}", source=url))
        assert Path(state["path"]).read_bytes() == data


@pytest.mark.requirement("FX-21", "FX-22", "FX-23", "FX-47")
def test_a_disk_goes_to_another_server_and_comes_back_as_the_first_disk(
    made: Callable[..., Outcome], direct: Direct, prefix: str, tiny_guest: GuestImage, inventory: Inventory
) -> None:
    """The servers are stopped all the while; nothing of the disk is lost on the way."""
    disk = made("Disk", f"{prefix}-moved", source=str(tiny_guest.disk))
    other = made("Disk", f"{prefix}-stays", size="1MiB")
    stopped: dict[str, Any] = {"powerState": "stopped", "networks": []}
    home = made("Server", f"{prefix}-home", disks=[disk.id, other.id], **stopped)
    utility = made("Server", f"{prefix}-utility", disks=[], **stopped)

    def order(server: str) -> dict[str, str]:
        disks = inventory.disks(f"{prefix}-{server}")
        return {target: disk["file"].rpartition("/")[2] for target, disk in disks.items()}

    away = direct.change("Server", home, disks=[other.id])
    visited = direct.change("Server", utility, disks=[disk.id])
    assert (order("home"), order("utility")) == ({"vdb": f"{prefix}-stays"}, {"vda": f"{prefix}-moved"})
    direct.change("Server", visited, disks=[])
    back = direct.change("Server", away, disks=[disk.id, other.id])
    assert order("home") == {"vda": f"{prefix}-moved", "vdb": f"{prefix}-stays"}
    assert order("utility") == {}
    assert plain(back)["bootOrder"] == ["vda", "vdb"]
    assert Path(plain(disk)["path"]).read_bytes() == tiny_guest.disk.read_bytes()


@pytest.mark.requirement("FX-02", "FX-42")
def test_a_linked_clone_is_an_overlay_and_a_full_one_owes_nothing(
    made: Callable[..., Outcome], prefix: str, tiny_guest: GuestImage, qcow2: Path
) -> None:
    for source in (tiny_guest.disk, qcow2):
        image = made("Image", f"{prefix}-{source.suffix[1:]}", source=str(source))
        for clone, format in (("auto", None), ("linked", None), ("full", "qcow2"), ("full", "raw")):
            name = f"{prefix}-{source.suffix[1:]}-{clone}-{format}"
            state = plain(made("Disk", name, image=image.id, clone=clone, format=format, size="4MiB"))
            info = image_info(Path(state["path"]))
            method = "full" if clone == "full" else "linked"
            assert state["cloneMethod"].startswith(f"{method}: ")
            assert info.get("full-backing-filename") == (plain(image)["path"] if method == "linked" else None)
            assert state.get("backing") == info.get("full-backing-filename")
            assert info["format"] == (format or "qcow2")
            assert info["virtual-size"] == 4 * MIB
            data = content(Path(state["path"]))
            assert data[:MIB] == tiny_guest.disk.read_bytes()
            assert not any(data[MIB:])


@pytest.mark.requirement("FX-03")
def test_an_image_owes_nothing_to_the_disk_it_came_from(
    made: Callable[..., Outcome], direct: Direct, prefix: str, tiny_guest: GuestImage
) -> None:
    disk = direct.make("Disk", f"{prefix}-origin", source=str(tiny_guest.disk))
    image = plain(made("Image", f"{prefix}-of-disk", source=plain(disk)["path"]))
    direct.remove("Disk", disk)
    info = image_info(Path(image["path"]))
    assert "backing-filename" not in info
    assert Path(image["path"]).read_bytes() == tiny_guest.disk.read_bytes()


def test_an_image_with_overlays_is_not_deleted_and_they_are_named(
    made: Callable[..., Outcome], direct: Direct, prefix: str, tiny_guest: GuestImage
) -> None:
    image = made("Image", f"{prefix}-base", source=str(tiny_guest.disk))
    made("Disk", f"{prefix}-overlay", image=image.id)
    with pytest.raises(Refused, match=f"{prefix}/{prefix}-overlay is an overlay of it"):
        direct.remove("Image", image)
    assert Path(plain(image)["path"]).read_bytes() == tiny_guest.disk.read_bytes()


def test_a_disk_grows_and_never_shrinks(
    made: Callable[..., Outcome], direct: Direct, prefix: str, tiny_guest: GuestImage
) -> None:
    disk = made("Disk", f"{prefix}-grow", source=str(tiny_guest.disk))
    grown = direct.change("Disk", disk, size="3MiB")
    file = Path(plain(grown)["path"])
    assert image_info(file)["virtual-size"] == 3 * MIB
    assert plain(grown)["virtualSize"] == "3MiB"
    before = file.read_bytes()
    with pytest.raises(InputErrors, match="cannot shrink") as caught:
        direct.change("Disk", grown, size="2MiB")
    assert caught.value.errors[0].path == "size"
    with pytest.raises(Refused, match="larger"):
        direct.change("Disk", grown, check=False, size="2MiB")
    assert file.read_bytes() == before


def test_a_disk_grows_under_a_running_guest(
    made: Callable[..., Outcome], direct: Direct, prefix: str, inventory: Inventory
) -> None:
    disk = made("Disk", f"{prefix}-live", size="8MiB")
    user: dict[str, Any] = {"memory": "64MiB", "networks": [], "shutdownTimeout": 1}
    server = made("Server", f"{prefix}-user", disks=[disk.id], **user)
    domain = inventory.domain(f"{prefix}-user")
    assert domain.blockInfo("vda")[0] == 8 * MIB
    grown = direct.change("Disk", disk, size="16MiB")
    assert plain(grown)["virtualSize"] == "16MiB"
    assert domain.blockInfo("vda")[0] == 16 * MIB
    assert image_info(Path(plain(grown)["path"]))["virtual-size"] == 16 * MIB
    with pytest.raises(Refused, match="larger"):
        direct.change("Disk", grown, check=False, size="8MiB")
    assert domain.blockInfo("vda")[0] == 16 * MIB
    assert plain(server)["state"] == "running"


def test_a_retained_disk_stays_and_is_nobodys(
    direct: Direct, prefix: str, pool: TestPool, tiny_guest: GuestImage
) -> None:
    disk = direct.make("Disk", f"{prefix}-kept", source=str(tiny_guest.disk), deletionPolicy="retain")
    direct.remove("Disk", disk)
    file = Path(plain(disk)["path"])
    assert file.read_bytes() == tiny_guest.disk.read_bytes()
    assert f".{file.name}.kiln" not in pool.files()
    file.unlink()


def test_many_operations_on_one_pool_do_not_get_in_each_others_way(
    direct: Direct, prefix: str, pool: TestPool, tiny_guest: GuestImage
) -> None:
    """Two providers with their own connections, as two stacks would have; of each name one of them wins."""
    other = Direct(URI, pool.name)
    image = direct.make("Image", f"{prefix}-many", source=str(tiny_guest.disk))

    def make(number: int) -> Outcome | Conflict:
        provider = (direct, other)[number % 2]
        try:
            return provider.make("Disk", f"{prefix}-many-{number // 2}", image=image.id)
        except Conflict as error:
            return error

    try:
        with ThreadPoolExecutor(8) as threads:
            results = list(threads.map(make, range(24)))
    finally:
        other.close()
    disks = [result for result in results if isinstance(result, Outcome)]
    assert sorted(disk.id for disk in disks) == sorted(f"{pool.name}/{prefix}-many-{number}" for number in range(12))
    for disk in disks:
        assert image_info(Path(plain(disk)["path"]))["full-backing-filename"] == plain(image)["path"]
        direct.remove("Disk", disk)
    direct.remove("Image", image)
    assert not [file for file in pool.files() if "-many" in file]


def test_sidecars_and_temporary_files_are_never_listed(
    made: Callable[..., Outcome], direct: Direct, prefix: str, pool: TestPool
) -> None:
    made("Disk", f"{prefix}-listed", size="1MiB")
    assert f".{prefix}-listed.kiln" in pool.files()
    (pool.directory / ".kiln-0123456789abcdef-00000000").write_bytes(b"")
    try:
        node = direct.provider.resources["Disk"]._site.node(direct.context(), "qemu:///system")  # type: ignore[attr-defined]
        names = [volume.ref.name for volume in node.volumes.list(direct.context(), pool.name)]
        assert names == [f"{prefix}-listed"]
    finally:
        (pool.directory / ".kiln-0123456789abcdef-00000000").unlink()
