"""Plans: which paths change, how, and with what impact."""

from __future__ import annotations

from typing import Any

import pytest
from kiln.framework.model import Impact, parse
from kiln.framework.plan import Change, Plan, compare
from kiln.framework.values import UNKNOWN, render_path

from tests.unit.framework.toys import CarInputs

BASE: dict[str, Any] = {
    "name": "a",
    "doors": 4,
    "trunk": "1GiB",
    "paint": "red",
    "spareWheel": {"size": "1K", "code": "x"},
    "wheels": [{"size": "1K"}, {"size": "2K"}],
    "stickers": {"a.b": "1", "c": "2"},
    "key": "k",
}

ONE_CHANGE = [
    ({"name": "b"}, "name", "update", Impact.REPLACE),
    ({"doors": 2}, "doors", "update", Impact.RESTART),
    ({"trunk": "2GiB"}, "trunk", "update", Impact.LIVE),
    ({"trunk": "1MiB"}, "trunk", "update", Impact.REPLACE),
    ({"paint": None}, "paint", "delete", Impact.LIVE),
    ({"manual": "m"}, "manual", "add", Impact.REPLACE),
    ({"spareWheel": {"size": "2K", "code": "x"}}, "spareWheel.size", "update", Impact.LIVE),
    ({"spareWheel": {"size": "1K"}}, "spareWheel.code", "delete", Impact.LIVE),
    ({"wheels": [{"size": "1K"}]}, "wheels[1]", "delete", Impact.RESTART),
    ({"wheels": [{"size": "1K"}, {"size": "3K"}]}, "wheels[1].size", "update", Impact.RESTART),
    ({"stickers": {"a.b": "7", "c": "2"}}, 'stickers["a.b"]', "update", Impact.LIVE),
    ({"stickers": {"a.b": "1", "c": "2", "d": "3"}}, "stickers.d", "add", Impact.LIVE),
]


@pytest.mark.parametrize(("change", "path", "kind", "impact"), ONE_CHANGE, ids=[one[1] + one[2] for one in ONE_CHANGE])
def test_one_change_is_one_path(change: dict[str, Any], path: str, kind: str, impact: Impact) -> None:
    [found] = compare(parse(CarInputs, BASE), parse(CarInputs, BASE | change))
    assert (render_path(found.path), found.kind, found.impact) == (path, kind, impact)


def test_the_same_is_no_change() -> None:
    assert compare(parse(CarInputs, BASE), parse(CarInputs, BASE | {"trunk": "1024MiB"})) == ()


def test_an_unknown_new_value_is_always_a_change() -> None:
    unknown = parse(CarInputs, BASE | {"paint": UNKNOWN})
    [found] = compare(unknown, unknown)
    assert found.path == ("paint",)
    assert "not yet known" in str(found)


@pytest.mark.parametrize(
    "change", [{"key": "n3w"}, {"spareWheel": {"size": "1K", "code": "n3w"}}, {"spareWheel": None}],
    ids=["field", "nested", "whole"],
)  # fmt: skip
def test_a_secret_is_never_shown(change: dict[str, Any]) -> None:
    for found in compare(parse(CarInputs, BASE), parse(CarInputs, BASE | change)):
        assert found.secret
        assert "n3w" not in str(found)
        assert "'x'" not in str(found)


def test_what_the_program_called_secret_is_never_shown() -> None:
    plan = Plan(compare(parse(CarInputs, BASE), parse(CarInputs, BASE | {"stickers": {"a.b": "n3w", "c": "2"}})))
    [found] = plan.concealing({("stickers",)}).changes
    assert "n3w" not in str(found)
    [shown] = plan.concealing({("paint",)}).changes
    assert "n3w" in str(shown)


def test_the_strongest_impact_is_the_plans() -> None:
    old = parse(CarInputs, BASE)
    assert Plan().impact is None
    assert Plan().empty
    assert Plan(compare(old, parse(CarInputs, BASE | {"paint": "blue", "doors": 2}))).impact is Impact.RESTART
    assert Plan(compare(old, parse(CarInputs, BASE | {"name": "b", "doors": 2}))).replaces


def test_a_plan_knows_what_it_touches_by_python_name() -> None:
    plan = Plan(compare(parse(CarInputs, BASE), parse(CarInputs, BASE | {"spareWheel": {"size": "9K"}})))
    assert plan.touches("doors", "spare_wheel")
    assert not plan.touches("doors")
    assert not plan.touches()


@pytest.mark.parametrize(
    ("old", "new", "shown"),
    [
        (True, False, "true → false"),
        (None, [], "none → []"),
        ([{"network": "a"}], "b", '[{"network": "a"}] → b'),
        ("x" * 200, "y", "x" * 120 + "… → y"),
    ],
)
def test_values_are_shown_as_a_program_writes_them(old: object, new: object, shown: str) -> None:
    assert shown in str(Change(("it",), "update", Impact.LIVE, "it", old, new))
