"""The verbs every host calls: secrets carried through, names and defaults resolved, previews answered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from kiln.framework import operations
from kiln.framework.context import Context
from kiln.framework.errors import InputError, InputErrors, KilnError, NotFound, PartialCreate
from kiln.framework.model import Model
from kiln.framework.operations import Autoname, Outcome
from kiln.framework.plan import Plan
from kiln.framework.resource import Created, Found, Resource
from kiln.framework.values import UNKNOWN, Reference, Secret

from tests.unit.framework.toys import CarInputs, CarState


class Car(Resource[CarInputs, CarState]):
    """A car; ``calls`` are the verbs that touched the world, ``partial`` makes the next one unfinished."""

    name: ClassVar[str] = "Car"
    Inputs: ClassVar[type[Model]] = CarInputs
    State: ClassVar[type[Model]] = CarState

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.partial = False
        self.missing: NotFound | None = None
        self.unreadable = False
        self.refused: tuple[InputError, ...] = ()
        self.seen: Any = None

    def check(self, ctx: Context, new: CarInputs, old: CarInputs | None) -> CarInputs:
        if new.key == "lost":
            raise InputError("key", "'key' is lost")
        return new

    def diff(self, ctx: Context, id: str, state: CarState, old: CarInputs, new: CarInputs) -> Plan:
        return replace(super().diff(ctx, id, state, old, new), refused=self.refused)

    def create(self, ctx: Context, inputs: CarInputs) -> Created[CarState]:
        self.calls.append("create")
        self.seen = inputs
        if self.partial:
            raise PartialCreate("car", state_of(inputs), ["no fuel"])
        return Created("car", state_of(inputs))

    def read(
        self, ctx: Context, id: str, inputs: CarInputs | None, state: CarState | None
    ) -> Found[CarInputs, CarState] | None:
        self.seen = (inputs, state)
        if self.unreadable:
            raise KilnError("the garage is closed")
        if id == "gone":
            return None
        now = inputs or CarInputs()
        return Found(id, now, state_of(now))

    def update(self, ctx: Context, id: str, state: CarState, old: CarInputs, new: CarInputs) -> CarState:
        self.calls.append("update")
        if self.missing is not None:
            raise self.missing
        if self.partial:
            raise PartialCreate(id, state_of(new), ["no fuel"])
        return state_of(new)

    def delete(self, ctx: Context, id: str, state: CarState) -> None:
        self.calls.append("delete")
        self.seen = state


def state_of(inputs: CarInputs) -> CarState:
    made = {"serial": "s1", "weight": inputs.doors * 100, "pin": "1234"}
    return CarState.model_validate(inputs.wire() | made)


class Log:
    """Keeps what users are told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def info(self, message: str) -> None:
        self.told.append(message)

    def warning(self, message: str) -> None:
        self.told.append(message)

    def status(self, message: str) -> None:
        self.told.append(message)

    def debug(self, message: str) -> None:
        self.told.append(message)


@pytest.fixture
def car() -> Car:
    return Car()


def check(car: Car, news: dict[str, Any], olds: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return operations.check(Context(), car, news, olds, "logical", **more)


def test_check_fills_in_defaults_and_the_logical_name(car: Car) -> None:
    assert check(car, {}) == {"name": "logical", "doors": 4, "trunk": "1GiB"}


def test_a_sticky_value_is_kept_and_another_is_not(car: Car) -> None:
    assert check(car, {}, {"name": "old", "paint": "red"}) == {"name": "old", "doors": 4, "trunk": "1GiB"}


def test_a_stated_value_wins_over_a_sticky_one(car: Car) -> None:
    assert check(car, {"name": "new"}, {"name": "old"})["name"] == "new"


@pytest.mark.parametrize(
    ("autoname", "name"),
    [(Autoname("propose", "p-1"), "p-1"), (Autoname("enforce", "e-1"), "e-1"), (Autoname("propose"), "logical")],
    ids=["propose", "enforce", "nothing"],
)
def test_the_engine_may_choose_the_name(car: Car, autoname: Autoname, name: str) -> None:
    assert check(car, {}, autoname=autoname)["name"] == name


def test_naming_that_is_disabled_demands_a_name(car: Car) -> None:
    with pytest.raises(InputErrors, match="automatic naming is disabled"):
        check(car, {}, autoname=Autoname("disable"))


def test_what_was_secret_or_is_declared_so_is_marked(car: Car) -> None:
    checked = check(car, {"paint": Secret("red"), "key": "k", "wheels": [{"size": "1K", "code": "c"}]})
    assert checked["paint"] == Secret("red")
    assert checked["key"] == Secret("k")
    assert checked["wheels"] == [{"size": "1K", "code": Secret("c")}]


def test_a_reference_becomes_an_id(car: Car) -> None:
    assert check(car, {"name": Reference("urn", "7")})["name"] == "7"


def test_an_error_of_the_resource_is_an_input_error_like_any_other(car: Car) -> None:
    with pytest.raises(InputErrors) as caught:
        check(car, {"key": "lost"})
    assert [error.path for error in caught.value.errors] == ["key"]


def test_the_preview_of_a_create_touches_nothing_and_knows_no_output(car: Car) -> None:
    made = operations.create(Context(), car, check(car, {"key": "k"}), preview=True)
    assert made.id == ""
    assert made.state["weight"] is UNKNOWN
    assert made.state["pin"] == Secret(UNKNOWN)
    assert made.state["key"] == Secret("k")
    assert car.calls == []


def test_a_create_sees_plain_values_and_returns_marked_ones(car: Car) -> None:
    made = operations.create(Context(), car, check(car, {"key": "k", "paint": Secret("red")}))
    assert (car.seen.key, car.seen.paint) == ("k", "red")
    assert (made.id, made.inputs) == ("car", None)
    assert made.state["paint"] == Secret("red")
    assert made.state["pin"] == Secret("1234")
    assert made.state["serial"] == "s1"


VERBS: dict[str, Callable[[Car, dict[str, Any]], object]] = {
    "create": lambda car, inputs: operations.create(Context(), car, inputs),
    "update": lambda car, inputs: operations.update(Context(), car, "car", {"serial": "s1"}, inputs, inputs),
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_partial_outcome_carries_its_marked_state(car: Car, verb: str) -> None:
    inputs = check(car, {"key": "k"})
    car.partial = True
    with pytest.raises(operations.Partial) as caught:
        VERBS[verb](car, inputs)
    assert caught.value.reasons == ("no fuel",)
    assert caught.value.outcome.id == "car"
    assert caught.value.outcome.state["key"] == Secret("k")
    assert caught.value.outcome.state["pin"] == Secret("1234")


def test_a_read_keeps_what_was_secret_before(car: Car) -> None:
    found = operations.read(Context(), car, "car", {"paint": Secret("red")}, {"paint": Secret("red"), "serial": "s1"})
    assert found is not None
    assert found.inputs is not None
    assert found.inputs["paint"] == Secret("red")
    assert found.state["paint"] == Secret("red")


def recorded(car: Car) -> tuple[dict[str, Any], dict[str, Any]]:
    inputs = check(car, {"paint": "red"})
    return inputs, operations.create(Context(), car, inputs).state


def test_what_is_as_it_was_recorded_is_said_to_be_the_same(car: Car) -> None:
    inputs, state = recorded(car)
    found = operations.read(Context(), car, "car", inputs, state)
    assert found == Outcome("car", state, inputs)
    assert found.same


@pytest.mark.parametrize("change", [{"weight": 1}, {"pin": "1234"}, {"serial": "s2"}])
def test_what_is_not_as_it_was_recorded_is_written_anew(car: Car, change: dict[str, Any]) -> None:
    """A value that is to be secret and was not recorded as one counts as changed."""
    inputs, state = recorded(car)
    found = operations.read(Context(), car, "car", inputs, state | change)
    assert found == Outcome("car", state, inputs)
    assert not found.same


def test_an_import_comes_without_inputs_and_state(car: Car) -> None:
    found = operations.read(Context(), car, "car", None, None)
    assert car.seen == (None, None)
    assert found is not None
    assert found.inputs == {"doors": 4, "trunk": "1GiB"}


def test_what_is_gone_is_none(car: Car) -> None:
    assert operations.read(Context(), car, "gone", None, None) is None


def update_preview(car: Car, news: dict[str, Any]) -> dict[str, Any]:
    olds = check(car, {})
    state = operations.create(Context(), car, olds).state
    return operations.update(Context(), car, "car", state, olds, check(car, news), preview=True).state


def test_the_preview_of_an_update_keeps_outputs_that_nothing_alters(car: Car) -> None:
    after = update_preview(car, {"paint": "blue"})
    assert (after["paint"], after["weight"], after["serial"]) == ("blue", 400, "s1")
    assert car.calls == ["create"]


def test_the_preview_of_an_update_does_not_know_what_a_change_may_alter(car: Car) -> None:
    after = update_preview(car, {"doors": 2})
    assert after["weight"] is UNKNOWN
    assert after["serial"] == "s1"


@pytest.mark.parametrize(
    ("id", "unreadable", "action"),
    [
        ("gone", False, "it is gone: run `pulumi refresh`, and `pulumi up` makes it again"),
        ("car", False, "look for the key"),
        ("gone", True, "look for the key"),
    ],
    ids=["object", "something else", "not to be seen"],
)
def test_what_an_update_misses_is_told_to_be_the_object_only_where_it_is(
    car: Car, id: str, unreadable: bool, action: str
) -> None:
    car.missing, car.unreadable = NotFound("nothing there", action="look for the key"), unreadable
    state = state_of(CarInputs()).wire()
    with pytest.raises(NotFound, match="nothing there") as caught:
        operations.update(Context(), car, id, state, CarInputs().wire(), CarInputs().wire())
    assert caught.value.action == action


def test_an_update_that_its_plan_refuses_fails_in_its_preview_and_a_refresh_gets_the_plan(car: Car) -> None:
    car.refused = (InputError("doors", "they are welded"),)
    news = check(car, {"doors": 2})
    assert not operations.diff(Context(), car, "car", {}, {}, news).empty
    with pytest.raises(InputErrors, match="doors: they are welded"):
        operations.update(Context(), car, "car", {}, {}, news, preview=True)


def test_every_impact_is_told_and_secrets_are_not(car: Car) -> None:
    log = Log()
    news = {"name": "a", "doors": 2, "paint": Secret("blue"), "manual": Secret("s3cret")}
    plan: Plan = operations.diff(Context(log=log), car, "car", {"name": "a"}, {"name": "a"}, news)
    assert plan.replaces
    assert any("doors 4 → 2, restart" in line for line in log.told)
    assert any("manual" in line and "replace" in line for line in log.told)
    assert "a: paint, live" in log.told
    assert not any("blue" in line or "s3cret" in line for line in log.told)


def test_a_state_of_another_version_loses_what_is_no_more(car: Car) -> None:
    state = {"serial": "s1", "horse": 1, "wheels": [{"size": "1K", "spokes": 9}], "spareWheel": {"size": "1B", "x": 2}}
    operations.delete(Context(), car, "car", state)
    assert car.seen.serial == "s1"
    assert car.seen.wheels[0].size.bytes == 1024


def test_a_state_that_cannot_be_understood_names_the_property_and_the_way_out(car: Car) -> None:
    with pytest.raises(KilnError, match=r"doors.*pulumi refresh"):
        operations.delete(Context(), car, "car", {"doors": "many"})
