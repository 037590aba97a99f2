"""Pool directories under AppArmor and SELinux, judged by the rules and labels that are there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from kiln.platforms.libvirt import labels

PROFILE = """
profile virt-aa-helper /usr/lib/libvirt/virt-aa-helper {
  deny /dev/vd* r,
  /usr/lib/libvirt/virt-aa-helper mr,
  audit deny @{HOME}/.*/** mrwkl,
  @{HOME}/** r,
  /var/lib/libvirt/images/** r,
  /{media,mnt,opt,srv}/** r,
  /**.qcow{,2} r,
  /etc/apparmor.d/libvirt/* w,
}
"""


@pytest.fixture
def profiles(tmp_path: Path) -> Path:
    (tmp_path / "local").mkdir()
    (tmp_path / "usr.lib.libvirt.virt-aa-helper").write_text(PROFILE)
    return tmp_path


@pytest.mark.parametrize(
    ("path", "status", "mend"),
    [
        ("/var/lib/libvirt/images/kiln", "ok", ""),
        ("/srv/guests", "ok", ""),
        ("/home/me/pool", "ok", ""),
        ("/data/guests", "warn", "/** r,"),
        ("/etc/apparmor.d/libvirt", "warn", "/** r,"),
        ("/var/lib/libvirt/imagesX", "warn", "/** r,"),
        ("/home/me/.vms", "warn", "another directory"),
    ],
)
def test_a_directory_must_be_one_that_the_apparmor_helper_may_read(
    profiles: Path, path: str, status: str, mend: str
) -> None:
    found = labels.check(Path(path), ["apparmor", "dac"], profiles)
    assert found is not None
    assert found.status == status
    assert mend in found.mend
    assert bool(found.mend) is (status == "warn")


def test_a_local_rule_counts(profiles: Path) -> None:
    (profiles / "local" / "usr.lib.libvirt.virt-aa-helper").write_text("  /data/guests/** r,\n")
    found = labels.check(Path("/data/guests"), ["apparmor"], profiles)
    assert found is not None
    assert found.status == "ok"


@pytest.mark.parametrize(("kind", "status"), [("virt_image_t", "ok"), ("user_home_t", "warn")])
def test_a_directory_must_carry_a_label_that_guests_may_search(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, status: str
) -> None:
    monkeypatch.setattr(os, "getxattr", lambda *_: f"system_u:object_r:{kind}:s0\0".encode())
    found = labels.check(tmp_path, ["selinux"])
    assert found is not None
    assert found.status == status
    assert ("restorecon" in found.mend) is (status == "warn")


def test_without_confinement_there_is_nothing_to_judge(tmp_path: Path, profiles: Path) -> None:
    assert labels.check(tmp_path, ["dac"], profiles) is None
    assert labels.check(tmp_path, ["selinux"], profiles) is None
    assert labels.check(tmp_path, ["apparmor"], tmp_path / "nothing") is None
