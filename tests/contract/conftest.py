"""Every driver of the ports: in memory, and libvirt with files within reach and without."""

from __future__ import annotations

import fcntl
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import libvirt
import pytest
from kiln.framework.context import Context
from kiln.platforms.libvirt.connection import Link
from kiln.platforms.libvirt.node import LibvirtNode
from kiln.ports.nodes import Node

from tests.fakes.memory import MemoryNode
from tools.setup import libvirtd

SYSTEM = "qemu:///system"
# Another machine by its name, this one by its address: nothing is then done past libvirt.
ELSEWHERE = "qemu+tls://elsewhere/system"
DRIVERS = ("memory", "memory with files", "qemu with files", "qemu over streams")


@pytest.fixture(scope="session")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A libvirtd that answers; workers of one run start it one after the other."""
    with (tmp_path_factory.getbasetemp().parent / "kiln-contract.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        libvirtd.ensure()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test's own: nothing is known from before."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "kiln"


@pytest.fixture
def ctx() -> Context:
    return Context(urn="urn:pulumi:test::contract::kiln:index:Thing::it").limited(120)


@pytest.fixture(params=DRIVERS)
def node(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Node]:
    """A node of each driver."""
    driver = str(request.param)
    if driver.startswith("memory"):
        yield MemoryNode("memory:///it", tmp_path / "pools" if "files" in driver else None)
        return
    request.getfixturevalue("daemon")
    uri = SYSTEM if "files" in driver else ELSEWHERE
    links = Link(uri, SYSTEM), Link(uri, SYSTEM)
    yield LibvirtNode(*links)
    for link in links:
        link.close()


@pytest.fixture
def libvirt_node(node: Node) -> LibvirtNode:
    """For tests of what only a real node does; give it with ``real``."""
    return cast(LibvirtNode, node)


@pytest.fixture
def connection(daemon: None) -> Iterator[libvirt.virConnect]:
    """Somebody else on the node."""
    opened = libvirt.open(SYSTEM)
    yield opened
    opened.close()


@pytest.fixture
def name() -> str:
    """A name that nothing else has."""
    return f"contract-{secrets.token_hex(4)}"


@pytest.fixture
def pool(node: Node, ctx: Context, name: str) -> Iterator[str]:
    """A pool of this test's own, made by Kiln, which nothing may be left of."""
    volumes = node.volumes
    assert volumes.ensure_pool(ctx, name, None)
    directory = Path(volumes.pool(ctx, name).path)
    yield name
    ctx = Context().limited(60)  # the test may have used up its time
    for volume in volumes.list(ctx, name):
        volumes.delete(ctx, volume.ref)
    for ref, _ in volumes.marks(ctx, name):
        volumes.delete_mark(ctx, ref)
    assert volumes.remove_pool(ctx, name)
    assert not directory.is_relative_to("/var") or not directory.exists(), "files were left in the pool"


@pytest.fixture
def no_guest_is_left(node: Node, ctx: Context, name: str) -> Iterator[None]:
    yield
    ctx = Context().limited(60)
    for domain in node.domains.list(ctx):
        if domain.name.startswith(name):
            node.domains.destroy(ctx, domain.uuid)
            node.domains.undefine(ctx, domain.uuid)
    Path(f"/var/log/libvirt/qemu/{name}.log").unlink(missing_ok=True)


real = pytest.mark.parametrize("node", [driver for driver in DRIVERS if driver.startswith("qemu")], indirect=True)
local = pytest.mark.parametrize("node", [driver for driver in DRIVERS if "files" in driver], indirect=True)
