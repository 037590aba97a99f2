"""A node in memory for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.resources.world import World


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return World(tmp_path)
