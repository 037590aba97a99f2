"""What set-up decides: the distribution's table, the missing packages, who may install them."""

from __future__ import annotations

import grp
import os
import pwd
import shlex
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tools.say import ToolError
from tools.setup import access, libvirtd, membership, packages
from tools.setup.distribution import resolve
from tools.setup.privilege import as_root


def script(directory: Path, name: str, text: str) -> None:
    file = directory / name
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)


@pytest.mark.parametrize(
    ("os_release", "kernel", "checked"),
    [
        ({"ID": "debian", "VERSION_ID": "12"}, "linux-image-cloud-amd64", True),
        ({"ID": "debian", "VERSION_ID": "13"}, "linux-image-cloud-amd64", True),
        ({"ID": "debian"}, "linux-image-cloud-amd64", False),
        ({"ID": "ubuntu", "VERSION_ID": "24.04"}, "linux-image-virtual", True),
        ({"ID": "ubuntu", "VERSION_ID": "99.04"}, "linux-image-virtual", False),
        ({"ID": "linuxmint", "ID_LIKE": "ubuntu debian", "VERSION_ID": "22"}, "linux-image-virtual", False),
    ],
)
def test_each_distribution_has_its_table(os_release: dict[str, str], kernel: str, checked: bool) -> None:
    found = resolve(os_release)
    assert (found.kernel, found.checked) == (kernel, checked)
    assert all(found.packages.values()), "every package says why it is needed"


def test_an_unknown_distribution_is_told_where_to_add_its_names() -> None:
    with pytest.raises(ToolError, match=r"Plan 9.*packages\.toml \(there are: debian, ubuntu\)"):
        resolve({"ID": "plan9", "PRETTY_NAME": "Plan 9"})


def test_only_installed_packages_count_as_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script(tmp_path, "dpkg-query", 'echo "gcc installed"; echo "libvirt-dev:amd64 installed"; echo "zstd config-files"')
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert packages.missing(["gcc", "libvirt-dev", "zstd", "ovmf"]) == ["zstd", "ovmf"]


def test_root_runs_commands_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert as_root(["apt-get", "update"], "reading lists") == ["apt-get", "update"]


def test_others_use_sudo_where_it_asks_for_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script(tmp_path, "sudo", "exit 0")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert as_root(["apt-get", "update"], "reading lists") == ["sudo", "--", "apt-get", "update"]


def test_without_sudo_the_command_to_run_by_hand_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match=r"reading lists needs root(?s:.*)apt-get update"):
        as_root(["apt-get", "update"], "reading lists")


class Entered(Exception):
    """The process would have gone on as another command."""


@pytest.fixture
def outsider(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A user who may use sudo and is not in the group, on a machine whose daemon says nothing to such a user."""

    def execvp(file: str, arguments: list[str]) -> None:
        raise Entered(shlex.join(arguments))

    log = tmp_path / "log"
    script(tmp_path, "sudo", f'[ "$1" = -n ] || echo "$@" >> {log}')
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "getgroups", lambda: [1000])
    monkeypatch.setattr(os, "getegid", lambda: 1000)
    monkeypatch.setattr(os, "execvp", execvp)
    monkeypatch.setattr(pwd, "getpwuid", lambda _uid: SimpleNamespace(pw_name="dev"))
    monkeypatch.setattr(grp, "getgrnam", lambda _name: SimpleNamespace(gr_gid=120, gr_mem=[]))
    monkeypatch.setattr(libvirtd, "_virsh", lambda *_: None)
    monkeypatch.setattr(libvirtd, "_open_kvm", lambda: None)
    return log


@pytest.mark.parametrize("arguments", [["-m", "tools.setup"], ["-m", "bench", "--only", "x"]], ids=" ".join)
def test_a_user_outside_the_group_joins_it_and_goes_on_in_it_with_what_was_begun(
    outsider: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setattr(sys, "orig_argv", ["python3", *arguments])
    with pytest.raises(Entered) as caught:
        libvirtd.ensure()
    assert shlex.split(str(caught.value)) == ["sg", "libvirt", "-c", shlex.join([sys.executable, *arguments])]
    assert outsider.read_text() == "-- usermod -aG libvirt dev\n"


def test_a_user_who_joined_since_logging_in_goes_on_in_the_group(
    outsider: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grp, "getgrnam", lambda _name: SimpleNamespace(gr_gid=120, gr_mem=["dev"]))
    with pytest.raises(Entered, match="sg libvirt"):
        libvirtd.ensure()
    assert not outsider.exists()
    monkeypatch.setattr(sys, "argv", ["membership", "python", "-m", "tools.demo", "two words"])
    with pytest.raises(Entered, match=r"^sg libvirt -c 'python -m tools.demo '.*two words"):
        membership.main()


@pytest.mark.parametrize("groups", [[1000], [1000, 120]], ids=["no member", "in the session"])
def test_others_run_the_command_as_it_is(outsider: Path, monkeypatch: pytest.MonkeyPatch, groups: list[int]) -> None:
    monkeypatch.setattr(os, "getgroups", lambda: groups)
    monkeypatch.setattr(sys, "argv", ["membership", "python", "-m", "tools.demo"])
    with pytest.raises(Entered, match=r"^python -m tools.demo$"):
        membership.main()


def test_where_polkit_cannot_be_asked_the_group_is_let_in_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = tmp_path / "libvirtd.conf"
    settings.write_text('#auth_unix_rw = "polkit"\n')
    script(tmp_path, "sudo", 'shift; [ "$1" = true ] || exec "$@"')
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(access, "SETTINGS", settings)
    monkeypatch.setattr(access, "BUS", tmp_path / "bus")
    for _ in range(2):
        access.ensure_settings()
    assert settings.read_text().splitlines()[2:] == list(access.LINES)
    assert settings.read_text().count('auth_unix_rw = "none"') == 1


def test_polkit_is_left_to_decide_where_it_can_be_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "bus").touch()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(access, "SETTINGS", tmp_path / "libvirtd.conf")
    monkeypatch.setattr(access, "BUS", tmp_path / "bus")
    access.ensure_settings()
    assert not (tmp_path / "libvirtd.conf").exists()


def test_a_daemon_runs_whose_process_has_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """After a crash the file may be there, and its number that of any other process."""
    monkeypatch.setattr(libvirtd, "PIDS", tmp_path)
    own = Path("/proc/self/comm").read_text().strip()
    assert not libvirtd.runs(own)
    (tmp_path / f"{own}.pid").write_text(f"{os.getpid()}\n")
    (tmp_path / "virtlogd.pid").write_text(f"{os.getpid()}\n")
    assert libvirtd.runs(own)
    assert not libvirtd.runs("virtlogd")
    (tmp_path / f"{own}.pid").write_text("4194305\n")
    assert not libvirtd.runs(own)
