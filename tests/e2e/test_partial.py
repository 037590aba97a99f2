"""Creates that do not end well: a wait that runs out, a plugin that is killed; the next run finishes both."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import pulumi_kiln as kiln
import pytest

from tests.e2e.conftest import TestPool
from tests.e2e.guests import one_server, tiny_image, tiny_server
from tests.e2e.inventory import Inventory
from tests.e2e.processes import plugins
from tests.e2e.stacks import Program, Stack
from tests.e2e.waiting import until
from tests.e2e.webserver import serving
from tools.guests import GuestImage

SILENT = "console=ttyS0 quiet panic=-1 rdinit=/bin/sleep -- 1000"
"""Boots the tiny guest into nothing, so that its first boot never ends."""


def never_ending(prefix: str, guest: GuestImage, **inputs: Any) -> Program:
    def program() -> None:
        image = tiny_image(f"{prefix}-image", guest)
        tiny_server(
            f"{prefix}-slow", image.id, boot={"cmdline": SILENT}, wait_for="firstBoot", shutdown_timeout=1, **inputs
        )

    return program


def test_a_wait_that_runs_out_keeps_the_guest_and_its_reasons_and_the_next_up_repairs(
    stacks: Callable[..., Stack], prefix: str, tiny_guest: GuestImage, inventory: Inventory
) -> None:
    stack, name = stacks(), f"{prefix}-slow"
    text = stack.up_fails(never_ending(prefix, tiny_guest, wait_timeout=3))
    assert "the first boot did not end within 3 s" in text
    assert "waitTimeout" in text
    entry = stack.resources()[name]
    assert entry["id"] == inventory.uuid(name)
    assert "did not end within 3 s" in entry["initErrors"][0]
    assert inventory.running(name)
    seed = f"{prefix}-slow-seed"
    assert any((disk["file"] or "").endswith(seed) for disk in inventory.disks(name).values())

    def repaired() -> None:
        image = tiny_image(f"{prefix}-image", tiny_guest)
        tiny_server(name, image.id, wait_for="firstBoot")

    assert stack.preview(repaired).changed == {"update": 1}
    stack.up(repaired)
    entry = stack.resources()[name]
    assert entry["id"] == inventory.uuid(name)
    assert "initErrors" not in entry
    assert not any((disk["file"] or "").endswith(seed) for disk in inventory.disks(name).values())
    assert stack.preview(repaired).changed == {}


@pytest.mark.requirement("DC-37")
def test_a_plugin_killed_in_a_create_leaves_nothing_that_the_next_up_does_not_clear(
    stacks: Callable[..., Stack], prefix: str, tiny_guest: GuestImage, inventory: Inventory, pool: TestPool
) -> None:
    stack, name = stacks(), f"{prefix}-slow2"

    def waiting() -> None:
        image = tiny_image(f"{prefix}-image2", tiny_guest)
        tiny_server(name, image.id, boot={"cmdline": SILENT}, wait_for="firstBoot", shutdown_timeout=1)

    run = threading.Thread(target=stack.up_fails, args=(waiting,))
    run.start()
    until(lambda: name in inventory.domains() and inventory.running(name))
    first = inventory.uuid(name)
    (plugin,) = plugins()
    os.kill(plugin, signal.SIGKILL)
    run.join()
    assert inventory.uuid(name) == first, "the guest outlives the plugin"

    def program() -> None:
        image = tiny_image(f"{prefix}-image2", tiny_guest)
        tiny_server(name, image.id)

    stack.up(program)
    assert [one for one in inventory.domains() if name in one] == [name]
    assert inventory.uuid(name) != first
    assert stack.resources()[name]["id"] == inventory.uuid(name)
    volumes = {file for file in pool.files() if name in file}
    assert volumes == {f"{name}-root", f".{name}-root.kiln", f"{name}-seed", f".{name}-seed.kiln"}
    assert stack.preview(program).changed == {}


def test_a_plugin_killed_while_content_comes_leaves_no_image_and_no_bytes(
    stacks: Callable[..., Stack], prefix: str, tiny_guest: GuestImage, pool: TestPool
) -> None:
    stack, name, content = stacks(), f"{prefix}-fetched", tiny_guest.disk.read_bytes()

    def from_url(url: str) -> Program:
        def program() -> None:
            kiln.Image(name, source=url)

        return program

    with serving(content, "stuck") as url:
        run = threading.Thread(target=stack.up_fails, args=(from_url(url),))
        run.start()
        until(lambda: f".{name}.kiln" in pool.files())
        (plugin,) = plugins()
        os.kill(plugin, signal.SIGKILL)
        run.join()
    assert name not in pool.files(), "a name appears with its whole content only"
    with serving(content) as url:
        stack.up(from_url(url))
    assert {file for file in pool.files() if name in file or file.startswith(".kiln-")} == {name, f".{name}.kiln"}
    assert (pool.directory / name).read_bytes() == content


def test_two_runs_that_want_one_name_have_one_winner(
    stacks: Callable[..., Stack], prefix: str, tiny_guest: GuestImage, inventory: Inventory
) -> None:
    first, second = stacks(), stacks()
    first.up(one_server(f"{prefix}-r", tiny_guest, power_state="stopped"))
    uuid = inventory.uuid(f"{prefix}-r-web")
    text = second.up_fails(one_server(f"{prefix}-r", tiny_guest, power_state="stopped"))
    assert "exists already" in text
    assert "choose another name" in text
    assert inventory.uuid(f"{prefix}-r-web") == uuid
    assert first.refresh().changed == {}
