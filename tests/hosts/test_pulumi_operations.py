"""Each RPC of the Pulumi host, as far as the shared table does not show it."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.empty_pb2 import Empty
from kiln.framework.values import UNKNOWN, Asset, Reference, Secret
from kiln.hosts.pulumi import decode, encode
from kiln.hosts.pulumi.proto import provider_pb2

from tests.hosts.engine import TYPE, URN, Plugin

Options = provider_pb2.CheckRequest.AutonamingOptions
Kind = provider_pb2.PropertyDiff


def test_handshake_accepts_secrets_references_and_autonaming(plugin: Plugin) -> None:
    answer = plugin.stub.Handshake(provider_pb2.ProviderHandshakeRequest())
    assert answer.accept_secrets
    assert answer.accept_resources
    assert answer.supports_autonaming_configuration
    assert not answer.accepts_byte_string


def test_an_engine_without_handshake_learns_the_same_from_configure(plugin: Plugin) -> None:
    args = encode.properties({"must": "yes"})
    answer = plugin.stub.Configure(provider_pb2.ConfigureRequest(args=args))
    assert answer.acceptSecrets
    assert answer.acceptResources
    assert answer.supportsPreview
    assert answer.supports_autonaming_configuration


def test_the_plugin_tells_its_version(plugin: Plugin) -> None:
    assert plugin.stub.GetPluginInfo(Empty()).version == "1.2.3"


def test_there_is_no_mapping(plugin: Plugin) -> None:
    answer = plugin.stub.GetMapping(provider_pb2.GetMappingRequest(key="terraform"))
    assert (answer.provider, answer.data) == ("", b"")


@pytest.mark.parametrize(
    ("mode", "proposed", "expected"),
    [(Options.PROPOSE, "one-7", "one-7"), (Options.ENFORCE, "team-one", "team-one"), (Options.PROPOSE, "", "one")],
    ids=["propose", "enforce", "propose-nothing"],
)
def test_autonaming_gives_the_name(plugin: Plugin, mode: Any, proposed: str, expected: str) -> None:
    response = plugin.check("one", {}, autonaming=Options(mode=mode, proposed_name=proposed))
    assert decode.properties(response.inputs)["name"] == expected


def test_a_stated_name_wins_over_autonaming(plugin: Plugin) -> None:
    options = Options(mode=Options.ENFORCE, proposed_name="team-one")
    response = plugin.check("one", {"name": "mine"}, autonaming=options)
    assert decode.properties(response.inputs)["name"] == "mine"


def test_autonaming_does_not_rename_what_exists(plugin: Plugin) -> None:
    options = Options(mode=Options.PROPOSE, proposed_name="one-8")
    response = plugin.check("one", {}, {"name": "one-7"}, autonaming=options)
    assert decode.properties(response.inputs)["name"] == "one-7"


def test_disabled_autonaming_demands_a_name(plugin: Plugin) -> None:
    response = plugin.check("one", {}, autonaming=Options(mode=Options.DISABLE))
    assert [failure.property for failure in response.failures] == ["name"]


def test_a_logical_name_may_hold_colons(plugin: Plugin) -> None:
    request = provider_pb2.CheckRequest(urn=URN + "a::b")
    assert decode.properties(plugin.stub.Check(request).inputs)["name"] == "a::b"


def test_a_nested_type_is_found_by_its_last_part(plugin: Plugin) -> None:
    request = provider_pb2.CheckRequest(urn="urn:pulumi:dev::p::my:mod:Comp$toy:index:Thing::one")
    assert decode.properties(plugin.stub.Check(request).inputs)["name"] == "one"


def test_the_preview_of_a_create_does_nothing_and_knows_no_output(plugin: Plugin) -> None:
    id, state = plugin.create("one", plugin.checked("one", {"count": 2}), preview=True)
    assert id == ""
    assert state["count"] == 2
    assert state["serial"] is UNKNOWN
    assert state["initialSecret"] == Secret(UNKNOWN)
    assert plugin.world.events == []


UNKNOWABLE = ["name", "count", "ratio", "lit", "size", "mode", "tags", "labels", "mainPart", "parts", "content"]


@pytest.mark.parametrize("field", UNKNOWABLE)
def test_any_input_may_be_unknown_in_a_preview(plugin: Plugin, field: str) -> None:
    checked = plugin.checked("one", {field: UNKNOWN})
    assert checked[field] is UNKNOWN
    assert plugin.create("one", checked, preview=True)[1][field] is UNKNOWN


def test_a_secret_that_is_unknown_stays_both(plugin: Plugin) -> None:
    assert plugin.checked("one", {"friend": Secret(UNKNOWN)})["friend"] == Secret(UNKNOWN)


def test_an_unknown_new_value_is_a_change(plugin: Plugin) -> None:
    checked = plugin.checked("one", {"count": 2})
    id, state = plugin.create("one", checked)
    news = plugin.checked("one", {"count": UNKNOWN}, checked)
    difference = plugin.diff(id, state, checked, news)
    assert difference.detailedDiff["count"].kind == Kind.UPDATE


def test_the_preview_of_an_update_keeps_what_does_not_depend_on_the_change(plugin: Plugin) -> None:
    checked = plugin.checked("one", {"count": 2})
    id, state = plugin.create("one", checked)
    after = plugin.update(id, state, checked, plugin.checked("one", {"count": 3}, checked), preview=True)
    assert after["count"] == 3
    assert after["weight"] is UNKNOWN
    assert after["serial"] == "serial-one"
    assert plugin.world.things()[id]["count"] == 2


def test_the_diff_names_paths_kinds_and_what_stays(plugin: Plugin) -> None:
    checked = plugin.checked("one", {"labels": {"a.b": "1"}, "tags": ["x"], "parts": [{"label": "hand"}]})
    id, state = plugin.create("one", checked)
    news = plugin.checked("one", {"labels": {"a.b": "2"}, "parts": [{"label": "foot"}], "size": "1GiB"}, checked)
    difference = plugin.diff(id, state, checked, news)
    kinds = {path: one.kind for path, one in difference.detailedDiff.items()}
    assert kinds == {
        'labels["a.b"]': Kind.UPDATE,
        "tags": Kind.DELETE,
        "parts[0].label": Kind.UPDATE,
        "size": Kind.ADD_REPLACE,
    }
    assert all(one.inputDiff for one in difference.detailedDiff.values())
    assert difference.hasDetailedDiff
    assert list(difference.replaces) == ["size"]
    assert sorted(difference.diffs) == ["labels", "parts", "size", "tags"]
    assert difference.deleteBeforeReplace
    assert list(difference.stables) == []


def test_an_update_tells_which_outputs_stay(plugin: Plugin) -> None:
    checked = plugin.checked("one", {"count": 1})
    id, state = plugin.create("one", checked)
    difference = plugin.diff(id, state, checked, plugin.checked("one", {"count": 2}, checked))
    assert sorted(difference.stables) == ["initialSecret", "serial"]
    assert not difference.deleteBeforeReplace


def test_an_import_gives_inputs_that_change_nothing(plugin: Plugin) -> None:
    plugin.create("one", plugin.checked("one", {"count": 4}))
    found = plugin.read("id-one")
    inputs, state = decode.properties(found.inputs), decode.properties(found.properties)
    assert inputs["count"] == 4
    news = plugin.checked("one", {"count": 4}, inputs)
    assert plugin.diff("id-one", state, inputs, news).changes == provider_pb2.DiffResponse.DIFF_NONE


def test_an_import_of_what_is_not_there_has_no_id(plugin: Plugin) -> None:
    assert plugin.read("id-none").id == ""


@pytest.mark.parametrize("given", [None, {}, {"friend": "x"}], ids=["nothing", "empty", "some"])
def test_get_reads_by_id_whatever_inputs_come_with_it(plugin: Plugin, given: dict[str, Any] | None) -> None:
    plugin.create("one", plugin.checked("one", {"count": 4}))
    assert decode.properties(plugin.read("id-one", given, given).properties)["count"] == 4


def test_drift_is_read_into_the_inputs(plugin: Plugin) -> None:
    checked = plugin.checked("one", {"count": 4})
    id, state = plugin.create("one", checked)
    plugin.world.things()[id]["count"] = 9
    found = plugin.read(id, checked, state)
    difference = plugin.diff(
        id, decode.properties(found.properties), decode.properties(found.inputs), plugin.checked("one", {"count": 4})
    )
    assert list(difference.detailedDiff) == ["count"]


def test_a_reference_counts_as_the_id_of_the_resource(plugin: Plugin) -> None:
    checked = plugin.checked("one", {"friend": Reference(URN + "two", "id-two")})
    assert checked["friend"] == "id-two"


def test_a_reference_to_what_is_not_made_yet_is_unknown(plugin: Plugin) -> None:
    assert plugin.checked("one", {"friend": Reference(URN + "two", UNKNOWN)})["friend"] is UNKNOWN


def test_an_asset_travels_with_its_hash(plugin: Plugin) -> None:
    asset = Asset(path="a.txt", hash="abc")
    checked = plugin.checked("one", {"content": asset})
    assert checked["content"] == asset
    assert plugin.create("one", checked)[1]["content"] == asset


def test_a_function_returns_its_result_with_secrets_marked(plugin: Plugin) -> None:
    args = encode.properties({"a": 2, "b": 3})
    answer = plugin.stub.Invoke(provider_pb2.InvokeRequest(tok="toy:index:add", args=args))
    assert decode.properties(getattr(answer, "return")) == {"total": 5, "hint": Secret("by adding")}


@pytest.mark.parametrize("args", [{"a": 13, "b": 1}, {"a": "x", "b": 1}], ids=["refused", "wrong-type"])
def test_a_function_names_the_bad_argument(plugin: Plugin, args: dict[str, Any]) -> None:
    request = provider_pb2.InvokeRequest(tok="toy:index:add", args=encode.properties(args))
    assert [failure.property for failure in plugin.stub.Invoke(request).failures] == ["a"]


def test_the_type_is_all_an_old_engine_sends(plugin: Plugin) -> None:
    request = provider_pb2.CheckRequest(urn=URN + "one", type=TYPE)
    assert decode.properties(plugin.stub.Check(request).inputs)["name"] == "one"
