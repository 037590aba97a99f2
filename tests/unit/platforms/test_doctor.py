"""``kiln doctor`` and the checks of a pool's directory, on a node in memory."""

from __future__ import annotations

import json
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn
from unittest.mock import Mock

import pytest
from kiln import app
from kiln.cli.main import app as command
from kiln.framework.context import Context
from kiln.framework.errors import InputError, KilnError
from kiln.platforms.libvirt import network_checks, pool_checks, prerequisites
from kiln.platforms.libvirt.connection import Link
from kiln.platforms.libvirt.xml.text import Element, parse
from kiln.ports.nodes import Accelerator, Prerequisite
from kiln.ports.volumes import VolumeRef
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


@pytest.mark.parametrize("arguments", [["web"], ["qemu:///system", "--pool", "a/b"]], ids=["uri", "pool"])
def test_what_cannot_be_meant_is_a_wrong_command(arguments: list[str]) -> None:
    result = CliRunner().invoke(command, ["doctor", *arguments])
    assert isinstance(result.exception, InputError)


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


def test_a_pool_that_is_not_there_is_no_failure_and_its_place_is_looked_at(
    tmp_path: Path, guests_user: pwd.struct_passwd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_checks, "pool_directory", lambda _uri, name: str(tmp_path / "images" / name))
    monkeypatch.setattr(pool_checks, "_may_enter", lambda _found, _user: True)
    pool, way = pool_checks.check(Context(), MemoryNode("qemu:///system"), "kiln")
    assert (pool.status, way.status) == ("ok", "ok")
    assert str(tmp_path / "images" / "kiln") in pool.detail
    assert way.detail == f"user nobody can enter {tmp_path}"
    monkeypatch.setattr(pool_checks, "_may_enter", lambda _found, _user: False)
    assert [each.status for each in pool_checks.check(Context(), MemoryNode("qemu:///system"), "kiln")] == [
        "ok",
        "fail",
    ]


def test_a_pool_that_nobody_knows_a_directory_for_is_no_success() -> None:
    (found,) = pool_checks.check(Context(), MemoryNode("qemu+ssh://h/session"), "kiln")
    assert found.status == "warn"
    assert found.mend


class Borrowed:
    """Lends the pool ``lent``, and counts how often."""

    def __init__(self, node: MemoryNode) -> None:
        self._node = node
        self.times = 0

    @contextmanager
    def __call__(self) -> Iterator[str]:
        self.times += 1
        self._node.volumes.ensure_pool(Context(), "lent", None)
        yield "lent"
        assert self._node.volumes.temporaries(Context(), "lent") == []
        self._node.volumes.discard_pool(Context(), "lent")


def broken(_ctx: Context, ref: VolumeRef, **_: object) -> NoReturn:
    raise KilnError(f"could not make volume '{ref}'", cause="Cannot find 'qemu-img' in path")


def test_qemu_img_is_tried_on_the_node_and_leaves_nothing(tmp_path: Path) -> None:
    node = MemoryNode("qemu:///system", tmp_path)
    node.volumes.ensure_pool(Context(), "kiln", None)
    borrowed = Borrowed(node)
    assert pool_checks.qemu_img(Context(), node, "kiln", borrowed).status == "ok"
    assert node.volumes.temporaries(Context(), "kiln") == []
    assert borrowed.times == 0


@pytest.mark.parametrize("there", [True, False], ids=["stopped", "absent"])
def test_qemu_img_is_tried_in_another_pool_while_the_one_for_guests_does_not_run(
    monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    node = MemoryNode("qemu:///system")
    if there:
        node.volumes.ensure_pool(Context(), "kiln", None)
        node.volumes.named["kiln"].active = False
    borrowed = Borrowed(node)
    assert pool_checks.qemu_img(Context(), node, "kiln", borrowed).status == "ok"
    monkeypatch.setattr(node.volumes, "create", broken)
    found = pool_checks.qemu_img(Context(), node, "kiln", borrowed)
    assert (found.status, found.mend) == ("fail", "on the node: apt-get install qemu-utils")
    assert borrowed.times == 2


def test_qemu_img_that_could_not_be_tried_is_no_success() -> None:
    @contextmanager
    def refuse() -> Iterator[str]:
        raise KilnError("could not make a storage pool", cause="read-only file system", action="mount it")
        yield

    found = pool_checks.qemu_img(Context(), MemoryNode("qemu:///system"), "kiln", refuse)
    assert (found.status, found.mend) == ("warn", "mount it")
    assert "read-only file system" in found.detail


def capabilities(*backends: str, path: str = "/nowhere/qemu") -> Element:
    told = "".join(f"<value>{name}</value>" for name in backends)
    interface = f"<interface><enum name='backendType'>{told}</enum></interface>" if backends else ""
    return parse(f"<domainCapabilities><path>{path}</path><devices>{interface}</devices></domainCapabilities>")


def session_network(link: Link, monkeypatch: pytest.MonkeyPatch, emulator: Element, uri: str) -> Prerequisite:
    monkeypatch.setattr(network_checks, "_emulator", lambda _opened: emulator)
    return network_checks.check(Context(), link, MemoryNode(uri, session=True), None)


def test_guests_of_a_session_are_told_to_get_user_mode_networking_if_qemu_has_it(
    link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = session_network(link, monkeypatch, capabilities("default", "passt"), "qemu:///session")
    assert found.status == "ok"
    assert "user-mode" in found.detail
    assert "nothing reaches in" in found.detail
    found = session_network(link, monkeypatch, capabilities("passt"), "qemu:///session")
    assert found.status == "fail"
    assert found.mend


@pytest.mark.parametrize(("backends", "status"), [("socket\nuser\ntap", "ok"), ("socket\ntap", "fail")])
def test_an_older_libvirt_has_qemu_itself_asked(
    link: Link, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, backends: str, status: str
) -> None:
    emulator = tmp_path / "qemu"
    emulator.write_text(f"#!/bin/sh\nprintf 'Available netdev backend types:\\n{backends}\\n'\n")
    emulator.chmod(0o755)
    found = session_network(link, monkeypatch, capabilities(path=str(emulator)), "qemu:///session")
    assert found.status == status


def test_networking_that_cannot_be_seen_is_no_success(link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    for uri in ("qemu:///session", "qemu+ssh://h/session"):
        found = session_network(link, monkeypatch, capabilities(), uri)
        assert found.status == "warn"
        assert "cannot be told" in found.detail


def test_a_bridge_that_cannot_be_looked_for_is_neither_there_nor_missing(
    link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = MemoryNode("qemu+ssh://h/system")
    assert network_checks.check(Context(), link, node, "br0").status == "fail"
    monkeypatch.setattr(node.networks, "has_bridge", lambda _ctx, _name: None)
    assert network_checks.check(Context(), link, node, "br0").status == "warn"


def checked_node(link: Link, node: MemoryNode, accelerator: Accelerator) -> dict[str, Prerequisite]:
    found = prerequisites.check(Context(), link, node, lambda: accelerator, pool="kiln", network="default")
    return {each.name: each for each in found}


@pytest.fixture
def node(link: Link, monkeypatch: pytest.MonkeyPatch) -> MemoryNode:
    """A node with a pool and an emulator."""
    monkeypatch.setattr(prerequisites, "_emulator", lambda _ctx, _link: Prerequisite("emulator", "ok", "/qemu"))
    made = MemoryNode("qemu:///system")
    made.volumes.ensure_pool(Context(), "kiln", None)
    return made


def test_an_accelerator_that_is_remembered_says_so_and_since_when(link: Link, node: MemoryNode) -> None:
    line = checked_node(link, node, Accelerator("kvm", "a guest ran", since=1e9))["accelerator"]
    assert line.status == "ok"
    assert "remembered from the probe of 2001-09-09 01:46 UTC" in line.detail
    assert "`kiln doctor qemu:///system --probe`" in line.detail
    assert checked_node(link, node, Accelerator("kvm", "a guest ran"))["accelerator"].detail == "kvm: a guest ran"
    line = checked_node(link, node, Accelerator("tcg", "it does not work", since=1e9))["accelerator"]
    assert line.status == "warn"
    assert "`kiln doctor qemu:///system --probe`" in line.mend


def test_an_accelerator_that_was_not_tried_is_no_success(
    link: Link, node: MemoryNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = checked_node(link, node, Accelerator("kvm", "no probe guest for aarch64", proven=False))["accelerator"]
    assert (line.status, bool(line.mend)) == ("warn", True)
    monkeypatch.setattr(prerequisites, "_emulator", lambda _ctx, _link: Prerequisite("emulator", "fail", "none"))
    assert checked_node(link, node, Accelerator("kvm", "a guest ran"))["accelerator"].status == "fail"


def test_roots_session_is_said_to_be_the_systems_daemon(link: Link, node: MemoryNode) -> None:
    assert "system's daemon" not in checked_node(link, node, Accelerator("tcg", ""))["libvirt"].detail
    node.uri = "qemu:///session"
    assert "system's daemon" in checked_node(link, node, Accelerator("tcg", ""))["libvirt"].detail


@pytest.mark.parametrize(("arguments", "afresh"), [((), False), (("--probe",), True)])
def test_doctor_probes_the_accelerator_again_only_when_it_is_asked_to(
    nodes: MemoryNodes, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], afresh: bool
) -> None:
    asked = Mock(return_value=())
    monkeypatch.setattr(nodes.get(Context(), URI), "prerequisites", asked)
    assert CliRunner().invoke(command, ["doctor", URI, *arguments]).exit_code == 0
    assert asked.call_args.kwargs == {"afresh": afresh}


@pytest.mark.parametrize("arguments", [(), ("doctor",), ("gc",)])
def test_help_has_an_example_and_the_exit_statuses(arguments: tuple[str, ...]) -> None:
    said = CliRunner().invoke(command, [*arguments, "--help"], env={"COLUMNS": "80", "TERM": "dumb"}).stdout
    assert "Exit status: 0" in said
    assert f"kiln {arguments[0] if arguments else 'doctor'} " in said.split("Options")[0]
