"""A guest that does not start: what it is called, and whose fault it is."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kiln.framework.context import Context
from kiln.framework.errors import InputError, KilnError
from kiln.platforms.libvirt import bootfiles, lifecycle
from kiln.platforms.libvirt.codes import ErrorCode
from kiln.platforms.libvirt.connection import Link
from kiln.platforms.libvirt.contents import Contents
from kiln.platforms.libvirt.domains import LibvirtDomains
from kiln.ports.domains import BootSpec

from tests.unit.platforms.fake_libvirt import FakeConnect, FakeError, FakeLibvirt

UUID = "7d3a8c51-3b5c-4b0e-9f1a-000000000001"
DEFINITION = "<domain><os><type>hvm</type><kernel>/boot/vmlinuz</kernel><initrd>/boot/initrd</initrd></os></domain>"


@pytest.fixture
def guest(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A guest 'web' whose calls fail with ``error``."""
    fake = SimpleNamespace(name=lambda: "web", XMLDesc=lambda _flags: DEFINITION, isActive=lambda: True, error=None)

    def fail(*_: Any) -> None:
        if fake.error is not None:
            raise fake.error

    fake.createWithFlags = fake.destroyFlags = fake.setAutostart = fake.state = fail
    monkeypatch.setattr(FakeConnect, "lookupByUUIDString", lambda _self, _uuid: fake, raising=False)
    return fake


def test_a_guest_is_called_by_its_name(link: Link, library: FakeLibvirt, guest: Any) -> None:
    guest.error = FakeError(ErrorCode.INTERNAL_ERROR, "it broke")
    domains = LibvirtDomains(link, Contents(link))
    calls: dict[str, Callable[[], object]] = {
        "start": lambda: domains.start(Context(), UUID),
        "force": lambda: domains.destroy(Context(), UUID),
        "set autostart of": lambda: domains.set_autostart(Context(), UUID, True),
    }
    for verb, call in calls.items():
        with pytest.raises(KilnError) as caught:
            call()
        assert caught.value.what.startswith(f"could not {verb} guest 'web'")


def test_a_guest_that_is_not_found_is_called_by_its_uuid(
    link: Link, library: FakeLibvirt, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(_self: FakeConnect, _uuid: str) -> None:
        raise FakeError(ErrorCode.NO_DOMAIN, "no domain")

    monkeypatch.setattr(FakeConnect, "lookupByUUIDString", absent, raising=False)
    with pytest.raises(KilnError, match=f"could not start guest {UUID}"):
        LibvirtDomains(link, Contents(link)).start(Context(), UUID)


@pytest.mark.parametrize(
    ("code", "cause", "path"),
    [
        (ErrorCode.SYSTEM_ERROR, "unable to stat: /boot/vmlinuz: No such file or directory", "boot.kernel"),
        (ErrorCode.SYSTEM_ERROR, "unable to stat: /boot/initrd: No such file or directory", "boot.initrd"),
        (
            ErrorCode.INTERNAL_ERROR,
            "qemu: could not open kernel '/boot/vmlinuz': Permission denied",
            "boot.kernel",
        ),
        (ErrorCode.INTERNAL_ERROR, "qemu unexpectedly closed the monitor: qemu: invalid kernel header", "boot.kernel"),
    ],
)
def test_a_start_that_fails_by_a_boot_file_is_told_at_its_property(
    link: Link, library: FakeLibvirt, guest: Any, code: ErrorCode, cause: str, path: str
) -> None:
    guest.error = FakeError(code, cause)
    with pytest.raises(InputError) as caught:
        lifecycle.start(Context(), link, UUID, with_console=False)
    assert caught.value.path == path
    assert caught.value.cause == cause
    assert "'web'" in caught.value.what


@pytest.mark.parametrize(
    "cause", ["unable to stat: /data/boot/vmlinuz", "unable to stat: /boot/vmlinuz-6.1", "cannot allocate memory"]
)
def test_a_start_that_fails_by_something_else_is_not_the_boot_files(cause: str) -> None:
    assert bootfiles.blamed("web", BootSpec("/boot/vmlinuz", "/boot/initrd"), cause) is None
    assert bootfiles.blamed("web", None, cause) is None


def test_a_file_is_looked_at_as_far_as_this_user_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "vmlinuz"
    assert bootfiles.flaw(str(file), session=False) == "there is no such file"
    assert bootfiles.flaw(str(file / "below"), session=False) is not None
    assert bootfiles.flaw(str(tmp_path), session=False) == "it is not a regular file"
    file.write_bytes(b"kernel")
    assert bootfiles.flaw(str(file), session=False) is None
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert bootfiles.flaw(str(file), session=False) is None
    assert "may not read" in str(bootfiles.flaw(str(file), session=True))


def test_a_file_in_a_directory_closed_to_this_user_may_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(_path: str) -> os.stat_result:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "stat", closed)
    assert bootfiles.flaw("/root/vmlinuz", session=False) is None
