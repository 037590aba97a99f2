"""The ``kiln`` command on a real node."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pulumi_kiln as kiln_sdk
import pytest

from tests.e2e.conftest import LOGS, POOLS, TestPool
from tests.e2e.direct import Direct
from tests.e2e.inventory import URI, Inventory
from tests.e2e.stacks import PLUGIN_DIRECTORY, Stack

KILN = str(PLUGIN_DIRECTORY / "kiln")


def kiln(*arguments: str, status: int = 0) -> str:
    """Run the command and return what it printed."""
    answer = subprocess.run([KILN, *arguments], capture_output=True, text=True, check=False, timeout=120)
    assert answer.returncode == status, answer.stderr + answer.stdout
    assert "Traceback" not in answer.stderr
    return answer.stdout if status in (0, 1) else answer.stderr


def gc(pool: TestPool, *arguments: str) -> list[dict[str, Any]]:
    """What gc says of this module's objects; all others on the machine are none of a test's business."""
    text = kiln("gc", URI, "--pool", pool.name, "--only", pool.name, "--json", *arguments)
    rows: list[dict[str, Any]] = json.loads(text)
    return rows


def test_doctor_checks_each_prerequisite_and_says_how_to_mend_it() -> None:
    report = json.loads(kiln("doctor", URI, "--json"))
    items = report["prerequisites"] if isinstance(report, dict) else report
    assert {item["status"] for item in items} <= {"ok", "warn"}
    names = " ".join(item["name"].lower() for item in items)
    for expected in ("libvirt", "emulator", "accelerator", "pool", "network", "qemu-img", "firmware", "confinement"):
        assert expected in names
    assert all(item.get("mend") for item in items if item["status"] != "ok")


def test_doctor_fails_where_no_libvirt_answers(tmp_path: Path) -> None:
    uri = f"qemu+unix:///system?socket={tmp_path}/none"
    report = json.loads(kiln("doctor", uri, "--json", status=1))
    items = report["prerequisites"] if isinstance(report, dict) else report
    assert any(item["status"] == "fail" and item["mend"] for item in items)


def test_the_command_tells_its_version() -> None:
    assert kiln("--version").startswith("kiln 0.")


@pytest.fixture
def debris(direct: Direct, prefix: str, pool: TestPool) -> Iterator[str]:
    """A volume that an operation of another boot of this machine left unfinished."""
    name = f"{prefix}-dead"
    made = direct.make("Disk", name, size="1MiB")
    sidecar = pool.directory / f".{name}.kiln"
    mark: dict[str, Any] = json.loads(sidecar.read_text())
    mark["phase"] = "creating"
    sidecar.write_text(json.dumps(mark))
    yield made.id
    (pool.directory / name).unlink(missing_ok=True)
    sidecar.unlink(missing_ok=True)


def test_gc_lists_what_a_dead_run_left_and_removes_it_with_yes(
    debris: str, direct: Direct, prefix: str, pool: TestPool
) -> None:
    finished = direct.make("Disk", f"{prefix}-finished", size="1MiB")
    try:
        (row,) = gc(pool)
        assert (row["kind"], row["id"], row["outcome"]) == ("volume", debris, "kept")
        assert f"{prefix}-dead" in pool.files()
        (row,) = gc(pool, "--yes")
        assert row["outcome"] == "removed"
        assert pool.files() == {f"{prefix}-finished", f".{prefix}-finished.kiln"}
        assert gc(pool, "--yes") == []
    finally:
        direct.remove("Disk", finished)


def test_gc_removes_finished_objects_only_when_it_is_told_what_all_stacks_hold(
    stacks: Callable[..., Stack], direct: Direct, prefix: str, pool: TestPool, tmp_path: Path, inventory: Inventory
) -> None:
    def program() -> None:
        disk = kiln_sdk.Disk(f"{prefix}-held", size="1MiB")
        kiln_sdk.Server(f"{prefix}-held", disks=[disk.id], networks=[], power_state="stopped")

    stack = stacks()
    stack.up(program)
    orphan = direct.make("Server", f"{prefix}-orphan", disks=[], networks=[], powerState="stopped")
    disk = direct.make("Disk", f"{prefix}-orphan", size="1MiB")
    state = tmp_path / "state.json"
    state.write_text(stack.export())
    assert gc(pool, "--yes") == []
    rows = gc(pool, "--yes", "--state", str(state))
    assert {row["id"] for row in rows} == {orphan.id, disk.id}
    assert {name for name in inventory.domains() if prefix in name} == {f"{prefix}-held"}
    assert pool.files() == {f"{prefix}-held", f".{prefix}-held.kiln"}


def test_gc_looks_into_every_pool_and_tells_where_and_since_when(debris: str, prefix: str, pool: TestPool) -> None:
    rows = json.loads(kiln("gc", URI, "--only", prefix, "--json"))
    (row,) = [row for row in rows if row["kind"] == "volume"]
    assert row["id"] == debris
    assert row["where"] == str(pool.directory / f"{prefix}-dead")
    assert datetime.now(UTC) - datetime.fromisoformat(row["since"]) < timedelta(hours=1)
    text = kiln("gc", URI, "--only", prefix)
    assert str(pool.directory / f"{prefix}-dead") in text.replace("\n", "")
    assert "--yes" in text


_PROBE = """
import os, signal
from kiln.framework.context import Context
from kiln.platforms.libvirt import probe
from kiln.platforms.libvirt.connection import Link

ctx, link = Context().limited(60), Link("qemu:///system")
with probe._volume(ctx, link) as volume:
    print(volume.ref, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_gc_removes_what_a_probe_that_was_killed_half_way_left(machine: None, inventory: Inventory) -> None:
    """The node has neither of the pools in which a probe makes its disk, or one of them: both ways nothing stays."""
    killed = subprocess.run([sys.executable, "-c", _PROBE], capture_output=True, text=True, check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    pool, _, name = killed.stdout.strip().partition("/")
    left = pool if pool.startswith("kiln-probe-") else name
    (row,) = json.loads(kiln("gc", URI, "--only", left, "--json"))
    assert (row["name"], row["outcome"]) == (left, "kept")
    (row,) = json.loads(kiln("gc", URI, "--only", left, "--json", "--yes"))
    assert row["outcome"] == "removed"
    assert not (POOLS / pool / name).exists()
    assert json.loads(kiln("gc", URI, "--only", left, "--json")) == []
    assert pool not in inventory.pools() or pool in {"kiln", "default"}


def test_gc_removes_the_log_of_a_guest_that_somebody_undefined(
    direct: Direct, prefix: str, pool: TestPool, inventory: Inventory
) -> None:
    name = f"{prefix}-gone"
    server = direct.make("Server", name, disks=[], networks=[], powerState="running")
    log = LOGS / f"{name}-{server.id}.console.log"
    assert log.exists()
    assert json.loads(kiln("gc", URI, "--only", name, "--json")) == []
    domain = inventory.domain(name)
    domain.destroy()
    domain.undefine()
    (row,) = json.loads(kiln("gc", URI, "--only", name, "--json", "--yes"))
    assert (row["kind"], row["where"], row["outcome"]) == ("log", str(log), "removed")
    assert not log.exists()


def test_doctor_remembers_the_accelerator_until_it_is_told_to_probe(machine: None) -> None:
    def accelerator(*arguments: str) -> str:
        lines = {line["name"]: line["detail"] for line in json.loads(kiln("doctor", URI, "--json", *arguments))}
        return str(lines["accelerator"])

    first = accelerator("--probe")
    assert "remembered" not in first
    again = accelerator()
    # A node that offers no KVM has nothing to be tried, and so nothing to be remembered.
    assert "remembered from the probe of" in again or "offers no KVM" in again


@pytest.mark.parametrize("deployment", [None, {"manifest": {}}], ids=["never-up", "destroyed"])
def test_gc_takes_the_state_of_a_stack_that_holds_nothing(
    direct: Direct, prefix: str, pool: TestPool, tmp_path: Path, deployment: Any
) -> None:
    disk = direct.make("Disk", f"{prefix}-nobodys", size="1MiB")
    state = tmp_path / "state.json"
    state.write_text(json.dumps({"version": 3, "deployment": deployment}))
    assert disk.id in {row["id"] for row in gc(pool, "--state", str(state))}
    direct.remove("Disk", disk)


def test_gc_says_what_is_wrong_with_a_state_file(tmp_path: Path) -> None:
    bad = tmp_path / "state.json"
    bad.write_text("{}")
    text = kiln("gc", URI, "--state", str(bad), status=2)
    assert "pulumi stack export" in text
