"""A node that is reached over ssh: nothing of it is a file here, all bytes go through libvirt.

ssh itself is a stand-in that runs the command here which it is asked to run there (``command`` of
https://libvirt.org/uri.html): no daemon and no key is needed, and libvirt does all it does for a machine far away.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pulumi
import pulumi_kiln as kiln
import pytest

from tests.e2e.conftest import TestPool
from tests.e2e.guests import tiny_image, tiny_server
from tests.e2e.inventory import URI, Inventory, image_info
from tests.e2e.stacks import Program, Stack
from tools.guests import GuestImage

SSH = """#!/bin/sh
# Skips its options and the host's name.
until [ "$1" = -- ]; do shift; done
shift 2
exec sh -c "$*"
"""
DATA = b"data" * 1024


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URI of this machine as one that is elsewhere."""
    ssh = tmp_path_factory.mktemp("ssh") / "ssh"
    ssh.write_text(SSH)
    ssh.chmod(0o755)
    return f"qemu+ssh://root@node.example/system?command={ssh}"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A raw disk with holes."""
    file = tmp_path_factory.mktemp("source") / "data.raw"
    with file.open("wb") as stream:
        stream.write(DATA)
        stream.truncate(64 << 20)
    return file


def on(uri: str, prefix: str, guest: GuestImage, source: Path) -> Program:
    def program() -> None:
        image = tiny_image(f"{prefix}-image", guest, node=uri)
        data = kiln.Disk(f"{prefix}-data", node=uri, source=str(source), format="raw")
        server = tiny_server(f"{prefix}-web", image.id, node=uri, disks=[data.id], wait_for="firstBoot")
        pulumi.export("password", server.initial_password)

    return program


def test_a_guest_is_made_on_a_node_that_is_reached_over_ssh(
    stacks: Callable[..., Stack],
    prefix: str,
    tiny_guest: GuestImage,
    inventory: Inventory,
    pool: TestPool,
    remote: str,
    source: Path,
) -> None:
    stack, name = stacks(), f"{prefix}-web"
    there, here = (on(uri, prefix, tiny_guest, source) for uri in (remote, URI))
    run = stack.up(there)
    assert inventory.running(name)
    assert len(run.outputs["password"]) == 20
    assert f"{name}-seed" not in pool.files()
    stored = pool.directory / f"{prefix}-data"
    assert stored.read_bytes().startswith(DATA)
    assert image_info(stored)["virtual-size"] == 64 << 20
    assert stored.stat().st_blocks * 512 < 16 << 20, "its holes were sent"
    assert stack.refresh().changed == {}

    ran = inventory.domain(name).ID()
    preview = stack.preview(here)
    assert preview.changed == {"update": 3}
    assert "live: the same machine" in preview.text
    assert stack.up(here).changed == {"update": 3}
    assert inventory.domain(name).ID() == ran
    assert stack.resources()[name]["outputs"]["console"]["command"] == f"virsh -c '{URI}' console {name}"


def test_a_disk_is_made_over_ssh_with_no_plugin_once_grpc_lets_it_start_ssh(
    stacks: Callable[..., Stack], prefix: str, pool: TestPool, remote: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRPC_ENABLE_FORK_SUPPORT", "0")
    stack, name = stacks(), f"{prefix}-bare"

    def program() -> None:
        from kiln.dynamic import Disk

        pulumi.export("path", Disk(name, node=remote, pool=pool.name, size="8MiB").path)

    assert stack.up(program).outputs["path"] == str(pool.directory / name)
    assert stack.refresh().changed == {}
    stack.destroy()
    assert name not in pool.files()
