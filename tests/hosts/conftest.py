"""The toys served by each host, spoken to over real gRPC on the loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts.engine import Client, DynamicPlugin, FakeEngine, Plugin
from tests.hosts.toy import ToyProvider


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
    if request.param == "dynamic":
        client: Client = DynamicPlugin(tmp_path / "world.json")
    else:
        plugin = Plugin(ToyProvider(), engine)
        plugin.start()
        client = plugin
    yield client
    client.stop()
