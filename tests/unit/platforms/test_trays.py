"""Changing the medium of a drive whose tray the guest has a say in."""

from __future__ import annotations

import pytest
from kiln.framework.context import Context
from kiln.framework.errors import KilnError
from kiln.platforms.libvirt import devices
from kiln.platforms.libvirt.connection import Link
from kiln.ports.domains import DiskSpec
from kiln.ports.volumes import Volume, VolumeRef

from tests.unit.platforms.fake_libvirt import FakeError

CD = DiskSpec((Volume(VolumeRef("kiln", "cd"), "/cd", "raw", 512, 512),), "sda", device="cdrom", bus="scsi")
CLOSED = "unable to execute QEMU command 'blockdev-remove-medium': Tray of device 'scsi0-0-0-1' is not open"


class Drive:
    """A ``virDomain`` whose drive refuses as often as there are ``refusals``."""

    def __init__(self, *refusals: str) -> None:
        self.refusals = list(refusals)
        self.media: list[str] = []

    def name(self) -> str:
        return "web"

    def updateDeviceFlags(self, document: str, _flags: int) -> None:
        if self.refusals:
            raise FakeError(1, self.refusals.pop(0))
        self.media.append(document)


def change(link: Link, drive: Drive) -> None:
    link.open(Context()).handle.lookupByUUIDString = lambda _uuid: drive
    devices.replug(Context(), link, "uuid", CD, {})


def test_a_tray_that_the_guest_closes_meanwhile_is_opened_again(link: Link) -> None:
    drive = Drive(CLOSED, CLOSED)
    change(link, drive)
    assert ["/cd" in document for document in drive.media] == [True]


def test_a_tray_that_stays_locked_is_told_after_a_while_with_what_to_do(
    link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "TRAY_SECONDS", 0.0)
    drive = Drive("Tray of device 'sr0' is locked", "never asked")
    with pytest.raises(KilnError, match="eject -i off"):
        change(link, drive)
    assert drive.refusals == ["never asked"]


def test_another_refusal_is_told_at_once(link: Link) -> None:
    drive = Drive("no such file", "never asked")
    with pytest.raises(KilnError, match="no such file"):
        change(link, drive)
    assert drive.refusals == ["never asked"]
