"""A libvirtd that is there and answers nothing: whatever is asked of it ends in time, and is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import pulumi_kiln as kiln
import pytest
from kiln.framework.context import Context
from kiln.framework.errors import DeadlineExceeded, Unreachable
from kiln.platforms.libvirt.connection import OPEN_SECONDS
from kiln.platforms.libvirt.node import LibvirtNode
from kiln.platforms.libvirt.nodes import Connections
from kiln.ports.volumes import Chunk, VolumeRef

from tests.e2e.conftest import TestPool
from tests.e2e.daemon import Daemon
from tests.e2e.direct import Direct
from tests.e2e.inventory import Inventory
from tests.e2e.stacks import Stack

SECONDS = 4.0
"""The time-out of each call."""
GRACE = 5.0
"""How much later it may end."""
WHOLE_RUN = 60.0
"""What a run of the CLI may take beside that."""
UUID = "00000000-0000-4000-8000-000000000007"
"""No guest and no network has it: what hung is done late, once the daemon goes on, and none of it changes much."""


@pytest.fixture(scope="module")
def inventory(daemon: Daemon) -> Iterator[Inventory]:
    found = Inventory(daemon.uri)
    yield found
    found.close()


Call = Callable[[LibvirtNode, Context, VolumeRef], object]
CALLS: Mapping[str, Call] = {
    "facts": lambda node, ctx, ref: node.facts(ctx),
    "domains": lambda node, ctx, ref: node.domains.list(ctx),
    "domain": lambda node, ctx, ref: node.domains.get(ctx, UUID),
    "start": lambda node, ctx, ref: node.domains.start(ctx, UUID),
    "shutdown": lambda node, ctx, ref: node.domains.shutdown(ctx, UUID, 1),
    "undefine": lambda node, ctx, ref: node.domains.undefine(ctx, UUID),
    "resize": lambda node, ctx, ref: node.domains.resize_disk(ctx, "/none", 1 << 20),
    "pools": lambda node, ctx, ref: node.volumes.pools(ctx),
    "volumes": lambda node, ctx, ref: node.volumes.list(ctx, ref.pool),
    "volume": lambda node, ctx, ref: node.volumes.get(ctx, ref),
    "create": lambda node, ctx, ref: node.volumes.create(ctx, ref, format="raw", virtual_size=1 << 20),
    "grow": lambda node, ctx, ref: node.volumes.grow(ctx, ref, 2 << 20),
    "upload": lambda node, ctx, ref: node.volumes.upload(ctx, ref, iter([Chunk(b"x" * 512)])),
    "download": lambda node, ctx, ref: node.volumes.download(ctx, ref, 0, 512),
    "networks": lambda node, ctx, ref: node.networks.list(ctx),
    "stop": lambda node, ctx, ref: node.networks.stop(ctx, UUID),
}


@pytest.mark.parametrize("connected", [True, False], ids=["connected", "not connected"])
def test_every_call_to_a_libvirtd_that_hangs_ends_by_its_deadline_and_the_next_one_connects_again(
    daemon: Daemon, pool: TestPool, prefix: str, connected: bool
) -> None:
    ref = VolumeRef(pool.name, f"{prefix}-v")
    all_nodes = {what: Connections() for what in CALLS}
    calm = Context().limited(60)
    first = Connections().get(calm, daemon.uri)
    first.volumes.create(calm, ref, format="raw", virtual_size=1 << 20)
    nodes = {what: one.get(calm, daemon.uri) for what, one in all_nodes.items()}
    if not connected:
        for one in all_nodes.values():
            one.close()

    def ends(what: str) -> None:
        with pytest.raises((DeadlineExceeded, Unreachable)) as caught:
            CALLS[what](nodes[what], Context().limited(SECONDS), ref)
        assert caught.value.node == daemon.uri
        assert caught.value.action

    with daemon.suspended(), ThreadPoolExecutor(len(CALLS)) as threads:
        ending = {what: threads.submit(ends, what) for what in CALLS}
        for what, future in ending.items():
            assert future.exception(timeout=SECONDS + GRACE) is None, what
    for node in nodes.values():
        assert ref in [volume.ref for volume in node.volumes.list(calm, pool.name)]
    first.volumes.delete(calm, ref)
    for one in all_nodes.values():
        one.close()


def test_a_refresh_of_a_libvirtd_that_hangs_is_told_in_time_and_forgets_nothing(
    stacks: Callable[..., Stack], daemon: Daemon, prefix: str
) -> None:
    def program() -> None:
        kiln.Disk(f"{prefix}-disk", size="1MiB", format="raw")

    stack = stacks({"kiln:uri": daemon.uri})
    stack.up(program)
    held = known(stack)
    with daemon.suspended(), ThreadPoolExecutor(1) as threads:
        for run in (stack.refresh_fails, lambda: stack.up_fails(_two(prefix))):
            text = threads.submit(run).result(timeout=OPEN_SECONDS + GRACE + WHOLE_RUN)
            assert f"could not connect to {daemon.uri}" in text
            assert "does not answer" in text
            assert "Next: " in text
            assert "Traceback" not in text
    assert known(stack) == held
    assert stack.refresh().changed == {}
    assert stack.preview(program).changed == {}


def known(stack: Stack) -> dict[str, object]:
    """What the state says of each resource."""
    return {name: (entry["id"], entry["outputs"]) for name, entry in stack.resources().items()}


def _two(prefix: str) -> Callable[[], None]:
    def program() -> None:
        for name in ("disk", "more"):
            kiln.Disk(f"{prefix}-{name}", size="1MiB", format="raw")

    return program


def test_a_provider_that_was_connected_before_libvirtd_was_restarted_works_on(
    daemon: Daemon, inventory: Inventory, pool: TestPool, prefix: str
) -> None:
    direct = Direct(daemon.uri, pool.name)
    made = direct.make("Disk", f"{prefix}-d", size="1MiB", format="raw")
    guest = direct.make("Server", f"{prefix}-g", networks=[], disks=[made.id], memory="64MiB", shutdownTimeout=1)
    daemon.restart()
    inventory.reopen()
    assert direct.read("Disk", made) is not None
    assert inventory.running(f"{prefix}-g"), "guests run on"
    again = direct.change("Server", guest, description="told after the restart")
    direct.remove("Server", again)
    direct.remove("Disk", made)
    direct.close()
