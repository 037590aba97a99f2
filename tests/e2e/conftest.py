"""The real thing: libvirtd, the pulumi CLI, guests that boot. Each module leaves the node as it found it."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import libvirt
import pytest

from tests.e2e.daemon import Daemon
from tests.e2e.direct import Direct
from tests.e2e.inventory import TEST_PREFIX, URI, Inventory
from tests.e2e.stacks import PLUGIN_DIRECTORY, Runner, Stack
from tests.e2e.witness import has
from tools.guests import GuestImage, debian, tiny
from tools.pulumi_cli import ensure_cli
from tools.setup import libvirtd

POOLS = Path("/var/lib/libvirt/images")
LOGS = Path("/var/log/libvirt/qemu")
_WITH_ALL = (
    libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
    | libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
)


@contextmanager
def _one_at_a_time(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Workers of one test run share the machine and its caches."""
    with (tmp_path_factory.getbasetemp().parent / "kiln-e2e.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session", autouse=True)
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A libvirtd that answers, and the CLI, the plugin and Python of this checkout on PATH."""
    with _one_at_a_time(tmp_path_factory):
        libvirtd.ensure()
        cli = ensure_cli()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{PLUGIN_DIRECTORY}{os.pathsep}{cli.parent}", prepend=os.pathsep)
        patch.delenv("LIBVIRT_DEFAULT_URI", raising=False)
        yield


@pytest.fixture(scope="session")
def tiny_guest(tmp_path_factory: pytest.TempPathFactory) -> GuestImage:
    with _one_at_a_time(tmp_path_factory):
        return tiny.ensure()


@pytest.fixture(scope="session")
def debian_guest(tmp_path_factory: pytest.TempPathFactory) -> GuestImage:
    with _one_at_a_time(tmp_path_factory):
        return debian.ensure()


@pytest.fixture(scope="module")
def prefix() -> str:
    """What the names of all objects of one test module begin with."""
    return TEST_PREFIX + secrets.token_hex(3)


@dataclass(frozen=True)
class TestPool:
    """A storage pool for the tests of one module."""

    __test__ = False
    name: str
    directory: Path

    def files(self) -> set[str]:
        """The names of everything in the directory, sidecars and temporary files included.

        The disk of a probe guest, which another run may try in any pool of the node, is none of this module's.
        """
        return {file.name for file in self.directory.iterdir() if not file.name.startswith(".kiln-probe-")}

    def holds(self, secret: str) -> list[str]:
        """The files with ``secret`` in their bytes."""
        return [file.name for file in self.directory.iterdir() if contains(file, secret)]


def contains(file: Path, text: str) -> bool:
    """Whether a file's bytes hold ``text``, in any of the encodings that ``has`` knows."""
    return has(file.read_bytes(), text)


@pytest.fixture(scope="module")
def daemon(machine: None) -> Iterator[Daemon]:
    """A libvirtd of this module's own. Such a module says that it is where its ``inventory`` looks."""
    with Daemon() as started:
        yield started


@pytest.fixture(scope="module")
def inventory(machine: None) -> Iterator[Inventory]:
    found = Inventory()
    yield found
    found.close()


@pytest.fixture(scope="module")
def pool(prefix: str, inventory: Inventory) -> Iterator[TestPool]:
    """A directory pool of this module's own, which must be empty when the module is done."""
    directory = POOLS / prefix
    directory.mkdir(mode=0o711)
    document = f"<pool type='dir'><name>{prefix}</name><target><path>{directory}</path></target></pool>"
    defined = inventory.connection.storagePoolDefineXML(document)
    defined.create()
    made = TestPool(prefix, directory)
    yield made
    left = made.files()
    defined = inventory.connection.storagePoolLookupByName(prefix)  # the daemon may be another one by now
    if defined.isActive():
        defined.destroy()
    defined.undefine()
    shutil.rmtree(directory)
    assert left == set(), "volumes, sidecars or temporary files were left in the pool"


@pytest.fixture(scope="module", autouse=True)
def nothing_is_left(prefix: str, inventory: Inventory) -> Iterator[None]:
    """A module removes all it made; what it makes bears its prefix.

    Others may use the node meanwhile, other test modules among them, so no more than that can be compared.
    """
    yield
    left = inventory.named(prefix)
    for name in left["domains"]:
        _remove(inventory.domain(name))
    for name in left["networks"]:
        _stop_and_undefine(inventory.connection.networkLookupByName(name))
    for name in left["pools"]:
        _stop_and_undefine(inventory.connection.storagePoolLookupByName(name))
    for log in [*LOGS.glob(f"*{prefix}*"), *LOGS.glob(f"*/*{prefix}*")]:
        log.unlink(missing_ok=True)
    assert left == {"domains": set(), "pools": set(), "networks": set()}


def _remove(domain: Any) -> None:
    """So that one failing module does not fail the next ones."""
    if domain.isActive():
        domain.destroy()
    with suppress(libvirt.libvirtError):  # one that was undefined while it ran is gone now
        domain.undefineFlags(_WITH_ALL)


def _stop_and_undefine(network_or_pool: Any) -> None:
    if network_or_pool.isActive():
        network_or_pool.destroy()
    if network_or_pool.isPersistent():
        network_or_pool.undefine()


@pytest.fixture(scope="session")
def runner(machine: None) -> Iterator[Runner]:
    """The process that runs inline programs."""
    started = Runner()
    yield started
    started.close()


@pytest.fixture(scope="module")
def stacks(tmp_path_factory: pytest.TempPathFactory, pool: TestPool, runner: Runner) -> Iterator[Callable[..., Stack]]:
    """A function that makes stacks; what they hold is destroyed at the end of the module, of each whatever becomes of
    the others."""
    with ExitStack() as ending:

        def make(config: dict[str, Any] | None = None, directory: Path | None = None, **options: Any) -> Stack:
            place = directory or tmp_path_factory.mktemp("stack")
            stack = Stack(runner, place, {"kiln:storagePool": pool.name, **(config or {})}, **options)
            ending.callback(lambda: None if stack.is_empty else stack.destroy())
            return stack

        yield make


@pytest.fixture(scope="module")
def direct(pool: TestPool) -> Iterator[Direct]:
    """Kiln's resources in this process, on the module's pool."""
    provider = Direct(URI, pool.name)
    yield provider
    provider.close()
