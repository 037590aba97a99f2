"""qemu-img is used where content must change its format, and never left to itself."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from kiln.framework.context import Context
from kiln.framework.errors import Bug, Cancelled, KilnError
from kiln.ports.marks import Mark
from kiln.ports.volumes import VolumeRef
from kiln.transfer.convert import command, convert
from kiln.transfer.inspect import inspect
from kiln.transfer.local import Local
from kiln.transfer.upload import upload

from tests.unit.transfer.digests import digest_file
from tests.unit.transfer.images import CLUSTER, DATA, Qcow2, iso
from tests.unit.transfer.pool import FakeVolumes

MARK = Mark("0123456789abcdef", "creating")


@pytest.fixture(autouse=True)
def qemu_img() -> None:
    """A missing tool is a failure."""
    assert shutil.which("qemu-img"), "install qemu-utils"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    file = tmp_path / "-o backing_file=x,image.qcow2"
    file.write_bytes(Qcow2().build())
    return file


def test_formats_are_stated_and_names_cannot_be_options(image: Path, tmp_path: Path) -> None:
    argv = command(image, tmp_path / "out", ("qcow2", "raw"))
    assert argv[argv.index("-f") + 1] == "qcow2"
    assert argv[argv.index("-O") + 1] == "raw"
    assert argv[-2:] == [f"file:{image}", f"file:{tmp_path / 'out'}"]


def test_cpu_and_memory_are_limited(image: Path, tmp_path: Path) -> None:
    argv = command(image, tmp_path / "out", ("qcow2", "raw"))
    assert argv[0] == "prlimit"
    assert {option.partition("=")[0] for option in argv[1 : argv.index("--")]} >= {"--cpu", "--as"}


def test_qcow2_becomes_raw(image: Path, tmp_path: Path) -> None:
    convert(Context(), image, tmp_path / "out", ("qcow2", "raw"), "converting")
    assert (tmp_path / "out").read_bytes() == DATA + bytes((1 << 20) - CLUSTER)


def test_a_damaged_image_is_told_in_qemu_imgs_words(tmp_path: Path) -> None:
    file = tmp_path / "image"
    file.write_bytes(b"nothing of the kind".ljust(4096))
    with pytest.raises(KilnError, match="not in qcow2 format"):
        convert(Context(), file, tmp_path / "out", ("qcow2", "raw"), "converting")


def test_cancellation_ends_the_process(image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    def sleeping(argv: list[str], **options: object) -> subprocess.Popen[bytes]:
        started.append(real(["sleep", "3600"], **options))  # type: ignore[call-overload]
        return started[0]

    monkeypatch.setattr(subprocess, "Popen", sleeping)
    ctx = Context()
    ctx.cancellation.cancel()
    with pytest.raises(Cancelled):
        convert(ctx, image, tmp_path / "out", ("qcow2", "raw"), "converting")
    assert started[0].returncode is not None


def test_an_upload_converts_when_another_format_is_wanted(image: Path, tmp_path: Path, cache: Path) -> None:
    pool = tmp_path / "pool"
    pool.mkdir()
    ref = VolumeRef("pool", "web")
    source = Local(image, "image")
    uploaded = upload(Context(), FakeVolumes(pool).port, ref, source, inspect(image), MARK, format="raw")
    assert (uploaded.volume.format, uploaded.volume.virtual_size) == ("raw", 1 << 20)
    assert uploaded.digest == digest_file(pool / "web", "extents-sha256")
    assert not list((cache / "scratch").iterdir())


def test_what_kiln_writes_as_qcow2_is_accepted_by_its_own_inspection(tmp_path: Path) -> None:
    (tmp_path / "raw").write_bytes(DATA)
    convert(Context(), tmp_path / "raw", tmp_path / "out", ("raw", "qcow2"), "converting")
    assert inspect(tmp_path / "out").virtual_size == CLUSTER


@pytest.mark.parametrize(
    "options", [["-o", "compat=1.1"], ["-o", "compat=0.10"], ["-c"], ["-c", "-o", "compression_type=zstd"]]
)
@pytest.mark.parametrize("size", [512, 64 << 10, (3 << 20) + 512])
def test_images_that_qemu_img_writes_are_accepted(options: list[str], size: int, tmp_path: Path) -> None:
    (tmp_path / "raw").write_bytes((DATA * 64)[:size])
    files = [str(tmp_path / "raw"), str(tmp_path / "out")]
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", *options, *files], check=True)
    assert inspect(tmp_path / "out").virtual_size == size


def test_a_compressed_image_that_was_cut_is_refused(tmp_path: Path) -> None:
    (tmp_path / "raw").write_bytes(DATA * 64)
    files = [str(tmp_path / "raw"), str(tmp_path / "out")]
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", *files], check=True)
    with (tmp_path / "out").open("r+b") as stream:
        stream.truncate(CLUSTER)
    with pytest.raises(KilnError, match="truncated"):
        inspect(tmp_path / "out")


def test_an_iso_stays_one(tmp_path: Path) -> None:
    (tmp_path / "cd").write_bytes(iso())
    ref, source = VolumeRef("pool", "cd"), Local(tmp_path / "cd", "cd")
    with pytest.raises(Bug):
        upload(Context(), FakeVolumes().port, ref, source, inspect(tmp_path / "cd"), MARK, format="qcow2")
