"""The plugin killed, it and the engine killed, libvirtd restarted: at the steps of every operation of every resource.

One run makes, changes or removes many resources of each kind at once. Each stops at a point of its own, and when all
have stopped the fault strikes, so that one run tries all points. What is on the node afterwards is compared with the
state, and after the next run with what a run without a fault makes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.e2e.conftest import TestPool
from tests.e2e.daemon import Daemon
from tests.e2e.inventory import Inventory
from tests.e2e.likeness import belongs, likeness
from tests.e2e.stacks import PLUGIN_DIRECTORY, Program, Run, Stack
from tests.e2e.stopping import Stopping
from tests.e2e.victims import BLANK, KINDS, Place, program
from tests.e2e.waiting import until

SOAK = settings.get_current_profile_name() == "soak"
"""All points of each operation, in all lives; otherwise the first, the one in the middle and the last, in one life."""
RUNS = 2
"""How many runs it may take until all is as it was asked for."""
LIMIT = 240.0
"""Seconds until all operations of a run have come to their points."""
STAGES = ("create", "update", "delete")
PRECIOUS = b"precious"
"""What somebody wrote to a disk."""

Likeness = Mapping[str, Any]


@pytest.fixture(scope="module")
def inventory(daemon: Daemon) -> Iterator[Inventory]:
    found = Inventory(daemon.uri)
    yield found
    found.close()


@dataclass(frozen=True)
class Bench:
    """What a life of a stack is lived with."""

    daemon: Daemon
    inventory: Inventory
    pool: TestPool
    stacks: Callable[..., Stack]
    source: Path
    theirs: str
    """The name of a guest and of a volume that are not Kiln's."""

    def stack(self, plugin: Stopping) -> Stack:
        """A stack whose operations all run at a time, so that each can come to its point."""
        return self.stacks({"kiln:uri": self.daemon.uri}, plugin=plugin.directory, parallel=500)

    def look(self, place: Place, kind: str, number: int) -> Likeness:
        """What is on the node of one resource."""
        return likeness(self.inventory, self.pool.directory, place.name(kind, number), place.prefix)

    def others(self) -> tuple[Likeness, bytes]:
        """What is on the node and not of a stack."""
        directory = self.pool.directory
        return likeness(self.inventory, directory, self.theirs, self.theirs), (directory / self.theirs).read_bytes()


@pytest.fixture(scope="module")
def bench(
    daemon: Daemon,
    inventory: Inventory,
    pool: TestPool,
    stacks: Callable[..., Stack],
    prefix: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Bench]:
    source = tmp_path_factory.mktemp("source") / "blank.raw"
    source.write_bytes(bytes(BLANK))
    theirs = f"{prefix}-theirs"
    volume = pool.directory / theirs
    volume.write_bytes(PRECIOUS.ljust(BLANK))
    guest = f"<domain type='qemu'><name>{theirs}</name><memory>65536</memory><os><type>hvm</type></os></domain>"
    inventory.connection.defineXML(guest)
    yield Bench(daemon, inventory, pool, stacks, source, theirs)
    inventory.domain(theirs).undefine()
    volume.unlink()


@dataclass(frozen=True)
class Ideal:
    """What a life without a fault is like: the number of steps, and what is on the node, by stage and kind."""

    steps: Mapping[str, Mapping[str, int]]
    looks: Mapping[str, Mapping[str, Likeness]]

    def points(self, stage: str, kind: str) -> list[int]:
        """The points at which the operation of this kind is to be struck."""
        last = self.steps[stage].get(kind, 0)
        return list(range(last + 1)) if SOAK else sorted({0, (last + 1) // 2, last})

    def counts(self) -> dict[str, int]:
        """How many resources of each kind that takes."""
        return {kind: max(len(self.points(stage, kind)) for stage in STAGES) for kind in KINDS}

    def aims(self, stage: str, place: Place) -> dict[str, int]:
        """The point of each resource."""
        return {
            place.name(kind, number): point
            for kind in KINDS
            for number, point in enumerate(self.points(stage, kind))
            if self.steps[stage].get(kind)
        }


def stages(place: Place, counts: Mapping[str, int]) -> dict[str, Program]:
    """The programs of a life, after one that has only what all need."""
    return {
        "create": program(place, counts),
        "update": program(place, counts, changed=True),
        "delete": program(place, {}),
    }


@pytest.fixture(scope="module")
def ideal(bench: Bench, prefix: str, tmp_path_factory: pytest.TempPathFactory) -> Ideal:
    """A life of one resource of each kind, without a fault."""
    place = Place(f"{prefix}-i", bench.pool.name, bench.source)
    plugin = Stopping(tmp_path_factory.mktemp("ideal") / "plugin")
    stack = bench.stack(plugin)
    stack.up(program(place, {}))
    steps, looks = {}, {}
    for stage, wanted in stages(place, dict.fromkeys(KINDS, 1)).items():
        plugin.aim({})
        stack.up(wanted)
        seen = plugin.steps()
        steps[stage] = {kind: len(seen.get(place.name(kind, 0), [])) for kind in KINDS}
        looks[stage] = {kind: bench.look(place, kind, 0) for kind in KINDS}
        assert stack.preview(wanted).changed == {}
    stack.destroy()
    return Ideal(steps, looks)


def kill_plugin(bench: Bench, plugin: Stopping) -> None:
    os.kill(plugin.processes()[0], signal.SIGKILL)


def kill_both(bench: Bench, plugin: Stopping) -> None:
    for process in reversed(plugin.processes()):
        os.kill(process, signal.SIGKILL)


def restart_libvirtd(bench: Bench, plugin: Stopping) -> None:
    bench.daemon.restart()
    bench.inventory.reopen()
    plugin.let_go()


Fault = Callable[[Bench, Stopping], None]
LIVES: Mapping[str, tuple[Fault, Fault, Fault]] = {
    "p": (kill_plugin, kill_both, restart_libvirtd),
    "b": (kill_both, restart_libvirtd, kill_plugin),
    "l": (restart_libvirtd, kill_plugin, kill_both),
}
"""The faults at create, update and delete: each fault in each life, and each at every operation in one of them."""


def struck(bench: Bench, stack: Stack, plugin: Stopping, wanted: Program, fault: Fault) -> Run:
    """A run in which the fault strikes when all operations have come to their points, which the plugin was told."""
    aims = set(json.loads((plugin.directory / "aim").read_text()))
    with ThreadPoolExecutor(1) as runner:
        run = runner.submit(stack.up_may_fail, wanted)
        try:
            until(lambda: run.done() or plugin.held() == aims, LIMIT)
            assert not run.done(), f"not at their points: {aims - plugin.held()}; {run.result().text}"
            fault(bench, plugin)
        finally:
            plugin.let_go()
        return run.result()


class Life:
    """The life of a stack under one fault."""

    def __init__(self, bench: Bench, ideal: Ideal, place: Place, stack: Stack) -> None:
        self.bench, self.ideal, self.place, self.stack = bench, ideal, place, stack

    def leftovers(self, *options: str) -> list[str]:
        """What `kiln gc` finds that the state does not hold. Logs are those of the machine's own guests, too."""
        state = self.stack.directory / "state.json"
        state.write_text(self.stack.export())
        command = [str(PLUGIN_DIRECTORY / "kiln"), "gc", self.bench.daemon.uri, "--state", str(state), "--json"]
        scope = ["--pool", self.place.pool]
        found = json.loads(subprocess.run([*command, *scope, *options], check=True, capture_output=True).stdout)
        return [str(item["name"]) for item in found if item["kind"] != "log"]

    def nothing_leaks(self) -> None:
        """All that is on the node is in the state, or found again."""
        inventory = self.bench.inventory
        known = {*self.stack.resources(), *self.leftovers(), self.bench.theirs}
        there = {*inventory.domains(), *inventory.networks(), *self.bench.pool.files()}
        assert {name for name in there if not any(belongs(name, one) for one in known)} == set()

    def converges(self, wanted: Program) -> None:
        """All is as wanted after at most two runs; what was finished and not told of is removed as the message says."""
        for left in reversed(range(RUNS)):
            run = self.stack.up_may_fail(wanted)
            if not run.failed:
                break
            assert left, run.text
            assert "kiln gc" in run.text, run.text
            assert self.leftovers("--yes", "--only", self.place.prefix)
        assert self.stack.preview(wanted).changed == {}
        assert self.leftovers() == []

    def write(self, count: int) -> None:
        """Somebody writes to the disks."""
        for number in range(count):
            with (self.bench.pool.directory / self.place.name("disk", number)).open("r+b") as disk:
                disk.write(PRECIOUS)

    def is_written(self, count: int) -> bool:
        """Whether the disks still have what somebody wrote."""
        disks = [self.bench.pool.directory / self.place.name("disk", number) for number in range(count)]
        return all(disk.read_bytes().startswith(PRECIOUS) for disk in disks)

    def is_as_without(self, stage: str, counts: Mapping[str, int]) -> None:
        """The node has exactly what it has after a life without a fault."""
        for kind, count in counts.items():
            for number in range(count):
                assert self.bench.look(self.place, kind, number) == self.ideal.looks[stage][kind]


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("order", LIVES if SOAK else [next(iter(LIVES))])
def test_after_a_fault_at_the_steps_of_all_resources_nothing_is_lost_or_left(
    bench: Bench, ideal: Ideal, prefix: str, tmp_path: Path, order: str
) -> None:
    place = Place(f"{prefix}-{order}", bench.pool.name, bench.source)
    plugin, counts = Stopping(tmp_path / "plugin"), ideal.counts()
    stack = bench.stack(plugin)
    life = Life(bench, ideal, place, stack)
    stack.up(program(place, {}))
    held, others = set[str](), bench.others()
    for (stage, wanted), fault in zip(stages(place, counts).items(), LIVES[order], strict=True):
        plugin.aim(ideal.aims(stage, place))
        uuids = guests(bench, place)
        run = struck(bench, stack, plugin, wanted, fault)
        assert run.failed or fault is restart_libvirtd
        assert "Traceback" not in run.text
        if fault is kill_both:
            stack.unlock()
        assert stage == "delete" or held <= stack.resources().keys(), "what is there was forgotten"
        assert stage != "update" or guests(bench, place) == uuids, "a guest was replaced"
        life.nothing_leaks()
        plugin.aim({})
        life.converges(wanted)
        life.is_as_without(stage, counts)
        assert bench.others() == others
        if stage == "create":
            life.write(counts["disk"])
        assert stage != "update" or life.is_written(counts["disk"])
        held = set(stack.resources())
    stack.destroy()


def guests(bench: Bench, place: Place) -> dict[str, str]:
    """The UUIDs of the guests of a life."""
    names = bench.inventory.named(place.prefix)["domains"]
    return {name: bench.inventory.uuid(name) for name in names}
