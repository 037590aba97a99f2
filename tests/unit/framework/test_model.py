"""Models: names outside and inside, unknowns, and errors that name the property."""

from __future__ import annotations

from typing import Any

import pytest
from kiln.framework.errors import InputErrors
from kiln.framework.model import Impact, Model, facts_of, nested_model, parse, prop, walk_secret_fields
from kiln.framework.units import Size
from kiln.framework.values import UNKNOWN, Asset
from pydantic import Field

from tests.unit.framework.toys import CarInputs, CarState, Wheel


def errors(data: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(InputErrors) as caught:
        parse(CarInputs, data)
    return {error.path: str(error) for error in caught.value.errors}


def test_properties_are_camel_case_outside_and_snake_case_inside() -> None:
    car = parse(CarInputs, {"spareWheel": {"size": "1K"}})
    assert car.spare_wheel is not None
    assert car.wire()["spareWheel"] == {"size": "1K"}


def test_a_size_keeps_its_text_and_absent_fields_are_left_out() -> None:
    assert parse(CarInputs, {"trunk": "2048MiB"}).wire() == {"doors": 4, "trunk": "2048MiB"}


def test_what_is_written_reads_back_equal() -> None:
    data = {
        "name": "a", "doors": 2, "trunk": "1G", "paint": "red", "spareWheel": {"size": "1K", "code": "x"},
        "wheels": [{"size": "1K"}], "stickers": {"a b": "c"}, "manual": Asset(text="t"), "key": "k",
    }  # fmt: skip
    car = parse(CarInputs, data)
    assert car.wire() == data
    assert parse(CarInputs, car.wire()) == car


@pytest.mark.parametrize("field", ["name", "doors", "trunk", "paint", "spareWheel", "wheels", "stickers", "manual"])
def test_any_field_may_be_unknown(field: str) -> None:
    assert parse(CarInputs, {field: UNKNOWN}).wire()[field] is UNKNOWN


def test_an_object_keeps_what_is_known_beside_an_unknown() -> None:
    car = parse(CarInputs, {"wheels": [{"size": UNKNOWN, "code": "x"}]})
    assert car.wire()["wheels"] == [{"size": UNKNOWN, "code": "x"}]


def test_a_map_with_an_unknown_is_unknown_as_a_whole() -> None:
    assert parse(CarInputs, {"stickers": {"a": UNKNOWN, "b": "c"}}).stickers is UNKNOWN


def test_all_errors_are_found_at_once_with_their_paths() -> None:
    found = errors({"doors": 3, "paint": "green", "wheels": [{"size": "big"}, {}], "colour": "x"})
    assert set(found) == {"doors", "paint", "wheels[0].size", "wheels[1].size", "colour"}
    assert "3 is not even" in found["doors"]
    assert "'red' or 'blue'" in found["paint"]
    assert "512MiB" in found["wheels[0].size"]
    assert "required" in found["wheels[1].size"]
    assert "spareWheel" in found["colour"]


@pytest.mark.parametrize("value", [True, False])
def test_a_boolean_is_no_number(value: bool) -> None:
    class Counted(Model):
        count: int = prop("How many.", default=2)
        most: int | None = prop("How many at most.")
        share: float | None = prop("How much.")
        on: bool = prop("Whether it is on.", default=False)

    for name in ("count", "most", "share"):
        with pytest.raises(InputErrors, match="is not a number") as caught:
            parse(Counted, {name: value})
        assert [error.path for error in caught.value.errors] == [name]
    assert parse(Counted, {"on": value}).on is value


def test_a_number_may_be_written_as_a_string_or_with_a_point() -> None:
    """As it comes from a stack's configuration, and as the engine sends all numbers."""
    assert [parse(CarInputs, {"doors": doors}).doors for doors in (2, 2.0, "2")] == [2, 2, 2]


def test_an_unknown_property_of_an_object_names_those_of_the_object() -> None:
    found = errors({"wheels": [{"size": "1K", "colour": "x"}]})
    assert "use one of: code, size" in found["wheels[0].colour"]


def test_the_path_of_a_union_is_the_property_itself() -> None:
    assert set(errors({"manual": 7})) == {"manual"}


def test_a_field_without_facts_is_refused_when_the_class_is_made() -> None:
    with pytest.raises(TypeError, match=r"Bad\.plain must be declared"):

        class Bad(Model):
            plain: int = Field(3)


def test_facts_are_stated_once_on_the_field() -> None:
    facts = facts_of(CarState.model_fields["weight"])
    assert (facts.output, facts.changes_with, facts.impact) == (True, ("doors", "wheels"), Impact.LIVE)


def test_secret_fields_are_found_at_every_depth() -> None:
    data = {"key": "k", "spareWheel": {"code": "c", "size": "1"}, "wheels": [{"size": "1"}, {"code": "d"}], "doors": 2}
    assert set(walk_secret_fields(CarInputs, data)) == {("key",), ("spareWheel", "code"), ("wheels", 1, "code")}


def test_unknown_objects_have_no_secret_fields_to_find() -> None:
    assert set(walk_secret_fields(CarInputs, {"spareWheel": UNKNOWN, "wheels": UNKNOWN})) == set()


@pytest.mark.parametrize("field", ["spare_wheel", "wheels"])
def test_the_model_inside_an_annotation_is_found(field: str) -> None:
    assert nested_model(CarInputs.model_fields[field].annotation) is Wheel


def test_models_do_not_change() -> None:
    car = parse(CarInputs, {})
    with pytest.raises(ValueError, match="frozen"):
        setattr(car, "doors", 2)  # noqa: B010 - mypy knows that it is refused
    assert car.model_copy(update={"trunk": Size.parse("1G")}).trunk.bytes == 2**30
