"""The plugin, or it and the engine, killed at the steps of a stack's life, one run after the other; in the end all is
as if nothing had happened. ``make soak`` strikes at every step; here every third is.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pulumi_kiln as kiln
import pytest

from tests.e2e.conftest import TestPool
from tests.e2e.guests import tiny_image, tiny_server
from tests.e2e.inventory import URI, Inventory
from tests.e2e.killing import Killer, Victim
from tests.e2e.stacks import PLUGIN_DIRECTORY, Program, Run, Stack
from tools.guests import GuestImage

STRIDE = int(os.environ.get("KILN_FAULT_STRIDE", "3"))


def declared(prefix: str, guest: GuestImage, number: int = 4, **inputs: Any) -> Program:
    """An image, a disk, a network and a server with all of them, or the first so many of them."""

    def program() -> None:
        image = tiny_image(f"{prefix}-image", guest)
        if number > 1:
            disk = kiln.Disk(f"{prefix}-disk", image=image.id)
        if number > 2:
            network = kiln.Network(f"{prefix}-net", mode="isolated", addresses=["10.199.7.0/24"])
        if number > 3:
            wired: list[Any] = [{"network": network.name}]
            tiny_server(f"{prefix}-web", image.id, disks=[disk.id], networks=wired, **inputs)

    return program


@pytest.fixture
def killer(tmp_path: Path) -> Killer:
    return Killer.make(tmp_path / "plugin")


def struck(run: Callable[[], Run], stack: Stack, killer: Killer, victim: Victim) -> int:
    """Run again and again, killed before a later step each time, until a run has no such step and succeeds; returns how
    often it was killed."""
    number = killed = 0
    while True:
        killer.aim(number, victim)
        done = run()
        if not done.failed:
            killer.rest()
            return killed
        if victim == "both":
            stack.unlock()
        if "kiln gc" in done.text:  # it was finished, and the engine was never told
            collect(stack, killer.directory / "state.json")
            continue
        assert len(killer.steps()) >= number, done.text
        killed += 1
        number += STRIDE


def collect(stack: Stack, state: Path) -> None:
    """What the message says to do."""
    state.write_text(stack.export())
    command = [str(PLUGIN_DIRECTORY / "kiln"), "gc", URI, "--state", str(state), "--yes"]
    pool = stack.config["kiln:storagePool"]
    subprocess.run([*command, "--pool", pool, "--only", pool], check=True, capture_output=True)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("victim", ["plugin", "both"])
def test_a_stack_whose_plugin_is_killed_at_its_steps_ends_as_if_it_had_not_been(
    stacks: Callable[..., Stack],
    prefix: str,
    tiny_guest: GuestImage,
    inventory: Inventory,
    pool: TestPool,
    killer: Killer,
    victim: Victim,
) -> None:
    names = f"{prefix}-{victim}"
    stack = stacks(plugin=killer.directory)
    kills = 0
    for number in range(1, 5):
        small = declared(names, tiny_guest, number)
        kills += struck(partial(stack.up_may_fail, small), stack, killer, victim)
    assert kills
    assert stack.preview(small).changed == {}
    web = inventory.uuid(f"{names}-web")
    assert stack.resources()[f"{names}-web"]["id"] == web
    assert not [file for file in pool.files() if file.startswith(".kiln-")]

    large = declared(names, tiny_guest, vcpus=2, autostart=True)
    assert struck(partial(stack.up_may_fail, large), stack, killer, victim)
    assert stack.preview(large).changed == {}
    assert inventory.uuid(f"{names}-web") == web
    assert inventory.xml(f"{names}-web", live=True).findtext("vcpu") == "2"

    assert struck(stack.destroy_may_fail, stack, killer, victim)
    stack.destroy()
    assert [one for one in inventory.domains() | inventory.networks() if one.startswith(names)] == []
    assert [file for file in pool.files() if names in file] == []
