"""What ``kiln gc`` prints and with what status it ends, on a node in memory."""

from __future__ import annotations

import json
import time
from typing import NoReturn

import pytest
from kiln import app
from kiln.cli import gc
from kiln.cli.main import app as command
from kiln.framework.context import Context
from kiln.framework.errors import KilnError
from kiln.ports.marks import Mark
from kiln.ports.volumes import VolumeRef
from typer.testing import CliRunner

from tests.fakes.memory import MemoryNode, MemoryNodes

URI = "memory:///it"
CTX = Context()
REF = VolumeRef("fast", "[lost]")


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> MemoryNode:
    """A node with a mark of a volume that somebody deleted, two hours old, and a stopped pool."""
    nodes = MemoryNodes()
    monkeypatch.setattr(app, "nodes", lambda *, allow_insecure_transport=False: nodes)
    made = nodes.get(CTX, URI)
    for pool in ("fast", "stopped"):
        made.volumes.ensure_pool(CTX, pool, None)
    made.volumes.named["stopped"].active = False
    made.volumes.write_mark(CTX, REF, Mark("op", "done", "urn:it", "disk", made=int(time.time()) - 7250))
    return made


def test_each_leftover_is_a_row_and_nothing_is_removed(node: MemoryNode) -> None:
    said = CliRunner().invoke(command, ["gc", URI])
    assert said.exit_code == 0
    for text in ("volume [lost]", "fast/[lost]", "a mark without its volume", "2 h", "kept", "--yes"):
        assert text in said.stdout
    assert "warning: storage pool 'stopped' is stopped" in said.stderr
    assert node.volumes.read_mark(CTX, REF)


def test_json_has_everything_and_a_time_that_can_be_read(node: MemoryNode) -> None:
    (row,) = json.loads(CliRunner().invoke(command, ["gc", URI, "--json"]).stdout)
    assert row.pop("since").endswith("+00:00")
    assert row == {
        "kind": "volume",
        "id": "fast/[lost]",
        "name": "[lost]",
        "where": "",
        "why": "a mark without its volume",
        "urn": "urn:it",
        "outcome": "kept",
    }


def test_yes_removes_and_then_nothing_is_left(node: MemoryNode) -> None:
    assert "removed" in CliRunner().invoke(command, ["gc", URI, "--yes"]).stdout
    assert node.volumes.read_mark(CTX, REF) is None
    assert CliRunner().invoke(command, ["gc", URI]).stdout == f"Nothing is left over on {URI}.\n"


def test_what_cannot_be_removed_is_the_exit_status(node: MemoryNode, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_ctx: Context, _ref: VolumeRef) -> NoReturn:
        raise KilnError("could not delete the mark", cause="read-only file system")

    monkeypatch.setattr(node.volumes, "delete_mark", refuse)
    said = CliRunner().invoke(command, ["gc", URI, "--yes"])
    assert said.exit_code == 1
    assert "read-only" in said.stdout


def test_one_pool_can_be_asked_for(node: MemoryNode) -> None:
    node.volumes.ensure_pool(CTX, "other", None)
    said = CliRunner().invoke(command, ["gc", URI, "--pool", "other", "--json"])
    assert (json.loads(said.stdout), said.stderr) == ([], "")


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(5, "under 1 min"), (61, "1 min"), (3599, "59 min"), (7300, "2 h"), (200_000, "2 d"), (-9, "under 1 min")],
)
def test_an_age_is_told_in_the_largest_unit_that_fits(seconds: float, told: str) -> None:
    assert gc._age(time.time() - seconds) == told


def test_an_age_that_nothing_tells_is_unknown() -> None:
    assert gc._age(None) == gc._age(0.0) == "unknown"
