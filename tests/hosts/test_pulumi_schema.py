"""The package schema of the toys, and of Kiln as far as it is checked in."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import pytest
from kiln.framework import schema as neutral
from kiln.hosts.pulumi.proto import provider_pb2
from kiln.hosts.pulumi.schema import document

from tests.hosts.engine import Plugin
from tests.hosts.toy import ToyProvider


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return document(neutral.of(ToyProvider()))


@pytest.fixture(scope="module")
def thing(schema: dict[str, Any]) -> dict[str, Any]:
    found = schema["resources"]["toy:index:Thing"]
    assert isinstance(found, dict)
    return found


def test_the_plugin_serves_it(plugin: Plugin, schema: dict[str, Any]) -> None:
    assert json.loads(plugin.stub.GetSchema(provider_pb2.GetSchemaRequest()).schema) == schema


def test_it_is_the_same_every_time(schema: dict[str, Any]) -> None:
    assert json.dumps(document(neutral.of(ToyProvider()))) == json.dumps(schema)


def test_it_has_the_addresses_of_a_provider_that_has_some_and_no_other(schema: dict[str, Any]) -> None:
    class Homeless(ToyProvider):
        homepage: ClassVar[str] = ""

    assert schema["homepage"] == schema["repository"] == "https://example.com/toy"
    assert schema["language"]["go"]["importBasePath"] == "example.com/toy/sdk/go/toy"
    without = document(neutral.of(Homeless()))
    assert not {"homepage", "repository", "pluginDownloadURL"} & set(without)
    assert "importBasePath" not in without["language"]["go"]


def test_inputs_and_outputs_are_told_apart(thing: dict[str, Any]) -> None:
    assert set(thing["properties"]) - set(thing["inputProperties"]) == {"serial", "weight", "initialSecret"}
    assert thing["requiredInputs"] == []
    assert thing["required"] == ["name", "count", "lit", "mode", "serial", "initialSecret"]


def test_the_docstring_with_its_example_is_the_description(thing: dict[str, Any]) -> None:
    assert thing["description"].startswith("A thing.\n\n```python\nthing = toy.Thing(")


def test_properties_carry_their_facts(thing: dict[str, Any]) -> None:
    inputs = thing["inputProperties"]
    assert inputs["count"] == {"type": "integer", "description": "How many there are.", "default": 1}
    assert inputs["passWord"]["secret"]
    assert thing["properties"]["initialSecret"]["secret"]
    assert inputs["size"]["willReplaceOnChanges"]
    assert "willReplaceOnChanges" not in inputs["count"]
    assert "default" not in thing["properties"]["count"]


def test_allowed_strings_are_an_enum_that_takes_strings(schema: dict[str, Any], thing: dict[str, Any]) -> None:
    reference = "#/types/toy:index:ThingMode"
    assert thing["inputProperties"]["mode"]["oneOf"] == [{"type": "string"}, {"type": "string", "$ref": reference}]
    assert thing["properties"]["mode"]["type"] == "string"
    values = schema["types"]["toy:index:ThingMode"]["enum"]
    assert values == [{"name": "Soft", "value": "soft"}, {"name": "Hard", "value": "hard"}]


def test_nested_types_are_references(schema: dict[str, Any], thing: dict[str, Any]) -> None:
    part = {"type": "object", "$ref": "#/types/toy:index:Part"}
    assert thing["inputProperties"]["parts"]["items"] == part
    assert thing["inputProperties"]["labels"]["additionalProperties"] == {"type": "string"}
    assert {"oneOf": [{"type": "string"}, {"$ref": "pulumi.json#/Asset"}]}.items() <= (
        thing["inputProperties"]["content"].items()
    )
    assert schema["types"]["toy:index:Part"]["required"] == ["label"]


def test_configuration_is_that_of_the_provider_resource(schema: dict[str, Any]) -> None:
    assert schema["config"]["variables"] == schema["provider"]["inputProperties"]
    assert schema["provider"]["requiredInputs"] == schema["config"]["defaults"] == ["must"]
    assert schema["config"]["variables"]["key"]["secret"]
    assert schema["config"]["variables"]["site"]["description"].endswith("Default: `here`.")


def test_functions_have_arguments_and_results(schema: dict[str, Any]) -> None:
    add = schema["functions"]["toy:index:add"]
    assert add["inputs"]["required"] == ["a", "b"]
    assert add["outputs"]["required"] == ["total", "hint"]


def test_the_python_package_is_named_for_import(schema: dict[str, Any]) -> None:
    python = schema["language"]["python"]
    assert python["packageName"] == "pulumi_toy"
    assert python["pyproject"] == {"enabled": True}
    assert python["respectSchemaVersion"]
    assert python["requires"]["pulumi"].startswith(">=3.272")
