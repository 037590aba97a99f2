"""The neutral schema says what the models say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from kiln.framework import schema
from kiln.framework.context import Context
from kiln.framework.model import Model, out, prop
from kiln.framework.provider import Function, Provider
from kiln.framework.resource import AnyResource
from kiln.framework.schema import Property, Type

from tests.unit.framework.test_operations import Car
from tests.unit.framework.toys import CarInputs, Wheel


class Garage(Provider):
    """A provider of cars."""

    name: ClassVar[str] = "garage"
    version: ClassVar[str] = "1.0.0"
    display_name: ClassVar[str] = "Garage"
    description: ClassVar[str] = "Cars."
    homepage: ClassVar[str] = "https://example.com"
    Config: ClassVar[type[Model]] = Wheel
    kinds: ClassVar[tuple[type[AnyResource], ...]] = (Car,)

    def check_config(self, ctx: Context, new: Any, old: Any) -> Model:
        assert isinstance(new, Model)
        return new

    def configure(self, config: Any) -> None:
        """Nothing to take."""

    @property
    def resources(self) -> Mapping[str, AnyResource]:
        return {"Car": Car()}

    @property
    def functions(self) -> Mapping[str, Function]:
        return {"look": Function("look", "Look.", CarInputs, Wheel, lambda ctx, arguments: Wheel.model_construct())}

    def close(self) -> None:
        """Nothing to let go of."""


@pytest.fixture(scope="module")
def found() -> schema.Schema:
    return schema.of(Garage())


@pytest.fixture(scope="module")
def car(found: schema.Schema) -> dict[str, Property]:
    return {one.name: one for one in found.resources[0].properties}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("name", Type("string")),
        ("doors", Type("integer")),
        ("trunk", Type("string")),
        ("paint", Type("string", enum=("red", "blue"))),
        ("spareWheel", Type("object", model="Wheel")),
        ("wheels", Type("list", (Type("object", model="Wheel"),))),
        ("stickers", Type("map", (Type("string"),))),
        ("manual", Type("union", (Type("string"), Type("asset")))),
        ("weight", Type("integer")),
    ],
)
def test_a_type_is_what_the_annotation_says(car: dict[str, Property], name: str, kind: Type) -> None:
    assert car[name].type == kind


def test_inputs_come_before_outputs(found: schema.Schema) -> None:
    outputs = [one.output for one in found.resources[0].properties]
    assert outputs == sorted(outputs)


def test_facts_are_carried_over(car: dict[str, Property]) -> None:
    assert car["key"].secret
    assert car["pin"].secret
    assert car["name"].replaces
    assert not car["doors"].replaces
    assert not car["trunk"].replaces  # it depends
    assert car["weight"].output


def test_defaults_are_plain_and_told(car: dict[str, Property]) -> None:
    assert (car["doors"].default, car["trunk"].default, car["paint"].default) == (4, "1GiB", None)
    assert car["manual"].doc == "The book. Default: none."


def test_what_is_always_there_is_told_from_what_may_be_absent(car: dict[str, Property]) -> None:
    always = {name for name, one in car.items() if one.always}
    assert always == {"name", "doors", "trunk", "serial", "weight"}
    assert not any(one.required for one in car.values())


def test_nested_objects_are_listed_once_with_their_docs(found: schema.Schema) -> None:
    assert list(found.objects) == ["Wheel"]
    wheel = found.objects["Wheel"]
    assert wheel.doc == "A wheel."
    assert [(one.name, one.required, one.secret) for one in wheel.properties] == [
        ("size", True, False),
        ("code", False, True),
    ]


def test_functions_have_arguments_and_a_result(found: schema.Schema) -> None:
    [look] = found.functions
    assert (look.name, look.doc) == ("look", "Look.")
    assert len(look.arguments) == len(CarInputs.model_fields)
    assert [one.name for one in look.result] == ["size", "code"]


class Node(Model):
    """A node of a tree."""

    children: list[Node] | None = prop("Its children.")


class Odd(Model):
    """Holds what no schema can."""

    anything: complex | None = out("Anything.")


def test_objects_may_hold_themselves() -> None:
    class Tree(Garage):
        Config = Node

    assert schema.of(Tree()).objects["Node"].properties[0].type == Type("list", (Type("object", model="Node"),))


def test_a_type_without_a_place_in_a_schema_is_refused() -> None:
    class Strange(Garage):
        Config = Odd

    with pytest.raises(TypeError, match="complex"):
        schema.of(Strange())
