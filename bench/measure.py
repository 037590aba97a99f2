"""Measuring both sides of a figure in turns, and what came of it."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from bench.scratch import Scratch

Side = Callable[[], float]
"""Measures one side once: sets up, times, verifies, clears away. Returns seconds (or what the figure's unit says)."""

Tell = Callable[[str], None]
"""Takes one line that says what is being done."""


@dataclass(frozen=True)
class Sides:
    """What is compared; both have run once before they are handed over, so that caches are warm."""

    ours: Side
    floor: Side


@dataclass(frozen=True)
class Figure:
    """One thing that is timed.

    ``target`` is the largest ratio that passes. ``sides`` sets the stage and clears it away. ``repeat`` measurements
    are taken for each run asked for: cheap figures can afford more and need them, since they are short.
    """

    name: str
    unit: str
    target: float
    sides: Callable[[Scratch, Tell], AbstractContextManager[Sides]]
    repeat: int = 1


@dataclass(frozen=True)
class Result:
    """What both sides of a figure took, in the order measured."""

    figure: Figure
    ours: tuple[float, ...]
    floor: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """The median of ours over the median of the floor."""
        return statistics.median(self.ours) / statistics.median(self.floor)

    @property
    def passes(self) -> bool:
        """Whether the ratio, as it is printed, is within the target."""
        return round(self.ratio, 2) <= self.figure.target

    def line(self) -> str:
        """``name ours floor ratio``, for people and ``awk``."""
        ours, floor = statistics.median(self.ours), statistics.median(self.floor)
        return f"{self.figure.name} {ours:.3f} {floor:.3f} {self.ratio:.2f}"

    def record(self) -> dict[str, Any]:
        """The same with every measurement, for programs."""
        return {
            "name": self.figure.name,
            "unit": self.figure.unit,
            "ours": statistics.median(self.ours),
            "floor": statistics.median(self.floor),
            "ratio": self.ratio,
            "target": self.figure.target,
            "passes": self.passes,
            "samples": {"ours": self.ours, "floor": self.floor},
        }


def measure(figure: Figure, sides: Sides, runs: int, tell: Tell) -> Result:
    """Measure both sides ``runs`` times, in turns, each going first every other time.

    What else the machine does changes slowly compared with one measurement, so it meets both sides alike.
    """
    ours: list[float] = []
    floor: list[float] = []
    count = runs * figure.repeat
    for number in range(count):
        pairs = [(ours, sides.ours, "ours"), (floor, sides.floor, "floor")]
        for taken, side, what in pairs if number % 2 == 0 else reversed(pairs):
            tell(f"{figure.name}: {number + 1} of {count}, {what}")
            taken.append(side())
    return Result(figure, tuple(ours), tuple(floor))
