"""Two stacks at once on one node and in one pool, each with a provider and connections of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from kiln.framework.errors import Conflict, KilnError
from kiln.framework.operations import Outcome

from tests.e2e.conftest import TestPool
from tests.e2e.daemon import Daemon
from tests.e2e.direct import Direct
from tests.e2e.inventory import Inventory

WORKERS = 8
ROUNDS = 50


@pytest.fixture(scope="module")
def inventory(daemon: Daemon) -> Iterator[Inventory]:
    found = Inventory(daemon.uri)
    yield found
    found.close()


@pytest.fixture
def two(daemon: Daemon, pool: TestPool) -> Iterator[tuple[Direct, Direct]]:
    made = Direct(daemon.uri, pool.name), Direct(daemon.uri, pool.name)
    yield made
    for provider in made:
        provider.close()


def test_two_stacks_work_in_one_pool_and_neither_hinders_the_other(
    two: tuple[Direct, Direct], pool: TestPool, prefix: str, tmp_path: Path
) -> None:
    source = tmp_path / "blank.raw"
    source.write_bytes(bytes(1 << 20))

    def work(worker: int) -> None:
        direct = two[worker % 2]
        for number in range(ROUNDS):
            name = f"{prefix}-{worker}-{number}"
            disk = direct.make("Disk", name, size="1MiB", format=("raw", "qcow2")[number % 2])
            image = direct.make("Image", f"{name}-i", source=str(source))
            clone = direct.make("Disk", f"{name}-c", image=image.id)
            disk = direct.change("Disk", disk, size="2MiB")
            assert direct.read("Disk", disk) is not None
            for kind, made in (("Disk", clone), ("Image", image), ("Disk", disk)):
                direct.remove(kind, made)

    with ThreadPoolExecutor(WORKERS) as threads:
        for done in [threads.submit(work, worker) for worker in range(WORKERS)]:
            done.result()
    assert two[0].warnings + two[1].warnings == []
    assert pool.files() == set()


@pytest.mark.parametrize(
    ("kind", "inputs"),
    [
        ("Disk", {"size": "1MiB", "format": "raw"}),
        ("Network", {"mode": "isolated", "addresses": ["10.199.1.0/24"]}),
        ("Server", {"networks": [], "disks": [], "memory": "64MiB", "powerState": "stopped"}),
    ],
    ids=["disk", "network", "server"],
)
def test_of_two_stacks_that_want_one_name_one_gets_it_and_the_other_is_told(
    two: tuple[Direct, Direct], prefix: str, kind: str, inputs: dict[str, object]
) -> None:
    barrier = threading.Barrier(2)

    def make(direct: Direct) -> Outcome | KilnError:
        barrier.wait()
        try:
            return direct.make(kind, f"{prefix}-same", **inputs)
        except KilnError as error:
            return error

    for _ in range(10):
        with ThreadPoolExecutor(2) as threads:
            ends = list(threads.map(make, two))
        (lost,) = [end for end in ends if isinstance(end, KilnError)]
        assert isinstance(lost, Conflict)
        assert f"{prefix}-same" in str(lost)
        assert lost.action
        ((winner, made),) = [(by, end) for by, end in zip(two, ends, strict=True) if not isinstance(end, KilnError)]
        winner.remove(kind, made)
