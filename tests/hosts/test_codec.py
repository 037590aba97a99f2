"""Values survive the wire, whatever they hold."""

from __future__ import annotations

import math
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct
from hypothesis import given
from hypothesis import strategies as st
from kiln.framework.errors import Bug, InputError
from kiln.framework.values import UNKNOWN, Asset, Reference, Secret
from kiln.hosts.pulumi import decode, encode
from kiln.hosts.pulumi import signatures as sig


def key(text: str) -> str:
    """`text`, or what makes a key of it that the engine does not keep for itself."""
    return f"k{text}" if text in (decode.DEFAULTS, sig.KEY) else text


def name(text: str) -> str:
    """`text`, or what makes the name of a property of it."""
    return f"p{text}" if text.startswith("__") or text == sig.KEY else text


def fraction(number: float) -> float:
    """`number`, or one near it that is no whole number: those come back as integers."""
    return number + 0.5 if number.is_integer() else number


# Nothing is drawn to be thrown away: hypothesis gives up on strategies that filter much.
keys = st.text(min_size=1).map(key)
names = st.text(min_size=1).map(name)
texts = st.text().map(lambda text: "" if text in sig.UNKNOWNS else text)
exact = st.integers(min_value=-encode.LARGEST_EXACT, max_value=encode.LARGEST_EXACT)
fractions = st.floats(min_value=-(2.0**51), max_value=2.0**51).map(fraction) | st.sampled_from([math.inf, -math.inf])
assets = st.builds(Asset, text=st.none() | texts, path=st.none() | texts, hash=st.none() | texts)
ids = st.none() | st.just(UNKNOWN) | st.text(min_size=1).map(lambda text: "id" if text in sig.UNKNOWNS else text)
references = st.builds(Reference, urn=texts, id=ids)
leaves = st.booleans() | exact | fractions | texts | st.just(UNKNOWN) | assets | references


def grow(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists, maps = st.lists(st.none() | inner), st.dictionaries(keys, inner)
    return lists | maps | st.builds(Secret, lists | maps | texts | st.just(UNKNOWN))


values = st.recursive(leaves, grow, max_leaves=20)


@given(st.dictionaries(names, values))
def test_what_is_encoded_decodes_to_the_same(data: dict[str, Any]) -> None:
    assert decode.properties(encode.properties(data)) == data


@given(st.dictionaries(names, values))
def test_bytes_on_the_wire_decode_to_the_same(data: dict[str, Any]) -> None:
    wire = Struct.FromString(encode.properties(data).SerializeToString())
    assert decode.properties(wire) == data


@given(exact)
def test_whole_numbers_stay_integers(number: int) -> None:
    found = decode.properties(encode.properties({"n": number}))["n"]
    assert found == number
    assert type(found) is int


@pytest.mark.parametrize("text", sorted(sig.UNKNOWNS))
def test_every_string_that_means_unknown_is_unknown(text: str) -> None:
    struct = Struct()
    struct["value"] = text
    assert decode.properties(struct) == {"value": UNKNOWN}


def signed(signature: str, **parts: Any) -> Struct:
    struct = Struct()
    struct["value"] = {sig.KEY: signature, **parts}
    return struct


@pytest.mark.parametrize(
    ("parts", "value"),
    [
        ({"value": "x"}, "x"),
        ({}, UNKNOWN),
        ({"value": "x", "secret": True, "dependencies": ["urn:a"]}, Secret("x")),
        ({"secret": True}, Secret(UNKNOWN)),
        ({"value": {sig.KEY: sig.SECRET, "value": "x"}, "secret": True}, Secret("x")),
    ],
    ids=["known", "unknown", "secret", "secret-unknown", "secret-twice"],
)
def test_output_values_are_unwrapped(parts: dict[str, Any], value: Any) -> None:
    assert decode.properties(signed(sig.OUTPUT, **parts)) == {"value": value}


def test_a_reference_keeps_the_id_that_the_engine_sends() -> None:
    struct = signed(sig.RESOURCE, urn="urn:x", id="7", packageVersion="1.0.0", name="x", type="a:b:C")
    assert decode.properties(struct) == {"value": Reference("urn:x", "7")}


def test_a_reference_with_an_empty_id_is_not_known_yet() -> None:
    assert decode.properties(signed(sig.RESOURCE, urn="urn:x", id="")) == {"value": Reference("urn:x", UNKNOWN)}


def test_an_asset_without_contents_keeps_its_hash() -> None:
    assert decode.properties(signed(sig.ASSET, hash="abc")) == {"value": Asset(hash="abc")}


def test_an_archive_is_refused_with_its_path() -> None:
    struct = Struct()
    struct["parts"] = [{"content": {sig.KEY: sig.ARCHIVE, "path": "x.zip"}}]
    with pytest.raises(InputError, match="archive") as caught:
        decode.properties(struct)
    assert caught.value.path == "parts[0].content"


def test_what_the_engine_keeps_for_itself_is_dropped_and_no_key_of_a_users_map() -> None:
    struct = Struct()
    struct.update({"__internal": {}, "a": {"__defaults": [], "b": 1, "__role": "db"}})
    assert decode.properties(struct) == {"a": {"b": 1, "__role": "db"}}


def test_a_signature_nobody_knows_is_a_bug() -> None:
    with pytest.raises(Bug, match="signature"):
        decode.properties(signed("0000"))


@pytest.mark.parametrize("value", [2**53 + 1, object(), {1, 2}], ids=["large", "object", "set"])
def test_what_has_no_form_on_the_wire_is_a_bug(value: Any) -> None:
    with pytest.raises(Bug):
        encode.properties({"value": value})


def test_entries_that_are_none_are_left_out() -> None:
    assert list(encode.properties({"a": None, "b": 1})) == ["b"]
