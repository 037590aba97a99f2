"""Files of disks that nobody is let read or write, and a guest that has to start with them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from kiln.framework.context import Context
from kiln.framework.errors import KilnError
from kiln.framework.operations import Outcome, Partial

from tests.unit.resources.world import POOL, World


@pytest.fixture
def root(world: World) -> Path:
    """Where the root disk of the server is, as a file that libvirt would have."""
    directory = world.node.volumes.local_directory(world.context(), POOL)
    assert directory is not None
    file = directory / "it-root"
    file.write_bytes(b"")
    return file


@pytest.fixture
def made(world: World, image: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> Outcome:
    """A server that is off and starts no more when its root disk may not be read."""
    made = world.create("Server", "it", image=image, powerState="stopped")
    domains = world.node.domains
    start = domains.start

    def checked(ctx: Context, uuid: str, *, with_console: bool = False) -> object:
        if root.stat().st_mode & 0o600 != 0o600:
            raise KilnError("could not start it", cause="Permission denied")
        return start(ctx, uuid, with_console=with_console)

    monkeypatch.setattr(domains, "start", checked)
    return made


@pytest.mark.parametrize("mode", [0, 0o400, 0o044])
def test_a_guest_starts_after_its_owner_may_read_and_write_the_disk_again(
    world: World, made: Outcome, root: Path, mode: int
) -> None:
    root.chmod(mode)
    started = world.update("Server", made, powerState="running")
    assert started.state["state"] == "running"
    assert root.stat().st_mode & 0o777 == mode | 0o600


def test_nothing_is_changed_behind_a_link_that_others_put_there(
    world: World, made: Outcome, root: Path, tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs"
    theirs.write_bytes(b"")
    theirs.chmod(0)
    root.unlink()
    os.symlink(theirs, root)
    with pytest.raises(Partial, match="Permission denied"):
        world.update("Server", made, powerState="running")
    assert theirs.stat().st_mode & 0o777 == 0


def test_nothing_is_changed_of_a_volume_that_kiln_did_not_make(world: World, made: Outcome, root: Path) -> None:
    root.chmod(0)
    del world.node.volumes.named[POOL].marks["it-root"]
    with pytest.raises(Partial, match="Permission denied"):
        world.update("Server", made, powerState="running")
    assert root.stat().st_mode & 0o777 == 0
