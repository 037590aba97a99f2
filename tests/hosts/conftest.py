"""The toys served by each host, spoken to over real gRPC on the loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts.engine import Client, DynamicPlugin, DynamicProcess, FakeEngine, Plugin
from tests.hosts.toy import ToyProvider, World
from tests.hosts.toy_dynamic import Thing


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    engine = FakeEngine()
    yield engine
    engine.stop()


@pytest.fixture
def plugin(engine: FakeEngine) -> Iterator[Plugin]:
    plugin = Plugin(ToyProvider(), engine)
    plugin.start()
    yield plugin
    plugin.stop()


@pytest.fixture(params=["pulumi", "dynamic"])
def client(request: pytest.FixtureRequest, engine: FakeEngine, tmp_path: Path) -> Iterator[Client]:
    """The same toys through each host."""
    if request.param == "pulumi":
        plugin = Plugin(ToyProvider(), engine)
        plugin.start()
        yield plugin
        plugin.stop()
        return
    file = tmp_path / "world.json"
    process = DynamicProcess({"toy:must": "yes", "toy:world": str(file)})
    client = DynamicPlugin(process, Thing, World(file), "toy")
    yield client
    client.stop()
    process.stop()
