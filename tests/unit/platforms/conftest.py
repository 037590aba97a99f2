"""What the platform's tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kiln.platforms.libvirt import connection
from kiln.platforms.libvirt.connection import Link

from tests.unit.platforms.fake_libvirt import FakeLibvirt


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "kiln"


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeLibvirt]:
    """libvirt's bindings, as these tests have them; a call that a test holds up is let go at the end."""
    fake = FakeLibvirt()
    monkeypatch.setattr(connection, "_library", lambda: fake)
    yield fake
    fake.free.set()


@pytest.fixture
def link(library: FakeLibvirt) -> Iterator[Link]:
    """A link that nothing has opened yet."""
    made = Link("qemu:///system")
    yield made
    made.close()
