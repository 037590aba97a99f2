"""Many operations at once: one winner for each name, and nothing of the losers left."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from kiln.framework.errors import Conflict
from kiln.framework.operations import Outcome

from tests.unit.resources.world import World

RIVALS = 8


@pytest.mark.parametrize("kind", ["Image", "Disk", "Server", "Network"])
def test_of_many_that_want_one_name_exactly_one_gets_it(world: World, kind: str) -> None:
    needed: dict[str, dict[str, Any]] = {
        "Image": {"source": world.raw()},
        "Disk": {"size": "1MiB"},
        "Server": {"disks": [], "powerState": "stopped"},
        "Network": {"mode": "isolated"},
    }
    world.node.volumes.ensure_pool(world.context(), "kiln", None)
    barrier = Barrier(RIVALS)

    def compete(number: int) -> Outcome | Conflict:
        barrier.wait()
        try:
            return world.create(kind, "it", **needed[kind])
        except Conflict as error:
            return error

    with ThreadPoolExecutor(RIVALS) as pool:
        results = list(pool.map(compete, range(RIVALS)))
    winners = [result for result in results if isinstance(result, Outcome)]
    assert len(winners) == 1
    assert all("it" in str(result) for result in results if isinstance(result, Conflict))
    world.delete(kind, winners[0])
    assert world.inventory() == {"guests": {}, "volumes": set(), "marks": {}}
