"""Node: one machine whatever the way to it, and defaults for what lies on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import pytest
from kiln.framework import operations
from kiln.framework.context import SilentLog
from kiln.framework.errors import Conflict, InputErrors, KilnError, Unreachable
from kiln.framework.values import UNKNOWN

from tests.unit.resources.world import URI, World, plain


def test_a_node_tells_what_it_is(world: World) -> None:
    made = world.create("Node", "host", group="lab")
    state = plain(made)
    assert made.id == state["identity"]
    assert (state["uri"], state["group"], state["name"]) == (URI, "lab", "host")
    assert state["cpus"] >= 1
    assert state["acceleratorReason"]


def test_the_uri_once_resolved_is_kept(world: World) -> None:
    checked = world.check("Node", "host", {}, {"name": "host", "uri": "memory:///other"})
    assert checked["uri"] == "memory:///other"


def test_resources_on_a_node_take_its_pool(world: World) -> None:
    world.check("Node", "host", {"storagePool": {"name": "fast", "path": "/fast"}})
    assert world.check("Disk", "it", {"size": "1MiB", "node": URI})["pool"] == "fast"
    assert world.check("Disk", "it", {"size": "1MiB", "node": "memory:///other"})["pool"] == "kiln"
    assert world.check("Disk", "it", {"size": "1MiB", "node": UNKNOWN})["pool"] is UNKNOWN


def test_a_pool_is_made_on_first_need_and_removed_when_it_is_empty(world: World) -> None:
    made = world.create("Node", "host", storagePool={"name": "fast"})
    assert world.node.volumes.pool(world.context(), "fast").active
    disk = world.create("Disk", "it", size="1MiB", node=URI)
    world.delete("Node", made)
    assert world.node.volumes.pool(world.context(), "fast").active
    world.delete("Disk", disk)
    world.delete("Node", made)
    with pytest.raises(KilnError):
        world.node.volumes.pool(world.context(), "fast")


def test_a_pool_that_was_there_before_is_never_removed(world: World) -> None:
    world.node.volumes.ensure_pool(world.context(), "theirs", None)
    for ref, _ in world.node.volumes.marks(world.context(), "theirs"):
        world.node.volumes.delete_mark(world.context(), ref)
    made = world.create("Node", "host")
    world.delete("Node", made)
    assert world.node.volumes.pool(world.context(), "theirs").active


def test_an_unknown_accelerator_is_refused_with_what_is_allowed(world: World) -> None:
    with pytest.raises(InputErrors, match=r"'auto', 'kvm' or 'tcg'") as caught:
        world.check("Node", "host", {"accelerator": "hvf"})
    assert caught.value.errors[0].path == "accelerator"


def test_a_refresh_of_an_unchanged_node_changes_nothing(world: World) -> None:
    made = world.create("Node", "host", accelerator="tcg", storagePool={"name": "kiln"})
    found = world.read("Node", made)
    assert found is not None
    assert (found.id, found.inputs, found.state) == (made.id, world.inputs("Node", made), made.state)


def test_a_node_whose_accelerator_is_remembered_does_not_say_that_it_is_probed(world: World) -> None:
    said = Mock(spec=SilentLog)
    checked = world.check("Node", "host", {})
    operations.create(replace(world.context("host"), log=said), world.resources["Node"], checked)
    assert [call for call in said.status.call_args_list if "prob" in call.args[0]] == []


def test_an_import_takes_the_uri_after_the_at_sign(world: World) -> None:
    found = world.resources["Node"].read(world.context(), f"host@{URI}", None, None)
    assert found is not None
    assert (found.inputs.name, found.inputs.uri) == ("host", URI)


@pytest.mark.parametrize(
    ("kind", "inputs", "path"),
    [
        ("Node", {}, "uri"),
        ("Disk", {"size": "1MiB"}, "node"),
        ("Image", {"source": "SOURCE"}, "node"),
        ("Server", {"disks": []}, "node"),
    ],
)
def test_the_property_that_names_a_node_is_told_when_it_cannot_or_does_not_answer(
    world: World, kind: str, inputs: dict[str, Any], path: str
) -> None:
    given: dict[str, Any] = {key: world.raw() if value == "SOURCE" else value for key, value in inputs.items()}
    with pytest.raises(InputErrors) as refused:
        world.check(kind, "it", {**given, path: "web"})
    assert [error.path for error in refused.value.errors] == [path]
    made = world.create(kind, "it", **given)
    world.nodes.unreachable.add(URI)
    calls: list[Callable[[], object]] = [
        lambda: world.create(kind, "other", **given),
        lambda: world.read(kind, made),
        lambda: world.delete(kind, made),
    ]
    for call in calls:
        with pytest.raises(Unreachable) as caught:
            call()
        assert caught.value.path == path
        assert caught.value.located().startswith(f"{path}: ")


def test_the_directory_of_another_pool_is_told_at_its_property(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def taken(*_: Any) -> bool:
        raise Conflict("storage pool 'fast' cannot be made in /fast", cause="it is that of 'other'", action="use it")

    made = world.create("Node", "host")
    monkeypatch.setattr(world.node.volumes, "ensure_pool", taken)
    wanted = {"name": "fast", "path": "/fast"}
    calls: list[Callable[[], object]] = [
        lambda: world.create("Node", "host", storagePool=wanted),
        lambda: world.update("Node", made, storagePool=wanted),
    ]
    for call in calls:
        with pytest.raises(Conflict) as caught:
            call()
        assert caught.value.path == "storagePool.path"
    with pytest.raises(Conflict) as of_disk:
        world.create("Disk", "it", size="1MiB")
    assert of_disk.value.path == "pool"


def test_the_directory_of_a_pool_is_an_absolute_path(world: World) -> None:
    with pytest.raises(InputErrors) as caught:
        world.check("Node", "host", {"storagePool": {"name": "fast", "path": "fast"}})
    assert caught.value.errors[0].path == "storagePool.path"


def test_a_pool_that_a_node_gives_up_is_removed_when_it_is_empty(world: World) -> None:
    made = world.create("Node", "host", storagePool={"name": "fast"})
    world.update("Node", made, storagePool={"name": "large"})
    with pytest.raises(KilnError):
        world.node.volumes.pool(world.context(), "fast")
    assert world.node.volumes.pool(world.context(), "large").active


def test_two_nodes_of_one_uri_that_state_different_things_are_warned_of(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    warned: list[str] = []
    monkeypatch.setattr(SilentLog, "warning", lambda _self, message: warned.append(message))
    for name, pool in (("one", "fast"), ("one", "large"), ("two", "large")):
        world.check("Node", name, {"storagePool": {"name": pool}})
    assert warned == []
    world.check("Node", "one", {"storagePool": {"name": "fast"}})
    assert f"two Nodes of this program have the URI '{URI}'" in warned[0]
