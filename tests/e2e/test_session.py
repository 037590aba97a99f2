"""Guests of a user's own: ``qemu:///session``, without root, without a network of the node's.

Where the tests run as root they become another user, who may reach all files (capabilities(7), ambient): the checkout
and what was built lie where root has them. libvirt, Kiln and QEMU see a user, whose daemon is the session's.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.e2e.project import Project, first_server
from tests.e2e.waiting import until
from tools.guests import GuestImage

REACH = "+dac_override,+dac_read_search"
NOBODY = pwd.getpwnam("nobody")
USER = () if os.geteuid() else (
    "setpriv", f"--reuid={NOBODY.pw_uid}", f"--regid={NOBODY.pw_gid}", "--clear-groups",
    f"--inh-caps={REACH}", f"--ambient-caps={REACH}", "--",
)  # fmt: skip
SESSION = "qemu:///session"
DAEMONS = ("libvirtd", "virtlogd")


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A user's home and run-time directory. Short, since a socket's path may have 107 bytes (unix(7))."""
    directory = Path(tempfile.mkdtemp(prefix="kt-", dir="/tmp"))
    run = directory / "run"
    run.mkdir(mode=0o700)
    if USER:
        for each in (directory, run):  # libvirt gives its daemon no capabilities
            os.chown(each, NOBODY.pw_uid, NOBODY.pw_gid)
    yield directory
    for daemon in DAEMONS:
        _end(run / "libvirt" / f"{daemon}.pid")
    shutil.rmtree(directory)


def _end(pid_file: Path) -> None:
    """End a daemon that libvirt started for the session."""
    with suppress(FileNotFoundError, ProcessLookupError):
        pid = int(pid_file.read_text())
        os.kill(pid, signal.SIGTERM)
        until(lambda: not Path(f"/proc/{pid}").exists() or "State:\tZ" in Path(f"/proc/{pid}/status").read_text())


@pytest.fixture(scope="module")
def project(home: Path, prefix: str, tiny_guest: GuestImage) -> Iterator[Project]:
    env = {
        "HOME": str(home),
        "XDG_RUNTIME_DIR": str(home / "run"),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "LIBVIRT_DEFAULT_URI": SESSION,
    }
    made = Project(home / "work", "01-first-server", names=prefix, pool=prefix, prefix=USER, env=env)
    made.init(first_server(tiny_guest))
    yield made
    made.pulumi("destroy", "--yes")
    assert prefix not in made.run("virsh", "-c", SESSION, "list", "--all")
    assert [file for file in home.rglob("*.console.log") if prefix in file.name] == []


def test_a_user_gets_guests_of_his_own_with_user_mode_networking(project: Project, prefix: str, home: Path) -> None:
    project.pulumi("up", "--yes", "--skip-preview")
    outputs: dict[str, Any] = json.loads(project.pulumi("stack", "output", "--json", "--show-secrets"))
    assert outputs["node"] == SESSION
    assert len(outputs["initialPassword"]) == 20
    document = ElementTree.fromstring(project.run("virsh", "-c", SESSION, "dumpxml", f"{prefix}-demo"))
    assert [nic.get("type") for nic in document.findall("devices/interface")] == ["user"]
    files = [source.get("file") or "" for source in document.findall("devices/disk/source")]
    pool = home / ".local" / "share" / "libvirt" / "images" / prefix
    assert files == [f"{pool}/{prefix}-demo-root", f"{pool}/{prefix}-demo-data"]
    assert "finished at" in Path(outputs["consoleLog"]).read_text(errors="replace")
    assert Path(outputs["consoleLog"]).is_relative_to(home)

    assert "unchanged" in project.pulumi("up", "--yes", "--refresh", "--expect-no-changes")


def test_doctor_says_what_a_session_has(project: Project, prefix: str) -> None:
    report = json.loads(project.run("kiln", "doctor", SESSION, "--json"))
    lines = {line["name"]: line for line in report}
    assert "user-mode" in lines["network"]["detail"]
    assert {line["status"] for line in lines.values()} <= {"ok", "warn"}


_NETWORK = """
from kiln.app import KilnProvider
from kiln.framework import operations
from kiln.framework.context import Context

provider = KilnProvider()
provider.configure(KilnProvider.Config())
try:
    operations.check(Context(), provider.resources["Network"], {"mode": "isolated"}, None, "it")
except operations.InputErrors as error:
    print(error)
finally:
    provider.close()
"""


def test_a_session_has_no_networks_and_says_so(project: Project, prefix: str) -> None:
    told = project.run("python", "-c", _NETWORK)
    assert told.startswith(f"node: there are no networks on {SESSION}.")
    assert project.run("kiln", "gc", SESSION, "--only", prefix).startswith("Nothing is left over")
