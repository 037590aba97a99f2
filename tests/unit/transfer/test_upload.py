"""Content reaches a pool whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from kiln.framework.context import Context
from kiln.framework.errors import Cancelled, Conflict, KilnError, Refused
from kiln.ports.marks import Mark
from kiln.ports.volumes import VolumeRef
from kiln.transfer import cache as cache_module
from kiln.transfer import sparse
from kiln.transfer.cache import DigestCache
from kiln.transfer.extents import BLOCK
from kiln.transfer.inspect import inspect
from kiln.transfer.local import Local
from kiln.transfer.upload import Uploaded, discard_temporaries, temporary_name, upload, upload_bytes

from tests.unit.transfer.digests import digest_file
from tests.unit.transfer.images import DATA, Qcow2, iso
from tests.unit.transfer.pool import FakeVolumes

REF = VolumeRef("pool", "web")
MARK = Mark("0123456789abcdef", "creating")
SIZE = 64 << 20


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "pool"
    made.mkdir()
    return made


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """64 MiB with two pieces of data, 8 MiB of stored zeros and holes."""
    file = tmp_path / "disk.raw"
    with file.open("wb") as stream:
        stream.truncate(SIZE)
        stream.write(DATA)
        stream.seek(16 << 20)
        stream.write(bytes(8 << 20))
        stream.seek(SIZE - 512)
        stream.write(b"e" * 512)
    return file


def put(volumes: FakeVolumes, file: Path, ctx: Context | None = None) -> Uploaded:
    content = inspect(file)
    return upload(ctx or Context(), volumes.port, REF, Local(file, file.name), content, MARK)


def test_a_local_upload_appears_whole_under_its_final_name(directory: Path, raw: Path) -> None:
    uploaded = put(FakeVolumes(directory), raw)
    final = directory / "web"
    assert [file.name for file in directory.iterdir()] == ["web"]
    assert final.read_bytes() == raw.read_bytes()
    assert final.stat().st_mode & 0o777 == 0o600
    assert uploaded.digest == digest_file(raw, "extents-sha256")
    assert uploaded.volume.virtual_size == SIZE


@pytest.mark.requirement("FX-29")
def test_holes_and_stored_zeros_take_no_room_in_the_pool(directory: Path, raw: Path) -> None:
    put(FakeVolumes(directory), raw)
    assert raw.stat().st_blocks * 512 >= 8 << 20
    assert (directory / "web").stat().st_blocks * 512 <= 4 * BLOCK


def test_copying_by_read_and_write_gives_the_same(directory: Path, raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot(*_: object) -> int:
        raise OSError(errno.EXDEV, "other file system")

    monkeypatch.setattr(os, "copy_file_range", cannot)
    uploaded = put(FakeVolumes(directory), raw)
    assert (directory / "web").read_bytes() == raw.read_bytes()
    assert uploaded.digest == digest_file(raw, "extents-sha256")


@pytest.mark.parametrize(("content", "format"), [(Qcow2().build(), "qcow2"), (iso(), "iso")])
def test_qcow2_and_iso_are_known_by_the_digest_of_their_bytes(
    content: bytes, format: str, directory: Path, tmp_path: Path
) -> None:
    file = tmp_path / "image"
    file.write_bytes(content)
    uploaded = put(FakeVolumes(directory), file)
    assert (uploaded.volume.format, uploaded.digest) == (format, digest_file(file, "sha256"))


@pytest.mark.parametrize("error", [KilnError("the node failed"), Cancelled(), KeyboardInterrupt()])
def test_a_failure_while_adopting_leaves_nothing(error: BaseException, directory: Path, raw: Path) -> None:
    def fail(ctx: Context) -> None:
        raise error

    with pytest.raises(type(error)):
        put(FakeVolumes(directory, during=fail), raw)
    assert not list(directory.iterdir())


def test_a_taken_name_is_a_conflict_and_what_has_it_stays(directory: Path, raw: Path) -> None:
    volumes = FakeVolumes(directory)
    put(volumes, raw)
    before = (directory / "web").stat()
    with pytest.raises(Conflict):
        put(volumes, raw)
    assert (directory / "web").stat().st_ino == before.st_ino
    assert len(list(directory.iterdir())) == 1


def test_cancellation_in_the_middle_of_a_copy_leaves_nothing(
    directory: Path, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx = Context()
    real = os.copy_file_range

    def copy(source: int, target: int, count: int, *offsets: int) -> int:
        ctx.cancellation.cancel()
        return real(source, target, count, *offsets)

    monkeypatch.setattr(os, "copy_file_range", copy)
    with pytest.raises(Cancelled):
        put(FakeVolumes(directory), raw, ctx)
    assert not list(directory.iterdir())


def test_a_full_disk_is_told_with_pool_and_bytes(directory: Path, raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "copy_file_range", full)
    with pytest.raises(KilnError) as caught:
        put(FakeVolumes(directory), raw)
    assert "pool 'pool' has no room" in str(caught.value)
    assert f"({raw.stat().st_blocks * 512} bytes)" in str(caught.value)
    assert not list(directory.iterdir())


def test_a_source_that_changes_meanwhile_is_refused(
    directory: Path, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = sparse.clone

    def clone(source: int, target: int) -> bool:
        os.utime(raw, ns=(0, 0))
        return real(source, target)

    monkeypatch.setattr(sparse, "clone", clone)
    with pytest.raises(Refused, match="changed meanwhile"):
        put(FakeVolumes(directory), raw)
    assert not list(directory.iterdir())


@pytest.mark.parametrize("remote", [True, False])
def test_a_file_that_was_replaced_after_its_inspection_is_refused(remote: bool, directory: Path, raw: Path) -> None:
    content = inspect(raw)
    hostile = raw.with_name("hostile")
    hostile.write_bytes(Qcow2(backing=b"/etc/shadow").build().ljust(SIZE, b"\0"))
    hostile.replace(raw)
    volumes = FakeVolumes(None if remote else directory)
    with pytest.raises(Refused, match="changed since it was inspected"):
        upload(Context(), volumes.port, REF, Local(raw, "disk"), content, MARK)
    assert not volumes.made
    assert not list(directory.iterdir())


def test_a_temporary_file_that_is_a_link_is_not_followed(directory: Path, raw: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (directory / temporary_name(MARK, REF)).symlink_to(victim)
    with pytest.raises(KilnError):
        put(FakeVolumes(directory), raw)
    assert victim.read_bytes() == b"precious"


def test_the_digest_is_remembered_for_the_next_preview(
    directory: Path, raw: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "RACY_NS", -(10**18))
    uploaded = put(FakeVolumes(directory), raw)
    assert DigestCache(cache).get(raw, "extents-sha256", lambda fd: "read again") == uploaded.digest


def test_what_a_dead_operation_left_is_found_by_its_id(directory: Path) -> None:
    mine, other = directory / temporary_name(MARK, REF), directory / temporary_name(Mark("other", "creating"), REF)
    mine.touch()
    other.touch()
    discard_temporaries(Context(), FakeVolumes(directory).port, "pool", MARK.operation)
    assert list(directory.iterdir()) == [other]


def test_a_remote_upload_sends_holes_as_holes_and_everything_arrives(raw: Path) -> None:
    volumes = FakeVolumes()
    uploaded = put(volumes, raw)
    assert bytes(volumes.content["web"]) == raw.read_bytes()
    assert sum(data for data, _ in volumes.chunks) <= 2 * BLOCK
    assert uploaded.digest == digest_file(raw, "extents-sha256")


def test_a_remote_qcow2_has_the_digest_of_its_bytes(tmp_path: Path) -> None:
    file = tmp_path / "image.qcow2"
    file.write_bytes(Qcow2().build())
    assert put(FakeVolumes(), file).digest == digest_file(file, "sha256")


@pytest.mark.parametrize("error", [KilnError("the stream broke"), Cancelled(), KeyboardInterrupt()])
def test_a_remote_upload_that_fails_removes_its_volume(error: BaseException, raw: Path) -> None:
    ctx = Context()

    def fail(_: Context) -> None:
        ctx.cancellation.cancel()
        raise error

    volumes = FakeVolumes(during=fail)
    with pytest.raises(type(error)):
        put(volumes, raw, ctx)
    assert not volumes.made


def test_a_taken_name_on_a_remote_node_stays(raw: Path) -> None:
    volumes = FakeVolumes()
    put(volumes, raw)
    with pytest.raises(Conflict):
        put(volumes, raw)
    assert "web" in volumes.made


@pytest.mark.parametrize("position", [0, -1])
def test_a_node_that_lost_what_it_was_sent_is_found_out(position: int, raw: Path) -> None:
    class Forgetful(FakeVolumes):
        def download(self, ctx: Context, ref: VolumeRef, offset: int, length: int) -> bytes:
            self.content["web"][position] = 0xFF
            return super().download(ctx, ref, offset, length)

    volumes = Forgetful()
    with pytest.raises(KilnError, match="does not hold what was sent"):
        put(volumes, raw)
    assert not volumes.made


def test_a_remote_pool_without_room_is_refused_before_anything_is_made(raw: Path) -> None:
    volumes = FakeVolumes(available=BLOCK)
    with pytest.raises(KilnError) as caught:
        put(volumes, raw)
    assert f"({BLOCK} bytes) are available" in str(caught.value)
    assert not volumes.chunks


def test_stored_zeros_do_not_count_as_needed_room(raw: Path) -> None:
    put(FakeVolumes(available=4 * BLOCK), raw)


def test_a_node_that_says_it_is_full_is_told_the_same_way(raw: Path) -> None:
    def full(ctx: Context) -> None:
        raise KilnError("the volume could not be written", cause="cannot write: No space left on device")

    with pytest.raises(KilnError, match="pool 'pool' has no room"):
        put(FakeVolumes(during=full), raw)


def test_bytes_made_here_are_uploaded_without_a_file(directory: Path) -> None:
    data = iso()
    uploaded = upload_bytes(Context(), FakeVolumes(directory).port, REF, data, "iso", MARK, name="seed")
    assert (directory / "web").read_bytes() == data
    assert uploaded.volume.format == "iso"
