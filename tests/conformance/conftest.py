"""Each case through each host."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conformance import dynamic
from tests.conformance.case import Case
from tests.conformance.served import Interrupter, Served, ThroughPulumi
from tests.conformance.world import URI, DistantWorld, World
from tests.hosts.engine import DynamicPlugin, DynamicProcess, FakeEngine, Plugin


@dataclass(frozen=True)
class DynamicHost:
    """Pulumi's dynamic plugin and the world beside it."""

    process: DynamicProcess
    world: DistantWorld


@pytest.fixture(scope="session")
def dynamic_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DynamicHost]:
    """One process for all cases: what starts anew in each test is its world."""
    files = tmp_path_factory.mktemp("dynamic")
    with tempfile.TemporaryDirectory(prefix="kiln-") as short:
        socket = str(Path(short) / "world")  # a socket's path has 107 bytes at most (unix(7))
        config = {"kiln:uri": URI, "kiln:imageStore": str(files / "store")}
        with pytest.MonkeyPatch.context() as patch:  # for the process alone: other tests run in this one
            patch.setenv("XDG_CACHE_HOME", str(files / "cache"))
            process = DynamicProcess(config, ("-m", dynamic.MODULE, str(files / "store"), socket))
        world = DistantWorld(socket)
        yield DynamicHost(process, world)
        world.close()
        process.stop()


@pytest.fixture
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    """The case and the host that the test is parametrised with."""
    case, host = request.param
    yield from request.getfixturevalue(f"through_{host}")(case)


@pytest.fixture
def through_dynamic(request: pytest.FixtureRequest) -> object:
    def serve(case: Case) -> Iterator[Served]:
        host: DynamicHost = request.getfixturevalue("dynamic_host")
        host.world.do(World.begin_again)
        program = host.world.do(case.prepare)
        client = DynamicPlugin(host.process, dynamic.classes()[case.resource.name], host.world, "kiln")
        yield Served(case, client, host.world, program)
        client.stop()

    return serve


@pytest.fixture
def through_pulumi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    def serve(case: Case) -> Iterator[Served]:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        files = tmp_path / "store"
        world, engine, steps = World(files), FakeEngine(), Interrupter()
        config = {"uri": URI, "imageStore": str(files)}
        type = f"kiln:index:{case.resource.name}"
        plugin = Plugin(world.provider, engine, steps, type=type, config=config, world=world)
        plugin.start()
        yield ThroughPulumi(case, plugin, world, world.do(case.prepare), steps, engine)
        plugin.stop()
        engine.stop()

    return serve
