"""Logs of guests: which are Kiln's by their names, where they are looked for, and which nobody may delete."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from kiln.framework.context import Context
from kiln.framework.errors import KilnError, Refused
from kiln.platforms.libvirt import logs, paths
from kiln.platforms.libvirt.connection import Link
from kiln.ports.domains import GuestLog

from tests.unit.platforms.fake_libvirt import FakeLibvirt

UUID = "0123abcd-0123-4abc-8abc-0123456789ab"
OTHER = "99999999-0123-4abc-8abc-0123456789ab"


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of the daemon's logs."""
    made = tmp_path / "qemu"
    made.mkdir()
    monkeypatch.setattr(logs, "logs_directory", lambda _uri: made)
    return made


def domain(name: str, uuid: str, log: str = "") -> Any:
    """A ``virDomain`` that writes its console to a file."""
    document = f"<domain><devices><serial><log file='{log}'/></serial></devices></domain>"
    found = Mock(**{"UUIDString.return_value": uuid, "XMLDesc.return_value": document})
    found.name.return_value = name
    return found


@pytest.fixture
def guests(link: Link, library: FakeLibvirt) -> list[Any]:
    """The guests that are there."""
    there: list[Any] = []
    link.open(Context())
    library.opened[-1].listAllDomains = lambda _flags: there  # type: ignore[attr-defined]
    return there


def test_only_names_that_kiln_alone_gives_are_its_logs(link: Link, directory: Path) -> None:
    ours: dict[str, tuple[str, str | None]]
    ours = {f"web-1-{UUID}.console.log": ("web-1", UUID), f"web-{UUID}.console.log.2": ("web", UUID)}
    ours["kiln-probe-0123abcd-12-9f-01234567.log"] = ("kiln-probe-0123abcd-12-9f-01234567", None)
    theirs = ["web.log", f"web-{UUID}.log", f"-{UUID}.console.log.old", "kiln-probe-theirs.log", "x.console.log"]
    for name in [*ours, *theirs]:
        (directory / name).touch()
    (directory / f"link-{UUID}.console.log").symlink_to("/etc/passwd")
    (directory / f"directory-{UUID}.console.log").mkdir()
    assert {Path(log.path).name: (log.name, log.uuid) for log in logs.all_logs(link)} == ours


def test_a_directory_that_is_not_there_has_no_logs_and_one_that_may_not_be_read_is_told(
    link: Link, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory.rmdir()
    assert logs.all_logs(link) == []
    monkeypatch.setattr("os.scandir", Mock(side_effect=PermissionError(13, "Permission denied")))
    with pytest.raises(KilnError, match="Permission denied"):
        logs.all_logs(link)


@pytest.mark.parametrize(
    "uri",
    [
        "qemu+ssh://root@h/system",
        "qemu+unix:///system?socket=/elsewhere/sock",
        "qemu:///embed?root=/elsewhere",
        "lxc:///system",
        "test:///default",
    ],
)
def test_logs_are_looked_for_only_where_all_the_guests_that_write_there_are_known(uri: str) -> None:
    assert paths.logs_directory("qemu:///system") == Path("/var/log/libvirt/qemu")
    assert paths.logs_directory(uri) is None


def test_a_log_is_deleted_once_its_guest_is_gone(link: Link, directory: Path, guests: list[Any]) -> None:
    (file := directory / f"web-{UUID}.console.log").touch()
    (log,) = logs.all_logs(link)
    guests.append(domain("renamed", UUID))
    with pytest.raises(Refused, match="a guest writes to"):
        logs.delete(Context(), link, log)
    guests[:] = [domain("clone", OTHER, log=str(file))]
    with pytest.raises(Refused, match="a guest writes to"):
        logs.delete(Context(), link, GuestLog(f"{file}.0", "web", UUID, 0.0))
    assert file.exists()
    guests[:] = [domain("web", OTHER)]
    logs.delete(Context(), link, log)
    logs.delete(Context(), link, log)
    assert not file.exists()


def test_the_log_of_a_probe_guest_stays_while_that_runs(link: Link, directory: Path, guests: list[Any]) -> None:
    name = "kiln-probe-0123abcd"
    (directory / f"{name}.log").touch()
    (log,) = logs.all_logs(link)
    guests.append(domain(name, OTHER))
    with pytest.raises(Refused):
        logs.delete(Context(), link, log)
    guests.clear()
    logs.delete(Context(), link, log)
    assert logs.all_logs(link) == []
