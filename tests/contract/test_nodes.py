"""What every driver of ``ports.Node``, ``Nodes`` and ``Networks`` does, and what the accelerator probe finds out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from kiln.framework.context import Context
from kiln.framework.errors import InputError, NotFound, Refused, Unreachable
from kiln.platforms.libvirt import accelerator, borrowed, payload, probe
from kiln.platforms.libvirt.node import LibvirtNode
from kiln.platforms.libvirt.nodes import Connections
from kiln.ports.nodes import Node, Nodes

from tests.contract.conftest import DRIVERS, SYSTEM, real
from tests.fakes.memory import MemoryNodes


@pytest.fixture(params=["memory", "libvirt"])
def nodes(request: pytest.FixtureRequest) -> Nodes:
    if request.param == "memory":
        memory = MemoryNodes()
        memory.unreachable.add("qemu+unix:///system?socket=/nowhere")
        return memory
    request.getfixturevalue("daemon")
    return Connections(allow_insecure_transport=False)


def test_one_uri_is_one_node(nodes: Nodes, ctx: Context) -> None:
    try:
        node = nodes.get(ctx, SYSTEM)
        assert node is nodes.get(ctx, SYSTEM)
        assert (node.uri, node.session) == (SYSTEM, False)
    finally:
        nodes.close()


def test_a_node_that_does_not_answer_is_unreachable_and_says_what_to_do(nodes: Nodes, ctx: Context) -> None:
    with pytest.raises(Unreachable) as caught:
        nodes.get(ctx, "qemu+unix:///system?socket=/nowhere")
    assert caught.value.action
    assert caught.value.node == "qemu+unix:///system?socket=/nowhere"


def test_a_uri_is_judged_without_connecting(nodes: Nodes) -> None:
    nodes.check_uri("qemu+unix:///system?socket=/nowhere", "node")
    with pytest.raises(InputError) as caught:
        nodes.check_uri("web", "node")
    assert caught.value.path == "node"


def test_a_node_says_how_many_cpus_a_machine_type_takes(node: Node, ctx: Context) -> None:
    most = node.max_vcpus(ctx, {"machine": "q35"})
    assert most is not None
    assert 1 <= most <= 255
    assert node.max_vcpus(ctx, {}) == most
    with pytest.raises(InputError) as caught:
        node.max_vcpus(ctx, {"machine": "pcx"})
    assert caught.value.path == "platformConfig.machine"
    assert "pcx" in caught.value.what


@real
def test_what_is_wrong_with_a_file_is_told_where_it_is_within_reach(
    libvirt_node: LibvirtNode, ctx: Context, tmp_path: Path
) -> None:
    missing = libvirt_node.file_flaw(ctx, str(tmp_path / "none"))
    assert missing == ("there is no such file" if libvirt_node.uri == SYSTEM else None)


def test_platform_settings_are_judged_without_asking_the_node(nodes: Nodes) -> None:
    nodes.check_settings("qemu+unix:///system?socket=/nowhere", {"machine": "pc"})
    with pytest.raises(InputError) as caught:
        nodes.check_settings("qemu+unix:///system?socket=/nowhere", {"machin": "pc"})
    assert caught.value.path == "platformConfig.machin"


def test_facts_are_complete_and_identity_is_among_them(node: Node, ctx: Context) -> None:
    facts = node.facts(ctx)
    assert facts.identity == node.identity(ctx)
    assert facts.identity.startswith(f"{facts.platform}:")
    assert facts.cpus > 0
    assert facts.memory > 1 << 19
    assert facts.libvirt_version.count(".") == facts.emulator_version.count(".") == 2
    assert "bios" in facts.firmwares


def test_tcg_is_what_is_asked_for(node: Node, ctx: Context) -> None:
    assert node.accelerator(ctx, "tcg").name == "tcg"


def test_networks_are_told_and_absent_ones_are_not_found(node: Node, ctx: Context) -> None:
    default = node.networks.get(ctx, "default")
    assert (default.active, default.dhcp) == (True, True)
    assert default in node.networks.list(ctx)
    with pytest.raises(NotFound):
        node.networks.get(ctx, "no-such-network")


@pytest.mark.parametrize("node", [DRIVERS[0], DRIVERS[2]], indirect=True)
def test_bridges_are_told_from_what_is_none(node: Node, ctx: Context) -> None:
    assert node.networks.has_bridge(ctx, "virbr0")
    assert not node.networks.has_bridge(ctx, "lo")
    assert not node.networks.has_bridge(ctx, "nosuch0")
    assert node.networks.has_interface(ctx, "virbr0")
    assert node.networks.has_interface(ctx, "lo")
    assert not node.networks.has_interface(ctx, "nosuch0")


@real
def test_the_probe_guest_runs_under_tcg_and_leaves_nothing(
    node: Node, libvirt_node: LibvirtNode, ctx: Context, pool: str
) -> None:
    assert probe.prove(ctx, libvirt_node._link, "x86_64", "tcg") is None
    assert not [domain for domain in node.domains.list(ctx) if domain.name.startswith("kiln-probe")]
    assert [file.name for file in Path(node.volumes.pool(ctx, pool).path).iterdir()] == [".kiln"]


@real
def test_the_probe_makes_its_disk_in_no_pool_that_somebody_may_take_away(
    node: Node, libvirt_node: LibvirtNode, ctx: Context, pool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(borrowed, "_PREFERRED", {})
    with borrowed.borrowed_pool(ctx, libvirt_node._link) as used:
        assert used != pool
        assert node.volumes.pool(ctx, used).active
    with pytest.raises(NotFound):
        node.volumes.pool(ctx, used)


@real
def test_a_guest_that_says_nothing_proves_nothing(
    libvirt_node: LibvirtNode, ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    halted = b"\xf4\xeb\xfd".ljust(510, b"\0") + b"\x55\xaa"
    monkeypatch.setattr(payload, "image", lambda: halted.ljust(1 << 20, b"\0"))
    monkeypatch.setattr(probe, "SECONDS", 2.0)
    reason = probe.prove(ctx, libvirt_node._link, "x86_64", "tcg")
    assert reason is not None
    assert "it wrote nothing" in reason


@real
def test_auto_takes_what_a_probe_guest_proved_and_remembers_it(
    node: Node, ctx: Context, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def prove(_ctx: Context, _link: object, _arch: str, name: str) -> str | None:
        tried.append(name)
        return "the probe guest is broken" if name == "kvm" else None

    monkeypatch.setattr(accelerator, "prove", prove)
    found = node.accelerator(ctx, "auto")
    assert found.name == "tcg"
    assert found.reason
    assert node.accelerator(ctx, "auto") == found
    assert tried in ([], ["kvm", "tcg"])
    with pytest.raises(Refused) as caught:
        node.accelerator(ctx, "kvm")
    assert caught.value.cause == found.reason


@pytest.mark.requirement("CP-41")
@pytest.mark.parametrize("node", [DRIVERS[2]], indirect=True)
def test_every_prerequisite_is_told_and_none_fails_here(node: Node, ctx: Context, pool: str) -> None:
    found = {each.name: each for each in node.prerequisites(ctx, pool, None)}
    expected = {"libvirt", "emulator", "storage pool", "accelerator", "network", "qemu-img", "firmware", "confinement"}
    assert expected <= set(found)
    assert [each for each in found.values() if each.status == "fail"] == []
    assert all(each.mend for each in found.values() if each.status != "ok")


@pytest.mark.requirement("CP-41")
@real
def test_what_is_missing_fails_and_says_how_to_mend_it(
    node: Node, ctx: Context, pool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accelerator, "prove", lambda *_: None)
    found = {each.name: each for each in node.prerequisites(ctx, pool, "no-such-network")}
    assert found["network"].status == "fail"
    assert "net-define" in found["network"].mend


@pytest.mark.parametrize("node", [DRIVERS[2]], indirect=True)
def test_qemu_img_is_seen_to_work_also_where_the_pool_is_not_there_yet(
    node: Node, ctx: Context, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accelerator, "prove", lambda *_: None)
    found = {each.name: each for each in node.prerequisites(ctx, name, None)}
    assert (found["qemu-img"].status, found["qemu-img"].detail) == ("ok", "makes qcow2 volumes")
    ours = f"-{os.getpid():x}-"
    assert [
        each.name for each in node.volumes.pools(ctx) if each.name.startswith("kiln-probe") and ours in each.name
    ] == []
