"""The program half of the dynamic host: classes made from the schema."""

from __future__ import annotations

import inspect
import pickle
from typing import Any

import dill
import pulumi
import pytest
from kiln.framework.values import UNKNOWN, Secret
from kiln.hosts.dynamic import decode, encode
from kiln.hosts.dynamic.server import Stub

from tests.hosts.toy_dynamic import SCHEMA, Thing

WRITABLE = [one for one in SCHEMA.resources[0].properties if not one.output]


def inputs(**given: Any) -> dict[str, Any]:
    return encode.inputs(SCHEMA, WRITABLE, given)


def test_inputs_have_python_names_at_every_depth() -> None:
    found = inputs(pass_word="x", main_part={"label": "a"}, parts=[{"label": "b", "shape": "round"}])
    assert found == {
        "passWord": "x",
        "mainPart": {"label": "a"},
        "parts": [{"label": "b", "shape": "round"}],
    }


def test_keys_of_maps_are_the_programs_own() -> None:
    assert inputs(labels={"main_part": "a", "passWord": "b"}) == {"labels": {"main_part": "a", "passWord": "b"}}


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(TypeError, match=r"'colour' is not an input.*main_part"):
        inputs(colour="red")
    with pytest.raises(TypeError, match=r"'colour' is not an input.*label, pin, shape"):
        inputs(parts=[{"colour": "red"}])


@pytest.mark.parametrize(
    ("asset", "text"),
    [(pulumi.FileAsset("a.txt"), "a.txt"), (pulumi.RemoteAsset("https://x/a"), "https://x/a"), ("plain", "plain")],
    ids=["file", "remote", "string"],
)
def test_an_asset_is_handed_over_as_its_path_or_url(asset: Any, text: str) -> None:
    assert inputs(content=asset) == {"content": text}


def test_an_asset_without_a_place_is_refused() -> None:
    with pytest.raises(TypeError, match="StringAsset"):
        inputs(content=pulumi.StringAsset("text"))


def test_the_signature_is_that_of_the_schema() -> None:
    parameters = inspect.signature(Thing).parameters
    assert list(parameters)[:2] == ["resource_name", "opts"]
    assert {"pass_word", "main_part", "count"} <= set(parameters)
    assert "serial" not in parameters


def test_the_docs_are_those_of_the_resource() -> None:
    assert Thing.__doc__ is not None
    assert Thing.__doc__.startswith("A thing.")
    assert vars(Thing)["serial"].__doc__ == "Its number, which never changes."


@pytest.mark.parametrize("pickler", [pickle, dill], ids=["pickle", "dill"])
def test_what_is_pickled_names_a_module_and_a_kind_and_nothing_else(pickler: Any) -> None:
    stub = Thing._stub
    data = pickler.dumps(stub)
    assert len(data) < 200
    again = pickler.loads(data)
    assert isinstance(again, Stub)
    assert (again.module, again.kind) == ("tests.hosts.toy_dynamic", "Thing")


def test_the_stub_is_not_marked_as_a_secret() -> None:
    assert not Thing._stub.serialize_as_secret_always


def test_values_survive_the_way_there_and_back() -> None:
    data = {"a": Secret([1, {"b": UNKNOWN}]), "c": [Secret("x"), 2.5, True], "d": {"e": UNKNOWN}, "f": "text"}
    assert decode.properties(encode.properties(data)) == data


def test_bookkeeping_and_absent_values_are_dropped() -> None:
    assert decode.properties({"__provider": "x", "a": {"__defaults": [], "__b": 1.0}}) == {"a": {"__b": 1}}
    assert encode.properties({"a": None, "b": 1}) == {"b": 1}


@pytest.mark.parametrize(
    ("name", "python"),
    [("powerState", "power_state"), ("vncPort", "vnc_port"), ("uri", "uri"), ("sha256Sum", "sha256_sum")],
)
def test_python_names_are_snake_case(name: str, python: str) -> None:
    assert decode.snake(name) == python


def test_an_object_among_the_outputs_has_attributes_and_keys() -> None:
    record = decode.Record({"vnc_port": 5900})
    assert (record.vnc_port, record["vnc_port"]) == (5900, 5900)
    with pytest.raises(AttributeError, match="nothing"):
        record.nothing  # noqa: B018 - reading it is the point
