"""The Pulumi host under the real engine: what ends up in the state, and what a user sees."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.e2e.inline import PYTHONPATH, ROOT
from tests.e2e.toys import ToyStack, toy_command

SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"}


@pytest.fixture
def toys(tmp_path: Path) -> ToyStack:
    return ToyStack(tmp_path)


def test_create_update_replace_and_refresh_converge(toys: ToyStack) -> None:
    toys.up(count=3)
    assert toys.things()["id-one"]["count"] == 3
    assert toys.preview(count=3).changes == {}
    update = toys.preview(count=4)
    assert update.changes == {"update": 1}
    assert "3 => 4" in update.text
    toys.up(count=4)
    assert toys.preview(count=4, size="2GiB").changes == {"replace": 1}
    toys.up(count=4, size="2GiB")
    assert toys.things()["id-one"]["size"] == "2GiB"
    assert toys.refresh().changes == {}
    assert toys.preview(count=4, size="2GiB").changes == {}
    toys.destroy()
    assert toys.things() == {}


def test_a_partial_create_keeps_its_id_and_is_repaired(toys: ToyStack) -> None:
    said = toys.up_fails(fail="partial")
    assert "the thing never came up" in said
    entry = toys.state("one")
    assert entry["id"] == "id-one"
    assert entry["initErrors"] == ["the thing never came up"]
    assert entry["outputs"]["serial"] == "serial-one"
    assert toys.preview().changes == {"update": 1}
    toys.up()
    assert "initErrors" not in toys.state("one")
    assert toys.preview().changes == {}


def test_a_clean_failure_leaves_nothing_in_the_state(toys: ToyStack) -> None:
    said = toys.up_fails(fail="refused")
    assert "the thing could not be made. Cause: it is a toy. Next: ask nicely." in said
    assert "::one" not in toys.export()
    assert "pending_operations" not in toys.export()


def test_a_defect_shows_no_traceback(toys: ToyStack) -> None:
    said = toys.up_fails(fail="bug")
    assert "https://example.com/toy" in said
    assert "toys.py" not in said
    assert 'File "' not in said


def test_no_secret_is_plain_in_the_state(toys: ToyStack) -> None:
    toys.up(passWord="open-sesame", mainPart={"label": "heart", "pin": "pin-4711"})
    exported = toys.export()
    for secret in ("open-sesame", "pin-4711", "made-for-you"):
        assert secret not in exported
        assert not any(secret in file.read_text() for file in (toys.directory / "state").rglob("*.json"))
    entry = toys.state("one")
    for value in (entry["inputs"]["passWord"], entry["outputs"]["initialSecret"], entry["outputs"]["mainPart"]["pin"]):
        assert SECRET.items() <= value.items()


def test_a_preview_with_unknowns_touches_nothing(toys: ToyStack) -> None:
    assert toys.preview("two").changes == {"create": 3}  # with the stack itself
    assert toys.things() == {}
    toys.up("two")
    assert toys.things()["id-two"]["friend"] == "id-one"
    assert toys.things()["id-two"]["count"] == 10
    assert toys.preview("two").changes == {}


def test_bad_input_is_told_with_its_path_and_what_is_allowed(toys: ToyStack) -> None:
    said = toys.up_fails(mode="odd", parts=[{"label": "x", "shape": "oval"}], passWord={"a": "hunter2"})
    assert "property mode value {odd} has a problem: 'odd' is not allowed here. Next: use 'soft' or 'hard'." in said
    assert "property parts[0].shape" in said
    assert "passWord" in said
    assert "hunter2" not in said


def test_messages_are_shown_under_the_resource(toys: ToyStack) -> None:
    assert "made one" in toys.up().text


def test_drift_is_shown_and_put_right(toys: ToyStack) -> None:
    toys.up(count=3)
    toys.world.write_text(json.dumps({"id-one": {**toys.things()["id-one"], "count": 77}}))
    toys.refresh()
    foreseen = toys.preview(count=3)
    assert foreseen.changes == {"update": 1}
    assert "77 => 3" in foreseen.text
    toys.up(count=3)
    assert toys.things()["id-one"]["count"] == 3


def test_what_is_gone_is_made_again(toys: ToyStack) -> None:
    toys.up()
    toys.world.write_text("{}")
    toys.refresh()
    assert "::one" not in toys.export()
    toys.up()
    assert "id-one" in toys.things()


def test_an_import_and_a_get_find_what_is_there(toys: ToyStack) -> None:
    toys.world.write_text(json.dumps({"id-old": {"name": "old", "count": 5, "lit": False, "mode": "soft"}}))
    done = toys.up("found", name="old", count=5)
    assert done.outputs["weight"] == 50
    assert toys.preview("found", name="old", count=5).changes == {}


@pytest.mark.parametrize(
    ("settings", "name"),
    [({"mode": "verbatim"}, "one"), ({"pattern": "team-${name}-${stack}"}, "team-one-test"), ({}, "one")],
    ids=["verbatim", "pattern", "default"],
)
def test_a_projects_naming_is_honoured(tmp_path: Path, settings: dict[str, str], name: str) -> None:
    stack = ToyStack(tmp_path, {"pulumi:autonaming": settings} if settings else None)
    stack.up()
    assert list(stack.things()) == [f"id-{name}"]
    assert stack.preview().changes == {}


def test_naming_can_be_disabled(tmp_path: Path) -> None:
    stack = ToyStack(tmp_path, {"pulumi:autonaming": {"mode": "disabled"}})
    assert "automatic naming is disabled" in stack.up_fails()


def test_a_renamed_resource_with_an_alias_keeps_its_object(toys: ToyStack) -> None:
    toys.up()
    assert toys.preview("renamed").changes == {}
    toys.up("renamed")
    assert list(toys.things()) == ["id-one"]


def test_ignored_changes_stay_ignored(toys: ToyStack) -> None:
    toys.up(count=3)
    assert toys.preview("ignoring", ignored=["count"], count=9).changes == {}


def test_a_plugin_started_by_hand_can_be_attached(tmp_path: Path) -> None:
    process = subprocess.Popen(
        toy_command(), cwd=ROOT, env=os.environ | {"PYTHONPATH": PYTHONPATH}, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    port = process.stdout.readline().strip()
    stack = ToyStack(tmp_path, PULUMI_DEBUG_PROVIDERS=f"toy:{port}")
    try:
        assert "made one" in stack.up().text
        assert stack.preview().changes == {}
        assert process.poll() is None
    finally:
        process.terminate()
        process.communicate()
