"""Any life of a stack: programs that change, drift, faults at any point; what is asked for is there in the end.

The model is the program: once the fault is lifted, the node has what it says, and nothing else of this stack.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from kiln.framework.context import Context
from kiln.framework.errors import Conflict, KilnError
from kiln.framework.operations import Partial
from kiln.framework.units import Size
from kiln.ports.overlays import OverlaySpec
from kiln.ports.volumes import VolumeRef
from kiln.resources.server.seeds import remove_ended_seeds

from tests.faults.node import FaultyWorld, add_things_of_others
from tests.faults.points import How, Killed, Points
from tests.faults.scenarios.servers import HASH, NIC, NO_MOUSE, THREADS
from tests.faults.stack import Program, Stack
from tests.faults.sweep import RUNS, SOAK, others
from tests.unit.resources.world import POOL

CASES = 5000 if SOAK else 200

servers = st.fixed_dictionaries(
    {
        "name": st.just("web"),
        "image": st.sampled_from(["kiln/base", None]),
        "memory": st.sampled_from(["64MiB", "128MiB"]),
        "networks": st.sampled_from([[NIC], []]),
        "powerState": st.sampled_from(["running", "stopped"]),
        "autostart": st.booleans(),
        "description": st.sampled_from([None, "one", "two"]),
        "graphics": st.sampled_from(["none", "vnc"]),
        "disks": st.lists(st.sampled_from(["kiln/own", "kiln/data", "kiln/cd"]), unique=True),
        "firstBoot": st.just({"password": HASH}),
        "xmlOverlay": st.sampled_from([None, [THREADS], [NO_MOUSE]]),
        "restartPolicy": st.sampled_from(["allowed", "allowed", "deferred"]),
    }
)
networks = st.fixed_dictionaries(
    {
        "addresses": st.sampled_from([["10.17.3.0/24"], ["10.18.0.0/24"]]),
        "autostart": st.booleans(),
        "reservations": st.sampled_from([None, [{"mac": NIC["mac"], "address": "10.17.3.20"}]]),
    }
)


def is_forced_off(world: FaultyWorld) -> None:
    for uuid in list(world.bare.domains.guests):
        world.bare.domains.destroy(Context(), uuid)


def is_undefined(world: FaultyWorld) -> None:
    for uuid, guest in list(world.bare.domains.guests.items()):
        if guest.domain.mark is not None:
            world.bare.domains.undefine(Context(), uuid)


def loses_its_disk(world: FaultyWorld) -> None:
    world.bare.volumes.delete(Context(), VolumeRef(POOL, "own"))


def loses_its_network(world: FaultyWorld) -> None:
    for network in [one for one in world.bare.networks.known if one.mark is not None]:
        world.bare.networks.stop(Context(), network.uuid)
        world.bare.networks.undefine(Context(), network.uuid)


def stops_its_network(world: FaultyWorld) -> None:
    for network in [one for one in world.bare.networks.known if one.mark is not None]:
        world.bare.networks.stop(Context(), network.uuid)


DRIFTS: tuple[Callable[[FaultyWorld], None], ...] = (
    is_forced_off, is_undefined, loses_its_disk, loses_its_network, stops_its_network
)  # fmt: skip


class Life(RuleBasedStateMachine):
    """A stack with a server, a disk and a network, any of which may come and go."""

    def __init__(self) -> None:
        super().__init__()
        self.files = Path(tempfile.mkdtemp(prefix="kiln-faults-"))
        self.world = FaultyWorld(self.files)
        add_things_of_others(self.world)
        self.stack = Stack(self.world)
        self.wanted: dict[str, dict[str, Any]] = {}
        self.drifted = False

    def teardown(self) -> None:
        try:
            self.converges()
        finally:
            shutil.rmtree(self.files)

    @initialize(server=servers, network=networks)
    def all_is_made(self, server: dict[str, Any], network: dict[str, Any]) -> None:
        self.theirs = others(self.world.bare)
        self.change_the_disk(1)
        self.change_the_network(network)
        self.change_the_server(server)
        self.converges()

    @rule(inputs=st.none() | servers)
    def change_the_server(self, inputs: dict[str, Any] | None) -> None:
        self._want("web", inputs)

    @rule(inputs=st.none() | networks)
    def change_the_network(self, inputs: dict[str, Any] | None) -> None:
        if inputs is not None and inputs["addresses"] != ["10.17.3.0/24"]:
            inputs = {**inputs, "reservations": None}
        self._want("lab", inputs)

    @rule(mebibytes=st.none() | st.integers(1, 3))
    def change_the_disk(self, mebibytes: int | None) -> None:
        """A disk grows, and goes, and does not shrink."""
        entry = self.stack.entries.get("own")
        least = max(Size.parse(one["size"]).bytes >> 20 for one in (entry.inputs, {"size": "1MiB"})) if entry else 1
        self._want("own", None if mebibytes is None else {"size": f"{max(mebibytes, least)}MiB"})

    @rule(drift=st.sampled_from(DRIFTS))
    def somebody_interferes(self, drift: Callable[[FaultyWorld], None]) -> None:
        drift(self.world)
        self.drifted = True

    @rule(at=st.integers(0, 30), how=st.sampled_from(get_args(How)))
    def a_run_meets_a_fault(self, at: int, how: How) -> None:
        self._look()
        self._runs(Points(at, how))
        assert others(self.world.bare) == self.theirs

    @rule()
    def a_refresh(self) -> None:
        self.drifted = True
        self._look()

    @precondition(lambda self: not self.drifted)
    @rule()
    def leftovers_are_collected(self) -> None:
        ids = {entry.made.id for entry in self.stack.entries.values()}
        removed = self.world.collect(self.stack.held())
        assert ids.isdisjoint(removed), "gc removed what the stack holds"

    @rule()
    def converges(self) -> None:
        self._look()
        assert any(self._runs(Points()) for _ in range(RUNS))
        assert self.stack.changes(self.program()) == {}
        self.stack.refresh()
        assert self.stack.changes(self.program()) == {}
        remove_ended_seeds(Context(), self.world.bare)
        self.world.collect(self.stack.held())
        assert others(self.world.bare) == self.theirs
        self._is_as_wanted()

    def _runs(self, points: Points) -> bool:
        """Whether a run ends well. Raises what it failed with when neither a fault nor what an earlier one left was
        the cause."""
        self.world.points = points
        try:
            self.stack.up(self.program())
        except (KilnError, Partial, Killed) as error:
            if not (points.struck or self._is_mended(error)):
                raise
            return False
        finally:
            self.world.new_process()
        return True

    def _is_mended(self, error: BaseException) -> bool:
        """What was finished, and the engine never told of, is removed or taken over as the message says."""
        if not (isinstance(error, Conflict) and "kiln gc" in str(error)):
            return False
        return bool(self.world.collect(self.stack.held())) or self._is_imported()

    def _is_imported(self) -> bool:
        """What a guest has is not removed."""
        if "own" not in self.program() or "own" in self.stack.entries:
            return False
        self.stack.take_over("own", "Disk", f"{POOL}/own")
        return True

    def program(self) -> Program:
        """What is wanted, with only those disks that are."""
        kinds = {"own": "Disk", "lab": "Network", "web": "Server"}
        wanted = {name: dict(self.wanted[name]) for name in kinds if name in self.wanted}
        if "web" in wanted and "own" not in wanted:
            wanted["web"]["disks"] = [disk for disk in wanted["web"]["disks"] if disk != "kiln/own"]
        return {name: (kinds[name], inputs) for name, inputs in wanted.items()}

    def _want(self, name: str, inputs: dict[str, Any] | None) -> None:
        if inputs is None:
            self.wanted.pop(name, None)
        else:
            # A delete may have ended half-way, which only the node tells, and what is wanted now may not replace.
            self.drifted = self.drifted or name in self.stack.half_deleted
            self.wanted[name] = {key: value for key, value in inputs.items() if value is not None}

    def _look(self) -> None:
        if self.drifted:
            self.stack.refresh()
            self.drifted = False

    def _is_as_wanted(self) -> None:
        program, node = self.program(), self.world.bare
        guests = [guest.told() for guest in node.domains.guests.values() if guest.domain.mark is not None]
        assert [guest.name for guest in guests] == (["web"] if "web" in program else [])
        for guest in guests:
            inputs = program["web"][1]
            paths = {(disk.path or "").rpartition("/")[2] for disk in guest.disks} - {"web-root", "web-seed"}
            assert guest.state == inputs["powerState"]
            assert guest.memory << 10 == Size.parse(inputs["memory"]).bytes
            assert (guest.autostart, guest.description) == (inputs["autostart"], inputs.get("description"))
            waits = set(self.stack.entries["web"].made.state.get("pendingRestart") or ())
            if guest.live is not None:
                assert (guest.live.memory == guest.memory) == ("memory" not in waits)
                assert (guest.live.asked == guest.asked) == waits.isdisjoint(guest.asked)
                assert inputs["restartPolicy"] == "deferred" or not waits
                assert {disk.path for disk in guest.live.disks} == {disk.path for disk in guest.disks}
            overlay = tuple(OverlaySpec(**one) for one in inputs.get("xmlOverlay", ()))
            assert node.domains.guests[guest.uuid].overlay == overlay
            assert paths == {disk.removeprefix("kiln/") for disk in inputs["disks"]}
        volumes = node.volumes.named[POOL].volumes
        assert ("own" in volumes) == ("own" in program)
        assert not any(name.startswith("web-") for name in volumes) or "web" in program
        assert [one.active for one in node.networks.known if one.mark is not None] == [True] * ("lab" in program)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=CASES, stateful_step_count=16, derandomize=not SOAK)
