"""Memory and virtual CPUs of a guest that runs on while it is given more, and gives memory back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import libvirt
import pulumi
import pytest

from tests.e2e.guests import tiny_image, tiny_server
from tests.e2e.inventory import URI, Inventory
from tests.e2e.stacks import Program, Stack
from tests.e2e.waiting import until
from tools.console import login
from tools.guests import GuestImage

LIVE = libvirt.VIR_DOMAIN_AFFECT_LIVE
MIB = 1 << 10
Make = Callable[..., Program]


@pytest.fixture(scope="module")
def make(prefix: str, tiny_guest: GuestImage) -> Make:
    def make(**inputs: Any) -> Program:
        def program() -> None:
            # It has no agent, and takes by itself the memory that it is given.
            cmdline = f"{tiny_guest.cmdline} memhp_default_state=online"
            image = tiny_image(f"{prefix}-image", tiny_guest, cmdline=cmdline)
            given = {"memory": "192MiB", "max_memory": "512MiB", "max_vcpus": 4, "wait_for": "firstBoot", **inputs}
            server = tiny_server(f"{prefix}-web", image.id, **given)
            pulumi.export("password", server.initial_password)

        return program

    return make


@pytest.fixture(scope="module")
def stack(stacks: Callable[..., Stack]) -> Stack:
    return stacks()


def sizes(inventory: Inventory, name: str, *, live: bool = True) -> tuple[int, int]:
    """Memory in MiB and virtual CPUs."""
    xml = inventory.xml(name, live=live)
    vcpu = xml.find("vcpu")
    return int(xml.findtext("currentMemory")) // MIB, int(vcpu.get("current", vcpu.text))


@pytest.mark.requirement("CP-25")
def test_a_guest_grows_and_shrinks_while_it_runs(stack: Stack, make: Make, prefix: str, inventory: Inventory) -> None:
    name = f"{prefix}-web"
    password = str(stack.up(make()).outputs["password"])
    ran, boot = inventory.domain(name).ID(), "cat /proc/sys/kernel/random/boot_id"
    with login(URI, name, "root", password) as shell:
        booted, before = shell.run(boot), memory_in(shell.run("cat /proc/meminfo"))
    bigger = make(memory="320MiB", vcpus=2)
    preview = stack.preview(bigger)
    assert "memory 192MiB → 320MiB, live" in preview.text
    assert "vcpus 1 → 2, live" in preview.text
    assert "restart" not in preview.text
    assert sizes(inventory, name) == (192, 1)

    grown = stack.up(bigger)
    assert grown.changed == {"update": 1}
    assert "virtual CPUs added, which the guest must bring online" in grown.text
    assert sizes(inventory, name) == sizes(inventory, name, live=False) == (320, 2)
    assert stack.refresh().changed == {}
    assert stack.preview(bigger).changed == {}
    with login(URI, name, "root", password) as shell:
        assert shell.run(boot) == booted
        assert memory_in(shell.run("cat /proc/meminfo")) - before == 128 * MIB
        shell.run("echo 1 > /sys/devices/system/cpu/cpu1/online")
        assert shell.run("nproc") == "2"

    smaller = make(memory="256MiB", vcpus=2)
    preview = stack.preview(smaller)
    assert "memory 320MiB → 256MiB, live" in preview.text
    assert stack.up(smaller).changed == {"update": 1}
    assert sizes(inventory, name) == sizes(inventory, name, live=False) == (256, 2)
    assert stack.refresh().changed == {}
    with login(URI, name, "root", password) as shell:
        assert shell.run(boot) == booted
        assert memory_in(shell.run("cat /proc/meminfo")) - before == 64 * MIB
    assert inventory.domain(name).ID() == ran


def memory_in(text: str) -> int:
    """MemTotal in KiB."""
    (line,) = [line for line in text.splitlines() if line.startswith("MemTotal:")]
    return int(line.split()[1])


def test_memory_and_cpus_that_others_change_are_told_and_put_right(
    stack: Stack, make: Make, prefix: str, inventory: Inventory
) -> None:
    name, program = f"{prefix}-web", make(memory="256MiB", vcpus=2)
    ran = inventory.domain(name).ID()
    inventory.domain(name).setMemoryFlags(240 * MIB, LIVE)
    until(lambda: sizes(inventory, name) == (240, 2))
    assert stack.refresh().changed == {"update": 1}
    assert stack.resources()[name]["outputs"]["memory"] == "240MiB"
    assert "memory 240MiB → 256MiB, live" in stack.up(program).text
    assert sizes(inventory, name) == (256, 2)
    assert stack.refresh().changed == {}
    assert inventory.domain(name).ID() == ran

    inventory.domain(name).setVcpusFlags(3, LIVE)
    assert stack.refresh().changed == {"update": 1}
    assert stack.resources()[name]["outputs"]["vcpus"] == 3
    assert "vcpus 3 → 2, restart" in stack.up(program).text
    assert sizes(inventory, name) == sizes(inventory, name, live=False) == (256, 2)
    assert stack.refresh().changed == {}
    assert stack.preview(program).changed == {}


def test_beyond_the_most_the_preview_says_restart(stack: Stack, make: Make) -> None:
    preview = stack.preview(make(memory="1GiB", max_memory="1GiB", vcpus=1))
    assert "memory 256MiB → 1GiB, restart" in preview.text
    assert "maxMemory 512MiB → 1GiB, restart" in preview.text
    assert "vcpus 2 → 1, restart" in preview.text
