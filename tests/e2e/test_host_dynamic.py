"""The dynamic host under the real engine and Pulumi's own dynamic plugin."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.toys import ToyStack

PLAIN = ("open-sesame", "pin-4711", "made-for-you")


@pytest.fixture
def toys(tmp_path: Path) -> ToyStack:
    return ToyStack(tmp_path)


def up(toys: ToyStack, **inputs: Any) -> str:
    return toys.up("dynamic", **inputs).text


def test_create_update_replace_and_delete_converge(toys: ToyStack) -> None:
    up(toys, count=3)
    assert toys.things()["id-one"]["count"] == 3
    assert toys.preview("dynamic", count=3).changes == {}
    assert toys.preview("dynamic", count=4).changes == {"update": 1}
    up(toys, count=4)
    assert toys.preview("dynamic", count=4, size="2GiB").changes == {"replace": 1}
    up(toys, count=4, size="2GiB")
    assert toys.things()["id-one"]["size"] == "2GiB"
    assert toys.refresh().changes == {}
    toys.destroy()
    assert toys.things() == {}


def test_no_secret_is_plain_in_the_state(toys: ToyStack) -> None:
    up(toys, pass_word="open-sesame", main_part={"label": "heart", "pin": "pin-4711"})
    exported = toys.export()
    for secret in PLAIN:
        assert secret not in exported
        assert base64.b64encode(secret.encode()).decode() not in exported
    entry = toys.state("one")
    assert {"initialSecret", "passWord"} <= set(entry["additionalSecretOutputs"])
    assert "ciphertext" in entry["outputs"]["initialSecret"]
    assert "ciphertext" in entry["outputs"]["passWord"]


def test_what_is_pickled_is_a_constant_stub(toys: ToyStack) -> None:
    up(toys, pass_word="open-sesame")
    stub = base64.b64decode(toys.state("one")["inputs"]["__provider"])
    assert len(stub) < 200
    assert b"kiln.hosts.dynamic.server" in stub
    assert b"tests.hosts.toy_dynamic" in stub


def test_outputs_have_python_names_and_types(toys: ToyStack) -> None:
    answer = toys.up("dynamic", count=3, labels={"some_key": "a", "powerState": "b"}, main_part={"label": "heart"})
    assert answer.outputs["serial"] == "serial-one"
    assert answer.outputs["weight"] == 30
    assert answer.outputs["labels"] == {"some_key": "a", "powerState": "b"}
    assert answer.outputs["main_part"]["shape"] == "round"
    assert toys.things()["id-one"]["labels"] == {"some_key": "a", "powerState": "b"}


def test_what_is_not_yet_known_is_known_when_it_is_needed(toys: ToyStack) -> None:
    toys.preview("dynamic_two")
    assert toys.things() == {}
    toys.up("dynamic_two")
    two = toys.things()["id-two"]
    assert (two["friend"], two["count"], two["mainPart"]["label"]) == ("id-one", 10, "serial-one")
    assert "made-for-you" not in toys.export()
    assert toys.preview("dynamic_two").changes == {}


def test_an_unfinished_object_is_kept_told_and_finished_by_the_next_run(toys: ToyStack) -> None:
    said = up(toys, fail="partial")
    assert "id-one exists but is not finished: the thing never came up" in said
    assert toys.state("one")["id"] == "id-one"
    assert toys.preview("dynamic", fail="partial").changes == {"update": 1}
    up(toys)
    assert "__unfinished" not in toys.export()
    assert toys.preview("dynamic").changes == {}


def test_bad_input_is_told_with_its_path_and_what_is_allowed(toys: ToyStack) -> None:
    said = toys.up_fails("dynamic", mode="odd")
    assert "property mode value {odd} has a problem: 'odd' is not allowed here. Next: use 'soft' or 'hard'." in said


def test_a_renamed_resource_with_an_alias_keeps_its_object(toys: ToyStack) -> None:
    up(toys)
    assert toys.preview("dynamic_renamed").changes == {}
