"""The password story on a real guest: Debian with systemd and cloud-init."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
import pulumi_kiln as kiln
import pytest

from tests.e2e.conftest import TestPool, contains
from tests.e2e.inventory import URI, Inventory
from tests.e2e.stacks import Stack
from tools.console import LoginRefused, login
from tools.guests import GuestImage

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEJtYWRlLXVwLWtleS1mb3ItdGVzdHMtb25seS0wMDAw somebody"
USER_DATA = "#cloud-config\nwrite_files:\n- {path: /root/from-user-data, content: token-of-the-user}\n"
PLACES = [
    Path("/etc/libvirt"),
    Path("/run/libvirt"),
    Path("/var/log/libvirt"),
    Path("/var/lib/libvirt/qemu"),
    Path("/var/lib/libvirt/dnsmasq"),
    Path.home() / ".cache" / "kiln" / "scratch",
    Path.home() / ".cache" / "kiln" / "locks",
    *Path(tempfile.gettempdir()).glob("kiln*"),
]
"""Where libvirt, QEMU and Kiln keep files besides the pool and the project."""

pytestmark = pytest.mark.timeout(600)


@dataclass(frozen=True)
class Booted:
    """A Debian guest whose first boot has ended."""

    stack: Stack
    name: str
    outputs: dict[str, Any]

    @property
    def password(self) -> str:
        """The initial password."""
        return str(self.outputs["password"])


@pytest.fixture(scope="module")
def booted(stacks: Callable[..., Stack], prefix: str, debian_guest: GuestImage) -> Booted:
    name = f"{prefix}-debian"

    def program() -> None:
        image = kiln.Image(
            f"{prefix}-image",
            source=str(debian_guest.disk),
            kernel=str(debian_guest.kernel),
            initrd=str(debian_guest.initrd),
            cmdline=debian_guest.cmdline,
        )
        data = kiln.Disk(f"{prefix}-data", size="64MiB")
        server = kiln.Server(
            name,
            image=image.id,
            disk_size="3GiB",
            disks=[data.id],
            memory="768MiB",
            vcpus=2,
            wait_for="firstBoot",
            wait_timeout=500,
            first_boot={
                "hostname": "a-name-of-its-own",
                "authorized_keys": [KEY],
                "user_data": USER_DATA,
                "metadata": {"role": "<web>", "gitlab:external_url": "https://git.example.org"},
            },
        )
        pulumi.export("password", server.initial_password)
        pulumi.export("addresses", server.addresses)

    stack = stacks()
    run = stack.up(program)
    return Booted(stack, name, dict(run.outputs))


def test_the_seed_is_gone_and_the_password_is_nowhere(
    booted: Booted, prefix: str, inventory: Inventory, pool: TestPool
) -> None:
    for live in (False, True):
        assert set(inventory.disks(booted.name, live=live)) == {"vda", "vdb"}
    assert not [file for file in pool.files() if "-seed" in file]
    assert booted.password not in booted.stack.export()
    assert "token-of-the-user" not in booted.stack.export()
    # The root disk holds the hash, as every /etc/shadow does.
    files = [file for place in (pool.directory, booted.stack.directory, *PLACES) for file in place.rglob("*")]
    assert [str(file) for file in files if file.is_file() and contains(file, booted.password)] == []
    assert contains(pool.directory / f"{booted.name}-root", "root:$6$")


@pytest.mark.requirement("FX-20", "FX-50", "CI-38")
def test_one_can_log_in_with_the_password_and_the_guest_is_what_it_was_asked_to_be(booted: Booted, prefix: str) -> None:
    with pytest.raises(LoginRefused):
        login(URI, booted.name, "root", "not-the-password", timeout=120)
    with login(URI, booted.name, "root", booted.password, timeout=120) as shell:
        assert shell.run("hostname") == "a-name-of-its-own"
        assert shell.run("cat /root/from-user-data") == "token-of-the-user"
        assert KEY in shell.run("cat /root/.ssh/authorized_keys")
        assert "<web>" in shell.run("cloud-init query ds.meta_data.metadata.role")
        # A status of 1 is an error; 2 is a recoverable one (cloud-init-status(1)), in versions that know it.
        assert "status: done" in shell.run("cloud-init status || true")
        assert shell.run("grep -c . /proc/cpuinfo >/dev/null && nproc") == "2"
        assert int(shell.run("blockdev --getsize64 /dev/vda")) == 3 << 30
        assert int(shell.run("blockdev --getsize64 /dev/vdb")) == 64 << 20
        assert shell.run("getent shadow root | cut -d: -f2 | cut -c1-3") == "$6$"
        assert booted.outputs["addresses"]
        assert booted.outputs["addresses"][0] in shell.run("hostname -I")


def test_a_guest_that_works_is_shut_down_by_itself(booted: Booted, inventory: Inventory) -> None:
    text = booted.stack.destroy().text
    assert "forced off" not in text
    assert booted.name not in inventory.domains()
