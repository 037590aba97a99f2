"""Which accelerator is chosen, what is remembered, and what of a node's facts needs no node."""

from __future__ import annotations

import os
from pathlib import Path
from unittest.mock import Mock

import pytest
from kiln.framework.context import Context, SilentLog
from kiln.framework.errors import KilnError, Refused
from kiln.platforms.libvirt import accelerator, facts, probe
from kiln.platforms.libvirt.connection import Link
from kiln.platforms.libvirt.facts import Capabilities

CTX = Context()
HOST = Capabilities("u", "x86_64", ("dac",), kvm=True)
LINK = Link("qemu:///system")
FAR = Link("qemu+ssh://h/system")


class Probe:
    """Stands in for the probe guest: what is broken, and what was tried."""

    def __init__(self) -> None:
        self.broken: dict[str, str] = {}
        self.tried: list[str] = []

    def __call__(self, _ctx: Context, _link: Link, _arch: str, name: str) -> str | None:
        self.tried.append(name)
        return self.broken.get(name)


@pytest.fixture
def guest(monkeypatch: pytest.MonkeyPatch) -> Probe:
    made = Probe()
    monkeypatch.setattr(accelerator, "prove", made)
    return made


def test_kvm_that_runs_a_guest_is_taken_and_tried_once(guest: Probe) -> None:
    for wanted in ("auto", "kvm", "auto"):
        assert accelerator.choose(CTX, LINK, "qemu:u", HOST, wanted).name == "kvm"
    assert guest.tried == ["kvm"]


def test_kvm_that_runs_none_is_not_taken_and_the_reason_is_kept(guest: Probe) -> None:
    guest.broken = {"kvm": "the probe guest did not start: bad MSR"}
    found = accelerator.choose(CTX, LINK, "qemu:u", HOST, "auto")
    assert found.name == "tcg"
    assert "bad MSR" in found.reason
    assert accelerator.choose(CTX, LINK, "qemu:u", HOST, "auto") == found
    assert guest.tried == ["kvm", "tcg"]
    with pytest.raises(Refused) as caught:
        accelerator.choose(CTX, LINK, "qemu:u", HOST, "kvm")
    assert caught.value.cause == found.reason


def test_a_node_that_runs_no_guest_at_all_is_not_blamed_on_kvm(guest: Probe) -> None:
    guest.broken = {"kvm": "it has no disk", "tcg": "it has no disk"}
    with pytest.raises(KilnError, match="no guest can be run"):
        accelerator.choose(CTX, LINK, "qemu:u", HOST, "auto")
    guest.broken = {}
    assert accelerator.choose(CTX, LINK, "qemu:u", HOST, "auto").name == "kvm"


def test_what_is_remembered_can_be_tried_afresh(guest: Probe) -> None:
    guest.broken = {"kvm": "broken"}
    accelerator.choose(CTX, LINK, "qemu:u", HOST, "auto")
    guest.broken = {}
    assert accelerator.choose(CTX, LINK, "qemu:u", HOST, "auto").name == "tcg"
    assert accelerator.choose(CTX, LINK, "qemu:u", HOST, "auto", afresh=True).name == "kvm"
    assert accelerator.choose(CTX, LINK, "qemu:u", HOST, "auto").name == "kvm"


def test_what_is_remembered_says_since_when_and_what_is_new_does_not(guest: Probe, cache: Path) -> None:
    assert accelerator.choose(CTX, LINK, "qemu:u", HOST, "auto").since is None
    (file,) = (cache / "accelerator").iterdir()
    os.utime(file, (1e9, 1e9))
    assert accelerator.choose(CTX, LINK, "qemu:u", HOST, "auto").since == 1e9
    assert accelerator.choose(CTX, LINK, "qemu:u", HOST, "auto", afresh=True).since is None


def test_a_probe_is_told_while_it_runs_and_only_then(guest: Probe) -> None:
    said = Mock(spec=SilentLog)
    for _ in range(2):
        accelerator.choose(Context(log=said), LINK, "qemu:u", HOST, "auto")
    said.status.assert_called_once_with("trying KVM on qemu:///system with a probe guest")


def test_another_boot_or_another_node_is_tried_anew(
    guest: Probe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boot = tmp_path / "boot_id"
    monkeypatch.setattr(accelerator, "_BOOT_ID", boot)
    for number in ("1", "2", "2"):
        boot.write_text(number)
        accelerator.choose(CTX, LINK, "qemu:u", HOST, "auto")
    accelerator.choose(CTX, LINK, "qemu:other", HOST, "auto")
    assert guest.tried == ["kvm"] * 3


def test_what_is_known_of_a_node_elsewhere_grows_old(guest: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    accelerator.choose(CTX, FAR, "qemu:u", HOST, "auto")
    accelerator.choose(CTX, FAR, "qemu:u", HOST, "auto")
    assert guest.tried == ["kvm"]
    monkeypatch.setattr(accelerator, "_REMOTE_SECONDS", 0.0)
    accelerator.choose(CTX, FAR, "qemu:u", HOST, "auto")
    assert guest.tried == ["kvm", "kvm"]


def test_a_damaged_memory_is_no_memory(guest: Probe, cache: Path) -> None:
    accelerator.choose(CTX, LINK, "qemu:u", HOST, "auto")
    for file in (cache / "accelerator").iterdir():
        file.write_text("{")
    assert accelerator.choose(CTX, LINK, "qemu:u", HOST, "auto").name == "kvm"
    assert guest.tried == ["kvm", "kvm"]


def test_without_kvm_or_a_probe_nothing_is_tried(guest: Probe) -> None:
    assert accelerator.choose(CTX, LINK, "u", HOST, "tcg").name == "tcg"
    assert accelerator.choose(CTX, LINK, "u", Capabilities("u", "x86_64", (), kvm=False), "auto").name == "tcg"
    assert accelerator.choose(CTX, LINK, "u", Capabilities("u", "aarch64", (), kvm=True), "auto").name == "kvm"
    assert guest.tried == []


@pytest.mark.parametrize(
    ("message", "essence"),
    [
        (
            "internal error: qemu unexpectedly closed the monitor: 2026-01-01T00:00:00.1Z qemu-system-x86_64: "
            "error: failed to set MSR 0x10a to 0x69\nqemu-system-x86_64: kvm.c:3183: Assertion failed.",
            "failed to set MSR 0x10a to 0x69",
        ),
        ("unsupported configuration:\n no KVM", "unsupported configuration: no KVM"),
    ],
)
def test_a_reason_is_the_same_each_time(message: str, essence: str) -> None:
    assert probe._essence(message) == essence


def test_a_daemon_that_makes_up_its_uuid_does_not_make_up_the_identity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine, smbios = tmp_path / "machine-id", tmp_path / "product_uuid"
    machine.write_text("0123456789abcdef0123456789abcdef\n")
    monkeypatch.setattr(facts, "_MACHINE_ID", machine)
    monkeypatch.setattr(facts, "_SMBIOS_UUID", smbios)
    stable = "qemu:01234567-89ab-cdef-0123-456789abcdef"
    assert facts.identity("qemu:///system", "qemu", "made-up") == stable
    assert facts.identity("qemu+ssh://h/system", "qemu", "its-own") == "qemu:its-own"
    assert facts.identity("qemu+ssh://h/session", "qemu", "its-own") == "qemu:its-own/session"
    smbios.write_text("x")
    assert facts.identity("qemu:///system", "qemu", "its-own") == "qemu:its-own"
    smbios.unlink()
    machine.unlink()
    assert facts.identity("qemu:///system", "qemu", "all-there-is") == "qemu:all-there-is"


def test_a_version_is_written_with_dots() -> None:
    assert facts.dotted(9_000_000) == "9.0.0"
    assert facts.dotted(7_002_022) == "7.2.22"
