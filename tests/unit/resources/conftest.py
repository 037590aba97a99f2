"""A node in memory for each test."""

from __future__ import annotations

from pathlib import Path

import pytest
from kiln.framework.operations import Outcome

from tests.unit.resources.moving import FAST, HOME, serve, write
from tests.unit.resources.world import World


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return World(tmp_path)


@pytest.fixture
def image(world: World) -> str:
    """The id of an image that servers are made from."""
    return world.create("Image", "base", source=world.raw()).id


@pytest.fixture
def disk(world: World) -> Outcome:
    """A disk with something on it, and a second pool."""
    made = world.create("Disk", "data", size="1MiB", format="raw")
    world.node.volumes.ensure_pool(world.context(), FAST, None)
    write(world, HOME, b"data")
    return made


@pytest.fixture(params=["no guest", "running", "stopped"])
def user(request: pytest.FixtureRequest, world: World, disk: Outcome) -> str:
    """Who has the disk."""
    if request.param != "no guest":
        serve(world, disk, request.param)
    return str(request.param)
