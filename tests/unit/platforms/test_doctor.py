"""``kiln doctor`` and the checks of a pool's directory, on a node in memory."""

from __future__ import annotations

import json
import pwd
from pathlib import Path

import pytest
from kiln import app
from kiln.cli.main import app as command
from kiln.framework.context import Context
from kiln.platforms.libvirt import pool_checks
from kiln.ports.nodes import Prerequisite
from typer.testing import CliRunner

from tests.fakes.memory import MemoryNode, MemoryNodes

URI = "memory:///it"


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> MemoryNodes:
    made = MemoryNodes()
    monkeypatch.setattr(app, "nodes", lambda *, allow_insecure_transport=False: made)
    return made


def test_each_thing_is_a_line_with_what_mends_it(nodes: MemoryNodes) -> None:
    node = nodes.get(Context(), URI)
    node.missing.append(Prerequisite("network", "warn", "no [red]DHCP[/red]", "virsh net-edit"))
    result = CliRunner().invoke(command, ["doctor", URI])
    assert result.exit_code == 0
    for text in ("libvirt", "ok", "warn", "no [red]DHCP[/red]", "virsh net-edit"):
        assert text in result.stdout


def test_a_failure_is_the_exit_status(nodes: MemoryNodes) -> None:
    nodes.get(Context(), URI).missing.append(Prerequisite("emulator", "fail", "no QEMU", "apt-get install qemu"))
    assert CliRunner().invoke(command, ["doctor", URI]).exit_code == 1
    result = CliRunner().invoke(command, ["doctor", URI, "--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout)[-1] == {
        "name": "emulator",
        "status": "fail",
        "detail": "no QEMU",
        "mend": "apt-get install qemu",
    }


def test_a_node_that_does_not_answer_is_one_failed_line(nodes: MemoryNodes) -> None:
    nodes.unreachable.add(URI)
    result = CliRunner().invoke(command, ["doctor", URI, "--json"])
    assert result.exit_code == 1
    (line,) = json.loads(result.stdout)
    assert (line["name"], line["status"], line["mend"]) == ("libvirt", "fail", "start it")


def test_a_transport_that_is_not_allowed_is_one_failed_line() -> None:
    result = CliRunner().invoke(command, ["doctor", "qemu+tcp://h/system", "--json"])
    assert result.exit_code == 1
    (line,) = json.loads(result.stdout)
    assert line["status"] == "fail"
    assert "plain text" in line["detail"]


@pytest.fixture
def guests_user(monkeypatch: pytest.MonkeyPatch) -> pwd.struct_passwd:
    """The user nobody runs guests."""
    user = pwd.getpwnam("nobody")
    monkeypatch.setattr(pool_checks, "_qemu_user", lambda *, session: user)
    return user


def checked(tmp_path: Path, directory: Path) -> dict[str, Prerequisite]:
    node = MemoryNode("qemu:///system", tmp_path)
    node.volumes.ensure_pool(Context(), "kiln", str(directory))
    return {each.name: each for each in pool_checks.check(Context(), node, "kiln")}


def test_a_directory_that_guests_cannot_reach_fails_with_the_command(
    tmp_path: Path, guests_user: pwd.struct_passwd, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "closed"
    (closed / "pool").mkdir(parents=True)
    closed.chmod(0o700)
    may_enter, number = pool_checks._may_enter, closed.stat().st_ino
    # Where the tests run, others may not enter either.
    monkeypatch.setattr(pool_checks, "_may_enter", lambda found, user: found.st_ino != number or may_enter(found, user))
    found = checked(tmp_path, closed / "pool")["pool permissions"]
    assert found.status == "fail"
    assert found.mend == f"chmod o+x {closed}"
    closed.chmod(0o711)
    assert checked(tmp_path, closed / "pool")["pool permissions"].status == "ok"


def test_a_directory_that_is_gone_fails(tmp_path: Path, guests_user: pwd.struct_passwd) -> None:
    found = checked(tmp_path, tmp_path / "gone")["pool permissions"]
    assert found.status == "fail"
    assert "mkdir -p -m 0711" in found.mend


def test_a_pool_that_is_not_there_is_no_failure() -> None:
    node = MemoryNode("qemu:///system")
    (found,) = pool_checks.check(Context(), node, "kiln")
    assert found.status == "ok"
    assert "/var/lib/libvirt/images/kiln" in found.detail


def test_qemu_img_is_tried_on_the_node_and_leaves_nothing(tmp_path: Path) -> None:
    node = MemoryNode("qemu:///system", tmp_path)
    node.volumes.ensure_pool(Context(), "kiln", None)
    assert pool_checks.qemu_img(Context(), node, "kiln").status == "ok"
    assert node.volumes.list(Context(), "kiln") == []
