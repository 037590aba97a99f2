"""What a host must do with every kind of field, on a toy. Kiln's own resources have the table in ``tests/conformance``.

The dynamic host answers what Pulumi lets it answer.
"""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from kiln.framework.values import Secret, reveal
from kiln.hosts.pulumi import decode
from kiln.hosts.pulumi.proto import provider_pb2

from tests.hosts.engine import Client

FULL: dict[str, Any] = {
    "name": "one",
    "count": 3,
    "ratio": 0.5,
    "lit": True,
    "size": "2GiB",
    "mode": "hard",
    "tags": ["a", "b"],
    "labels": {"some_key": "v", "someOther.key": "w"},
    "mainPart": {"label": "heart", "pin": "1234", "shape": "square"},
    "parts": [{"label": "hand", "shape": "round"}, {"label": "foot", "pin": "5678", "shape": "round"}],
    "content": "inside",
    "passWord": "sesame",
    "friend": "id-two",
}

NONE, SOME = provider_pb2.DiffResponse.DIFF_NONE, provider_pb2.DiffResponse.DIFF_SOME


def made(client: Client, inputs: dict[str, Any]) -> tuple[str, dict[str, Any], dict[str, Any]]:
    checked = client.checked("one", inputs)
    id, state = client.create("one", checked)
    return id, checked, state


def test_reading_what_was_created_gives_the_same(client: Client) -> None:
    id, checked, state = made(client, FULL)
    found = client.read(id, checked, state)
    assert found.id == id
    assert reveal(decode.properties(found.properties)) == reveal(state)
    assert reveal(decode.properties(found.inputs)) == reveal(checked)


def test_a_second_run_changes_nothing(client: Client) -> None:
    id, checked, state = made(client, FULL)
    again = client.checked("one", FULL, checked)
    assert reveal(again) == reveal(checked)
    assert client.diff(id, state, checked, again).changes == NONE


def test_a_run_after_a_refresh_changes_nothing(client: Client) -> None:
    id, checked, state = made(client, FULL)
    found = client.read(id, checked, state)
    inputs, now = decode.properties(found.inputs), decode.properties(found.properties)
    assert client.diff(id, now, inputs, client.checked("one", FULL, inputs)).changes == NONE


CHANGES = [
    ("count", 4, False),
    ("ratio", 0.75, False),
    ("lit", False, False),
    ("size", "3GiB", True),
    ("mode", "soft", False),
    ("tags", ["a"], False),
    ("labels", {"some_key": "x"}, False),
    ("mainPart", {"label": "heart", "pin": "9999", "shape": "square"}, False),
    ("parts", [{"label": "hand"}], False),
    ("content", "outside", False),
    ("passWord", "please", False),
    ("friend", "id-three", False),
    ("name", "other", True),
]


@pytest.mark.parametrize(("field", "value", "replaces"), CHANGES, ids=[change[0] for change in CHANGES])
def test_each_field_changes_as_it_declares(client: Client, field: str, value: Any, replaces: bool) -> None:
    id, checked, state = made(client, FULL)
    news = client.checked("one", FULL | {field: value}, checked)
    difference = client.diff(id, state, checked, news)
    assert difference.changes == SOME
    assert list(difference.replaces) == ([field] if replaces else [])
    assert difference.deleteBeforeReplace == replaces


def test_a_size_written_otherwise_is_no_change(client: Client) -> None:
    id, checked, state = made(client, FULL)
    news = client.checked("one", FULL | {"size": "2048MiB"}, checked)
    assert client.diff(id, state, checked, news).changes == NONE


def test_an_update_changes_the_object(client: Client) -> None:
    id, checked, state = made(client, FULL)
    news = client.checked("one", FULL | {"count": 4}, checked)
    assert client.update(id, state, checked, news)["weight"] == 40
    assert client.world.things()[id]["count"] == 4


def test_an_object_that_is_gone_is_read_as_gone(client: Client) -> None:
    id, checked, state = made(client, FULL)
    client.delete(id, state)
    assert client.read(id, checked, state).id == ""


def test_deleting_twice_succeeds(client: Client) -> None:
    id, _, state = made(client, FULL)
    client.delete(id, state)
    client.delete(id, state)
    assert client.world.things() == {}


def test_unreachable_is_an_error_and_never_gone(client: Client) -> None:
    id, checked, state = made(client, FULL | {"fail": "unreachable-later"})
    with pytest.raises(grpc.RpcError, match="the toy box does not answer"):
        client.read(id, checked, state)


def test_bad_input_names_the_property_and_what_is_allowed(client: Client) -> None:
    failures = client.check("one", FULL | {"mode": "odd"}).failures
    assert [failure.property for failure in failures] == ["mode"]
    assert "'soft' or 'hard'" in failures[0].reason


def test_the_name_defaults_to_the_logical_name(client: Client) -> None:
    assert client.checked("one", {})["name"] == "one"


def test_a_resolved_name_is_kept_when_the_logical_name_changes(client: Client) -> None:
    checked = client.checked("one", {})
    assert client.checked("renamed", {}, checked)["name"] == "one"


def test_secrets_are_marked_whether_or_not_the_program_did(client: Client) -> None:
    _, checked, state = made(client, FULL)
    for bag in (checked, state):
        assert bag["passWord"] == Secret("sesame")
        assert bag["mainPart"]["pin"] == Secret("1234")
        assert bag["parts"][1]["pin"] == Secret("5678")
    assert state["initialSecret"] == Secret("made-for-you")
