"""Ownership marks beside volumes: their names, their bytes, their files."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kiln.framework.context import Cancellation, Context
from kiln.framework.errors import Cancelled
from kiln.platforms.libvirt import files, marks
from kiln.platforms.libvirt.locks import locked
from kiln.ports.marks import Holder, Mark

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
numbers = st.integers(0, 1 << 62)
any_mark = st.builds(
    Mark,
    operation=texts,
    phase=st.sampled_from(["creating", "done"]),
    urn=texts,
    role=texts,
    digest=texts,
    holder=st.none() | st.builds(Holder, machine=texts, boot=texts, pid=numbers, started=numbers, expires=numbers),
    info=st.dictionaries(texts, texts, max_size=3),
    made=st.none() | numbers,
)
volume_names = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=40)


@given(any_mark)
def test_a_mark_is_read_back_as_it_was_written(mark: Mark) -> None:
    assert marks.decode(marks.encode(mark)) == mark


@given(any_mark, st.integers(1, 3))
def test_a_mark_in_a_larger_volume_is_read_back(mark: Mark, blocks: int) -> None:
    data = marks.encode(mark)
    assert len(data) % 4096 == 0
    assert marks.decode(data + b"\0" * 4096 * blocks) == mark
    assert marks.decode(data + b" " * 4096 * blocks) == mark


@given(any_mark, st.integers(0, 4095))
def test_a_mark_that_was_cut_short_is_none_or_whole(mark: Mark, length: int) -> None:
    assert marks.decode(marks.encode(mark)[:length]) in (None, mark)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 4096,
        b"[]",
        b"null",
        b"\xff\xfe",
        b"{}",
        json.dumps({"version": 2, "operation": "o", "phase": "done"}).encode(),
        json.dumps({"version": 1, "operation": "o", "phase": "odd"}).encode(),
        json.dumps({"version": 1, "operation": "o", "phase": "done", "holder": {"pid": 1}}).encode(),
        json.dumps({"version": 1, "operation": "o", "phase": "done", "info": []}).encode(),
    ],
)
def test_what_is_no_mark_is_none(data: bytes) -> None:
    assert marks.decode(data) is None


@given(volume_names)
def test_a_sidecar_belongs_to_one_volume_and_is_hidden(name: str) -> None:
    sidecar = marks.sidecar(name)
    assert marks.hidden(sidecar)
    assert marks.marked_volume(sidecar) == name
    assert not marks.temporary(sidecar)


def test_the_mark_of_a_volume_whose_name_begins_like_a_temporary_one_is_a_mark() -> None:
    assert marks.marked_volume(".kiln-web-root.kiln") == "kiln-web-root"
    assert not marks.temporary(".kiln-web-root.kiln")


@pytest.mark.parametrize("name", [".kiln-mark-0f-1", ".kiln-0123456789abcdef-01234567", ".kiln-probe-0f"])
def test_a_temporary_file_is_no_mark(name: str) -> None:
    assert marks.temporary(name)
    assert marks.hidden(name)
    assert marks.marked_volume(name) is None


@pytest.mark.parametrize("name", ["web", "web.kiln", "kiln", ".hidden", "a.kiln.b"])
def test_a_volume_is_not_hidden(name: str) -> None:
    assert not marks.hidden(name)


@pytest.mark.parametrize("name", [".kiln", ".kiln-0123", ".kiln-a.kiln", ".web.kiln"])
def test_bookkeeping_is_hidden(name: str) -> None:
    assert marks.hidden(name)


def test_a_file_is_private_and_appears_whole(tmp_path: Path) -> None:
    files.write(tmp_path, "f", b"one", new=True)
    files.write(tmp_path, "f", b"two", new=False)
    assert files.read(tmp_path, "f", length=100) == b"two"
    assert files.read(tmp_path, "f", offset=1, length=1) == b"w"
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o600
    assert files.names(tmp_path) == ["f"]


def test_a_new_file_never_replaces_one(tmp_path: Path) -> None:
    files.write(tmp_path, "f", b"one", new=True)
    with pytest.raises(FileExistsError):
        files.write(tmp_path, "f", b"two", new=True)
    assert files.read(tmp_path, "f", length=100) == b"one"
    assert files.names(tmp_path) == ["f"]


def test_a_link_is_neither_read_nor_written_through(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("geheim")
    pool = tmp_path / "pool"
    pool.mkdir()
    (pool / "f").symlink_to(secret)
    with pytest.raises(OSError, match="symbolic link"):
        files.read(pool, "f", length=100)
    files.write(pool, "f", b"mine", new=False)
    assert secret.read_text() == "geheim"
    assert not (pool / "f").is_symlink()


def test_removing_a_file_twice_succeeds(tmp_path: Path) -> None:
    files.write(tmp_path, "f", b"", new=True)
    files.remove(tmp_path, "f")
    files.remove(tmp_path, "f")
    assert files.names(tmp_path) == []


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_file: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fdatasync", full)
    with pytest.raises(OSError, match="No space left"):
        files.write(tmp_path, "f", b"data", new=True)
    assert files.names(tmp_path) == []


def test_a_lock_is_held_by_one_thread_at_a_time() -> None:
    inside, most = [0], [0]

    def hold() -> None:
        with locked(Context(), "qemu:///system", "pool kiln"):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            threading.Event().wait(0.01)
            inside[0] -= 1

    threads = [threading.Thread(target=hold) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]


def test_locks_of_different_things_do_not_wait_for_each_other() -> None:
    with locked(Context(), "a", "pool x"), locked(Context(), "a", "pool y"), locked(Context(), "b", "pool x"):
        pass


def test_waiting_for_a_lock_ends_when_the_user_interrupts() -> None:
    cancellation = Cancellation()
    with locked(Context(), "a", "pool x"):
        threading.Timer(0.1, cancellation.cancel).start()
        with pytest.raises(Cancelled), locked(Context(cancellation=cancellation), "a", "pool x"):
            pass
