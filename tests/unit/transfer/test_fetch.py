"""Sources become local files: verified, expanded, and gone afterwards."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from backports import zstd
from kiln.framework.context import Context
from kiln.framework.errors import Cancelled, InputError, KilnError
from kiln.framework.values import Asset
from kiln.transfer import compression
from kiln.transfer.digest import Checksum
from kiln.transfer.fetch import fetched
from kiln.transfer.http import Patience

from tests.unit.transfer.server import response, serving

DISK = b"\xfa" * 4096 + bytes(4 << 20) + b"end of disk".ljust(512, b".")
QUICK = Patience(attempts=2, backoff=0.001)
PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
    "zstd": zstd.compress,
}


def sha256(data: bytes) -> Checksum:
    return Checksum("sha256", hashlib.sha256(data).hexdigest())


def read(source: str | Asset, checksum: Checksum | None = None) -> bytes:
    with fetched(Context(), source, checksum=checksum, patience=QUICK) as local:
        return local.path.read_bytes()


def refusal(source: str | Asset, checksum: Checksum | None = None) -> InputError:
    with pytest.raises(InputError) as caught:
        read(source, checksum)
    return caught.value


def leftovers(cache: Path) -> list[Path]:
    return [file for folder in ("scratch", "downloads") for file in (cache / folder).glob("partial-*")]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "my disk.img"
    made.write_bytes(DISK)
    return made


def test_a_plain_local_file_is_used_where_it_is(file: Path) -> None:
    with fetched(Context(), str(file)) as local:
        assert (local.path, local.is_temporary) == (file, False)


def test_a_relative_path_starts_at_the_working_directory(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    assert read("my disk.img") == DISK


@pytest.mark.parametrize("form", ["file://{}", "file:{}", "file://localhost{}", "FILE://{}"])
def test_file_urls_name_local_files(form: str, file: Path) -> None:
    assert read(form.format(str(file).replace(" ", "%20"))) == DISK


def test_assets_are_taken_by_path_text_and_uri(file: Path) -> None:
    assert read(Asset(path=str(file))) == DISK
    assert read(Asset(text="hello")) == b"hello"
    with serving([response(DISK)]) as server:
        assert read(Asset(uri=f"{server.url}/disk.img")) == DISK


@pytest.mark.parametrize(
    "source",
    [
        "",
        "  ",
        "ftp://h/x",
        "s3://b/k",
        "file://other/x",
        "file:relative",
        "http://",
        "https://h:99999/x",
        "http://h/a b",
        "a\0b",
    ],
)
def test_what_is_no_source_is_refused_at_its_property(source: str) -> None:
    error = refusal(source)
    assert error.path == "source"
    assert error.action


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    assert "No such file" in str(refusal(str(tmp_path / "nowhere")))


@pytest.mark.requirement("FX-60")
@pytest.mark.parametrize("name", PACK)
def test_compressed_files_are_expanded_whatever_they_are_called(name: str, file: Path, cache: Path) -> None:
    file.write_bytes(PACK[name](DISK))
    with fetched(Context(), str(file)) as local:
        assert local.is_temporary
        assert local.path.read_bytes() == DISK
        assert local.path.stat().st_blocks * 512 < len(DISK) // 2
        assert local.path.stat().st_mode & 0o077 == 0
    assert not leftovers(cache)


@pytest.mark.requirement("FX-45")
@pytest.mark.parametrize("name", PACK)
def test_compressed_downloads_are_expanded_as_they_arrive(name: str, cache: Path) -> None:
    with serving([response(PACK[name](DISK))]) as server, fetched(Context(), server.url) as local:
        assert local.path.read_bytes() == DISK
        assert leftovers(cache) == [local.path]
    assert not leftovers(cache)


@pytest.mark.parametrize("name", PACK)
def test_members_after_each_other_are_one_content(name: str, file: Path) -> None:
    file.write_bytes(PACK[name](DISK[:5000]) + PACK[name](DISK[5000:]))
    assert read(str(file)) == DISK


def test_a_zstd_file_may_begin_with_a_skippable_frame(file: Path) -> None:
    file.write_bytes(b"\x50\x2a\x4d\x18\x04\0\0\0pzst" + zstd.compress(DISK))
    assert read(str(file)) == DISK


def test_a_disk_that_begins_like_bzip2_and_is_not_stays_as_it_is(file: Path) -> None:
    file.write_bytes(b"BZh9 is how this boot sector begins".ljust(512, b"\0"))
    with fetched(Context(), str(file)) as local:
        assert local.path == file


def test_padding_after_the_last_member_is_ignored(file: Path) -> None:
    file.write_bytes(gzip.compress(DISK) + bytes(1000))
    assert read(str(file)) == DISK


@pytest.mark.parametrize("name", PACK)
def test_a_truncated_compressed_file_is_refused(name: str, file: Path, cache: Path) -> None:
    file.write_bytes(PACK[name](os.urandom(1 << 16))[:-20])
    assert "truncated" in str(refusal(str(file)))
    assert not leftovers(cache)


@pytest.mark.parametrize("name", PACK)
def test_a_damaged_compressed_file_is_refused(name: str, file: Path) -> None:
    packed = bytearray(PACK[name](b"".join(b"%d," % number for number in range(50_000))))
    packed[len(packed) // 2 :] = b"\xff" * (len(packed) - len(packed) // 2)
    file.write_bytes(packed)
    assert f"{name} file" in str(refusal(str(file)))


def test_a_bomb_is_refused(file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "FREE_OUTPUT", 1 << 20)
    monkeypatch.setattr(compression, "RATIO", 100)
    file.write_bytes(zstd.compress(bytes(64 << 20)))
    assert "no disk image does" in str(refusal(str(file)))
    assert not leftovers(cache)


def test_unpacking_can_be_left_out(file: Path) -> None:
    file.write_bytes(gzip.compress(DISK))
    with fetched(Context(), str(file), unpack=False) as local:
        assert local.path == file


@pytest.mark.requirement("DC-43")
@pytest.mark.parametrize("packed", [False, True])
def test_a_checksum_is_that_of_the_bytes_as_distributed(packed: bool, file: Path) -> None:
    content = gzip.compress(DISK) if packed else DISK
    file.write_bytes(content)
    assert read(str(file), sha256(content)) == DISK
    error = refusal(str(file), sha256(content + b"x"))
    assert error.path == "checksum"
    assert hashlib.sha256(content).hexdigest() in str(error)


def test_sha512_is_verified(file: Path) -> None:
    assert read(str(file), Checksum("sha512", hashlib.sha512(DISK).hexdigest())) == DISK
    assert refusal(str(file), Checksum("sha512", "0" * 128)).path == "checksum"


def test_the_text_of_an_asset_is_verified() -> None:
    assert read(Asset(text="hello"), sha256(b"hello")) == b"hello"
    assert refusal(Asset(text="hellO"), sha256(b"hello")).path == "checksum"


@pytest.mark.requirement("DC-43")
def test_a_download_with_a_checksum_is_kept_and_not_fetched_again(cache: Path) -> None:
    packed = gzip.compress(DISK)
    with serving([response(packed), response(b"", "404 Gone")]) as server:
        assert read(server.url, sha256(packed)) == DISK
        assert read(server.url, sha256(packed)) == DISK
    assert len(server.requests) == 1
    assert not leftovers(cache)


@pytest.mark.requirement("DC-43")
def test_a_download_with_the_wrong_checksum_is_refused_and_not_kept(cache: Path) -> None:
    with serving([response(DISK)]) as server:
        assert refusal(server.url, sha256(b"other")).path == "checksum"
    assert [file.suffix for file in (cache / "downloads").iterdir()] == [".lock"]


def test_a_kept_download_that_was_damaged_is_fetched_again(cache: Path) -> None:
    with serving([response(DISK)]) as server:
        read(server.url, sha256(DISK))
        kept = next(file for file in (cache / "downloads").iterdir() if not file.suffix)
        kept.write_bytes(b"rotten")
        assert read(server.url, sha256(DISK)) == DISK
    assert len(server.requests) == 2


def test_without_a_checksum_nothing_is_kept(cache: Path) -> None:
    with serving([response(DISK)]) as server:
        assert read(server.url) == DISK
    assert not [file for file in cache.rglob("*") if file.is_file()]


def test_a_failed_download_leaves_nothing(cache: Path) -> None:
    with serving([response(DISK[:100], "200 OK", len(DISK))]) as server, pytest.raises(KilnError):
        read(server.url)
    assert not leftovers(cache)


def test_a_cancelled_unpacking_leaves_nothing(file: Path, cache: Path) -> None:
    file.write_bytes(gzip.compress(DISK))
    ctx = Context()
    ctx.cancellation.cancel()
    with pytest.raises(Cancelled), fetched(ctx, str(file)):
        pass
    assert not leftovers(cache)


def test_credentials_in_a_url_are_not_shown() -> None:
    with serving([response(b"", "404 Not Found")]) as server:
        url = server.url.replace("http://", "http://ann:s3cret@") + "/x?sig=s3cret"
        error = refusal(url)
    assert "s3cret" not in str(error)
    assert "/x" in str(error)
    assert server.requests[0]["authorization"].startswith("Basic ")


def test_errors_of_the_block_are_the_callers(file: Path) -> None:
    with pytest.raises(FileNotFoundError), fetched(Context(), str(file)):
        raise FileNotFoundError
