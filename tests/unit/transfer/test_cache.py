"""Digests are remembered exactly as long as a file stays as it is; temporary files do not outlive their process."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from pathlib import Path

import pytest
from kiln.transfer import cache as module
from kiln.transfer.cache import DigestCache, cache_directory
from kiln.transfer.temporary import sweep, temporary_file


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that is old enough to be remembered at once."""
    monkeypatch.setattr(module, "RACY_NS", -(10**18))
    made = tmp_path / "disk"
    made.write_bytes(b"content")
    return made


def reads(cache: Path, file: Path, key: str = "sha256") -> int:
    """How often the file is read to learn its digest: 0 or 1."""
    calls: list[int] = []

    def compute(fd: int) -> str:
        calls.append(fd)
        return os.pread(fd, 100, 0).hex()

    assert DigestCache(cache).get(file, key, compute) == file.read_bytes().hex()
    return len(calls)


def test_an_unchanged_file_is_read_once(cache: Path, file: Path) -> None:
    assert [reads(cache, file) for _ in range(3)] == [1, 0, 0]


def test_each_kind_of_digest_is_remembered_by_itself(cache: Path, file: Path) -> None:
    assert [reads(cache, file), reads(cache, file, "sha512"), reads(cache, file)] == [1, 1, 0]


def test_a_changed_file_is_read_again(cache: Path, file: Path) -> None:
    reads(cache, file)
    file.write_bytes(b"CONTENT")
    assert reads(cache, file) == 1


def test_a_replaced_file_with_the_same_times_is_read_again(cache: Path, file: Path) -> None:
    reads(cache, file)
    old = file.stat()
    other = file.with_name("other")
    other.write_bytes(b"another")
    os.utime(other, ns=(old.st_atime_ns, old.st_mtime_ns))
    other.replace(file)
    assert reads(cache, file) == 1


def test_a_link_and_its_target_are_one_file(cache: Path, file: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(file)
    assert [reads(cache, file), reads(cache, tmp_path / "link")] == [1, 0]


def test_a_file_that_just_changed_is_not_remembered(cache: Path, tmp_path: Path) -> None:
    file = tmp_path / "fresh"
    file.write_bytes(b"content")
    assert [reads(cache, file), reads(cache, file)] == [1, 1]


def test_a_cache_that_is_no_database_is_replaced(cache: Path, file: Path) -> None:
    cache.mkdir(parents=True)
    (cache / "digests.sqlite").write_bytes(b"not a database at all" * 100)
    assert [reads(cache, file) for _ in range(3)] == [1, 0, 0]


def test_a_cache_that_cannot_be_written_is_no_error(file: Path, tmp_path: Path) -> None:
    (tmp_path / "blocked").write_text("a file where the directory should be")
    assert [reads(tmp_path / "blocked", file) for _ in range(2)] == [1, 1]


def test_the_cache_is_bounded_and_keeps_what_was_used_last(
    cache: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_ENTRIES", 3)
    others = [file.with_name(f"other{index}") for index in range(5)]
    for other in others:
        other.write_bytes(other.name.encode())
        reads(cache, other)
    with sqlite3.connect(cache / "digests.sqlite") as database:
        (count,) = database.execute("SELECT count(*) FROM digests").fetchone()
    database.close()
    assert count == 3
    assert reads(cache, others[-1]) == 0


def test_many_threads_share_it(cache: Path, file: Path) -> None:
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(10):
                reads(cache, file)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert reads(cache, file) == 0


def test_the_directory_follows_xdg_and_ignores_relative_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache/ann")
    assert cache_directory() == Path("/var/cache/ann/kiln")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/ann")
    assert cache_directory() == Path("/home/ann/.cache/kiln")


def test_temporary_files_are_private_and_gone_afterwards(tmp_path: Path) -> None:
    with temporary_file(tmp_path / "scratch") as (fd, file):
        os.write(fd, b"secret")
        assert file.stat().st_mode & 0o777 == 0o600
    assert not list((tmp_path / "scratch").iterdir())


def test_what_a_killed_process_left_is_swept_and_what_is_in_use_stays(tmp_path: Path) -> None:
    dead, alive, mine = tmp_path / "partial-dead", tmp_path / "partial-alive", tmp_path / "notes.txt"
    for file in (dead, alive, mine):
        file.write_bytes(b"half")
    (tmp_path / "partial-killed-at-its-first-byte").touch()
    with alive.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        sweep(tmp_path)
        assert sorted(file.name for file in tmp_path.glob("*")) == ["notes.txt", "partial-alive"]


def test_the_next_one_to_work_in_a_directory_removes_what_a_killed_process_left_empty(tmp_path: Path) -> None:
    (left := tmp_path / "partial-left").touch()
    with temporary_file(tmp_path):
        assert not left.exists()


def test_a_file_that_another_ones_sweep_takes_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, swept = fcntl.flock, list[Path]()

    def after_a_sweep(fd: int, how: int) -> None:
        if how == fcntl.LOCK_EX and not swept:
            swept.extend(tmp_path.iterdir())
            sweep(tmp_path)
        lock(fd, how)

    monkeypatch.setattr(fcntl, "flock", after_a_sweep)
    with temporary_file(tmp_path) as (fd, file):
        assert list(tmp_path.iterdir()) == [file]
        assert swept != [file]
        assert os.path.samestat(os.fstat(fd), file.stat())
