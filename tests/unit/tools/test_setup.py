"""What set-up decides: the distribution's table, the missing packages, who may install them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tools.say import ToolError
from tools.setup import packages
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
