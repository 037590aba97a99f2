"""Directories in the cache: whole or absent, and built once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tools.cache import cache_root, digest_of, ensure_directory


def test_the_cache_lies_where_xdg_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_root() == tmp_path / "kiln"


def test_a_directory_is_built_once_and_then_found(tmp_path: Path) -> None:
    builds: list[Path] = []

    def build(partial: Path) -> None:
        builds.append(partial)
        (partial / "file").write_text("content")

    first = ensure_directory(tmp_path / "thing", build)
    second = ensure_directory(tmp_path / "thing", build)
    assert first == second == tmp_path / "thing"
    assert len(builds) == 1
    assert (first / "file").read_text() == "content"


def test_two_callers_at_once_share_one_build(tmp_path: Path) -> None:
    builds: list[Path] = []
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: ensure_directory(tmp_path / "thing", builds.append), range(4)))
    assert found == [tmp_path / "thing"] * 4
    assert len(builds) == 1


def test_a_build_that_fails_leaves_nothing_under_the_final_name(tmp_path: Path) -> None:
    def fail(partial: Path) -> None:
        (partial / "half").write_text("made")
        raise RuntimeError("no space")

    with pytest.raises(RuntimeError, match="no space"):
        ensure_directory(tmp_path / "thing", fail)
    assert [path.name for path in tmp_path.iterdir()] == [".thing.lock"]


def test_what_a_killed_build_left_is_not_taken_over(tmp_path: Path) -> None:
    left = tmp_path / ".thing.partial"
    left.mkdir()
    (left / "half").write_text("made")
    assert list(ensure_directory(tmp_path / "thing", lambda partial: None).iterdir()) == []


def test_the_digest_changes_with_files_and_facts_and_their_borders(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("ab")
    two.write_text("c")
    plain = digest_of([one, two])
    assert plain == digest_of([one, two])
    assert plain != digest_of([one, two], "fact")
    one.write_text("a")
    two.write_text("bc")
    assert plain != digest_of([one, two])
