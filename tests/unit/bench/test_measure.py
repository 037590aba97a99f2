"""The order of measurements and what is printed of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.measure import Figure, Result, Sides, measure
from bench.scratch import Scratch, is_abandoned, scratch


@contextmanager
def no_sides(place: Scratch, tell: Callable[[str], None]) -> Iterator[Sides]:
    yield Sides(lambda: 1.0, lambda: 1.0)


FIGURE = Figure("figure", "s", 1.25, no_sides)


def test_sides_take_turns_and_each_goes_first_every_other_time() -> None:
    order: list[str] = []

    def side(name: str) -> Callable[[], float]:
        return lambda: float(len(order.append(name) or order))  # type: ignore[func-returns-value]

    measure(FIGURE, Sides(side("ours"), side("floor")), 3, lambda text: None)
    assert order == ["ours", "floor", "floor", "ours", "ours", "floor"]


def test_a_figure_that_repeats_is_measured_more_often() -> None:
    often = Figure("figure", "s", 1.25, no_sides, repeat=4)
    assert len(measure(often, Sides(lambda: 1.0, lambda: 1.0), 3, lambda text: None).ours) == 12


def test_the_line_holds_the_medians_and_their_ratio() -> None:
    assert Result(FIGURE, (3.0, 2.4, 2.0), (2.0, 9.0, 1.0)).line() == "figure 2.400 2.000 1.20"


@pytest.mark.parametrize(("ours", "passes"), [(1.25, True), (1.254, True), (1.26, False)])
def test_a_result_passes_when_the_printed_ratio_is_within_the_target(ours: float, passes: bool) -> None:
    assert Result(FIGURE, (ours,), (1.0,)).passes is passes


def test_the_record_keeps_every_measurement() -> None:
    record = Result(FIGURE, (1.0, 2.0, 3.0), (1.0, 1.0, 1.0)).record()
    assert record["samples"] == {"ours": (1.0, 2.0, 3.0), "floor": (1.0, 1.0, 1.0)}
    assert (record["ours"], record["floor"], record["passes"]) == (2.0, 1.0, False)


def test_names_of_a_live_run_are_left_alone() -> None:
    assert not is_abandoned(f"kiln-bench-{os.getpid()}-s000")
    assert not is_abandoned("kiln-demo")


def test_names_of_a_dead_run_are_abandoned() -> None:
    beyond = int(Path("/proc/sys/kernel/pid_max").read_text()) + 1
    assert is_abandoned(f"kiln-bench-{beyond}")
    assert is_abandoned(f"kiln-bench-{beyond}-s000")


def test_the_scratch_directory_goes_away_when_the_run_fails() -> None:
    seen: list[Scratch] = []

    def fail_inside() -> None:
        with scratch() as place:
            seen.append(place)
            place.subdirectory("pool").joinpath("volume").touch()
            raise RuntimeError("failed")

    with pytest.raises(RuntimeError, match="failed"):
        fail_inside()
    assert not seen[0].directory.exists()
