"""A scenario and the sweep over all points at which a fault can strike in it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import pytest
from _pytest.mark import ParameterSet
from hypothesis import settings
from kiln.framework.context import Context
from kiln.framework.errors import Conflict, KilnError
from kiln.framework.operations import Partial
from kiln.resources.server.seeds import remove_ended_seeds

from tests.fakes.memory import MemoryNode
from tests.faults.node import OTHERS, FaultyWorld, add_things_of_others, differences, inventory
from tests.faults.points import How, Killed, Points
from tests.faults.stack import Program, Stack
from tests.unit.resources.world import POOL

Recovery = Literal["up", "refresh", "gc"]
"""What the user does first once the fault is lifted; then comes `up`."""

Way = tuple[How, Recovery, Literal["local", "remote"]]
WAYS: tuple[Way, ...] = (
    ("fails", "up", "local"),
    ("fails", "refresh", "remote"),
    ("goes", "up", "remote"),
    ("goes", "gc", "local"),
    ("dies", "up", "remote"),
    ("dies", "refresh", "local"),
    ("dies", "gc", "remote"),
)
"""How the fault strikes, what comes next, and whether the pool is a directory on the machine that runs Kiln."""

SOAK = settings.get_current_profile_name() == "soak"

RUNS = 2
"""How many runs it may take until all is as it was asked for."""


@dataclass(frozen=True)
class Scenario:
    """A stack goes from one program to another, after it had the ``first`` one. ``meanwhile`` is what happens on the
    node between the two last runs, and ``kept`` are volumes whose content outlives every fault.

    ``killed`` is a run before the last one that was killed: its program, and the point. ``refreshed``: the user looks
    at the node before the last run; ``looks``: they have to after a fault, whatever else they do.
    """

    before: Callable[[FaultyWorld], Program]
    after: Callable[[FaultyWorld], Program]
    meanwhile: Callable[[FaultyWorld], None] = lambda world: None
    kept: tuple[str, ...] = ()
    first: Callable[[FaultyWorld], Program] | None = None
    killed: tuple[Callable[[FaultyWorld], Program], str] | None = None
    refreshed: bool = False
    looks: bool = False


def performances(scenarios: Iterable[str]) -> list[ParameterSet]:
    """Each scenario with the ways in which it is swept: all in a soak, else one for each kind of fault, with another
    recovery from one scenario to the next."""
    found = []
    for number, scenario in enumerate(scenarios):
        for how in get_args(How):
            ways = [way for way in WAYS if way[0] == how]
            found += [(scenario, way) for way in (ways if SOAK else [ways[number % len(ways)]])]
    return [pytest.param(scenario, way, id="-".join((scenario, *way))) for scenario, way in found]


class Play:
    """One performance of a scenario on a new node, up to where the fault may strike. Each has the same paths."""

    def __init__(self, scenario: Scenario, files: Path, *, local: bool) -> None:
        self.scenario = scenario
        shutil.rmtree(files, ignore_errors=True)
        files.mkdir()
        self.world = FaultyWorld(files, local=local)
        add_things_of_others(self.world)
        self.stack = Stack(self.world)
        if scenario.first is not None:
            self.stack.up(scenario.first(self.world))
        self.stack.up(scenario.before(self.world))
        self.program = scenario.after(self.world)
        for volume in scenario.kept:
            self.world.write(volume)
        scenario.meanwhile(self.world)
        self.world.new_process()
        if scenario.killed is not None:
            self._is_killed(*scenario.killed)
        if scenario.refreshed:
            self._looks()
        self.theirs = others(self.world.bare)

    def run(self, points: Points) -> None:
        """The run in which the fault strikes; nothing of its process is left afterwards."""
        self.world.points = points
        try:
            self.stack.up(self.program)
        except (KilnError, Partial, Killed):
            assert points.struck, "it failed without a fault"
        finally:
            self.world.new_process()

    def _is_killed(self, program: Callable[[FaultyWorld], Program], point: str) -> None:
        self.world.points = Points(point, "dies")
        with pytest.raises(Killed):
            self.stack.up(program(self.world))
        self.world.new_process()

    def _looks(self) -> None:
        self.stack.refresh()
        assert not self.world.points.seen, "a refresh changed something"
        self.world.new_process()

    def recover(self, recovery: Recovery, how: How) -> None:
        """What the user does next, and the runs after it. Raises AssertionError when they do not converge."""
        if recovery == "refresh" or self.scenario.looks:
            self.stack.refresh()
        match recovery:
            case "refresh":
                self.world.collect(self.stack.held())  # what a half-done delete left, once the state forgot it
            case "gc":
                before = self._held()
                # Only what was begun and never reached the state can be told from what is in it without the state.
                self.world.collect(None if how == "dies" else self.stack.held())
                self.world.new_process()
                assert self._held() == before, "gc removed what a stack holds"
        for left in reversed(range(RUNS)):
            try:
                self.stack.up(self.program)
                return
            except (KilnError, Partial) as error:
                self._mend(error, how, left)
            finally:
                self.world.new_process()

    def remove_ended_seeds(self) -> None:
        """What any later run on the node does."""
        remove_ended_seeds(Context(), self.world.bare)

    def _mend(self, error: Exception, how: How, left: int) -> None:
        """An object that was finished, and whose engine was never told, is refused; the message says what to do."""
        if isinstance(error, Conflict) and how != "fails":
            assert "import" in str(error)
            assert "kiln gc" in str(error)
            assert self.world.collect(self.stack.held())
        elif not left:
            raise error

    def _held(self) -> set[str]:
        """The ids in the state of which there is the object."""
        node = self.world.bare
        volumes = {f"{pool}/{name}" for pool, one in node.volumes.named.items() for name in one.volumes}
        networks = {network.uuid for network in node.networks.known}
        snapshots = {f"{guest}/{name}" for guest, name in node.snapshots.known}
        there = {*volumes, *networks, *snapshots, *node.domains.guests}
        return {entry.made.id for entry in self.stack.entries.values()} & there


def sweep(scenario: Scenario, files: Path, way: Way) -> None:
    """Strike at each point of a scenario in turn, and see after each that all is well.

    After the fault nothing of others has changed, and what has to be kept is. After what the user does next, the node
    has exactly what it has when there was no fault, a preview is empty, one after a refresh as well, and there is
    nothing that `kiln gc` would find.
    """
    how, recovery, place = way
    points, expected = _without_fault(scenario, files, local=place == "local")
    if scenario.killed is not None:
        never_killed = replace(scenario, killed=None)
        assert differences(expected, _without_fault(never_killed, files, local=place == "local")[1]) == []
    for number, point in enumerate(points.seen):
        if how != "fails" and "step" in point:
            continue  # the node is as it is at the call next to it
        play = Play(scenario, files / "stage", local=place == "local")
        play.run(Points(number, how))
        with _noting(f"{how} {point}, then {recovery}"):
            assert others(play.world.bare) == play.theirs
            play.recover(recovery, how)
            assert others(play.world.bare) == play.theirs
            assert play.stack.changes(play.program) == {}
            play.remove_ended_seeds()
            assert differences(inventory(play.world.bare), expected) == []
            assert [item.id for item in play.world.leftovers(play.stack.held())] == []
            play.stack.refresh()
            assert play.stack.changes(play.program) == {}


def _without_fault(scenario: Scenario, files: Path, *, local: bool) -> tuple[Points, dict[str, Any]]:
    """The points that are passed, and the node afterwards."""
    clean = Play(scenario, files / "stage", local=local)
    clean.run(points := Points())
    clean.remove_ended_seeds()
    assert clean.stack.changes(clean.program) == {}
    assert clean.world.leftovers(clean.stack.held()) == []
    return points, inventory(clean.world.bare)


@contextmanager
def _noting(point: str) -> Iterator[None]:
    """Says at which point it was that something failed."""
    try:
        yield
    except Exception as error:
        error.add_note(point)
        raise


def others(node: MemoryNode) -> dict[str, Any]:
    """What is on the node and not of the stack."""
    found = inventory(node)
    return {
        "guest": found["guests"]["theirs"],
        "networks": [found["networks"][name] for name in ("default", "cellar")],
        "volumes": [found["volumes"][POOL, name] for name in ("theirs", *OTHERS)],
        "marks": [found["marks"][POOL, name] for name in OTHERS],
    }


def reached(scenario: Scenario, files: Path) -> set[str]:
    """The names of the steps of a scenario's second run."""
    play = Play(scenario, files / "stage", local=False)
    play.run(points := Points())
    return points.steps
