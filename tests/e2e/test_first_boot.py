"""A server from an image has a password of its own, one can log in with it, and it is written down nowhere."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
import pytest

from tests.e2e.conftest import TestPool, contains
from tests.e2e.guests import tiny_image, tiny_server
from tests.e2e.inventory import URI, Inventory
from tests.e2e.stacks import Program, Stack
from tools.console import LoginRefused, login
from tools.guests import GuestImage

CHOSEN = "Tr0ub4dor-and-3"


@dataclass(frozen=True)
class Booted:
    """A stack with two servers from one image, one of them with a password that the user chose."""

    stack: Stack
    outputs: dict[str, Any]
    first: str
    second: str

    @property
    def passwords(self) -> dict[str, str]:
        """The initial password of each server."""
        return {self.first: self.outputs["first"], self.second: self.outputs["second"]}


@pytest.fixture(scope="module")
def booted(stacks: Callable[..., Stack], prefix: str, tiny_guest: GuestImage) -> Booted:
    first, second = f"{prefix}-first", f"{prefix}-second"

    def program() -> None:
        image = tiny_image(f"{prefix}-image", tiny_guest)
        one = tiny_server(first, image.id, wait_for="firstBoot")
        two = tiny_server(second, image.id, wait_for="firstBoot", first_boot={"password": CHOSEN, "hostname": "named"})
        three = tiny_server(f"{prefix}-third", image.id, power_state="stopped")
        pulumi.export("first", one.initial_password)
        pulumi.export("second", two.initial_password)
        pulumi.export("third", three.initial_password)

    stack = stacks()
    run = stack.up(program)
    return Booted(stack, dict(run.outputs), first, second)


@pytest.mark.requirement("FX-48", "FX-50")
def test_servers_from_one_image_have_different_passwords(booted: Booted) -> None:
    generated = [booted.outputs["first"], booted.outputs["third"]]
    assert all(re.fullmatch("[A-Za-z0-9]{20}", password) for password in generated)
    assert len(set(generated)) == 2
    assert booted.outputs["second"] == CHOSEN


@pytest.mark.requirement("FX-50")
def test_one_can_log_in_with_the_password_and_only_with_it(booted: Booted) -> None:
    for name, password in booted.passwords.items():
        wrong = next(other for other in booted.passwords.values() if other != password)
        with pytest.raises(LoginRefused):
            login(URI, name, "root", wrong)
        with login(URI, name, "root", password) as shell:
            assert shell.run("hostname") == ("named" if name == booted.second else name)


@pytest.mark.requirement("FX-02")
def test_root_disks_are_overlays_of_the_image(booted: Booted, prefix: str, inventory: Inventory) -> None:
    for name in booted.passwords:
        (disk,) = inventory.xml(name).findall("devices/disk")
        assert disk.find("source").get("file").endswith(f"/{name}-root")
        assert disk.find("backingStore/source").get("file").endswith(f"/{prefix}-image")


def test_the_seed_is_gone_from_the_guests_and_from_the_pool(
    booted: Booted, inventory: Inventory, pool: TestPool
) -> None:
    for name in booted.passwords:
        for live in (False, True):
            assert "-seed" not in inventory.text(name, live=live)
            assert [disk["device"] for disk in inventory.disks(name, live=live).values()] == ["disk"]
        assert not [file for file in pool.files() if file.startswith((f"{name}-seed", f".{name}-seed"))]


def test_the_seed_of_a_guest_that_never_ran_holds_the_hash_alone(booted: Booted, prefix: str, pool: TestPool) -> None:
    seed = pool.directory / f"{prefix}-third-seed"
    assert seed.stat().st_mode & 0o077 == 0
    assert contains(seed, "$6$")
    assert not contains(seed, booted.outputs["third"])


@pytest.mark.requirement("CI-38")
def test_no_password_is_written_down_anywhere(booted: Booted, inventory: Inventory, pool: TestPool) -> None:
    export = booted.stack.export()
    files = [*pool.directory.iterdir(), *_files(booted.stack.directory), *_files(Path("/var/log/libvirt"))]
    for password in (booted.outputs["first"], booted.outputs["second"], booted.outputs["third"]):
        assert password not in export
        assert [str(file) for file in files if contains(file, password)] == []
        for name in booted.passwords:
            assert password not in inventory.text(name)
            assert password not in inventory.text(name, live=True)


def test_the_console_command_names_the_node_and_the_guest(booted: Booted) -> None:
    console = booted.stack.resources()[booted.first]["outputs"]["console"]
    assert console["command"] == f"virsh -c '{URI}' console {booted.first}"
    assert "Cloud-init" in Path(console["logPath"]).read_text(errors="replace")


def _files(directory: Path) -> list[Path]:
    return [file for file in directory.rglob("*") if file.is_file()]


def test_a_first_boot_runs_again_with_another_password_when_the_program_says_so(
    stacks: Callable[..., Stack], prefix: str, tiny_guest: GuestImage, inventory: Inventory, pool: TestPool
) -> None:
    stack, name = stacks(), f"{prefix}-again"

    def told(password: str, **inputs: Any) -> Program:
        def program() -> None:
            image = tiny_image(f"{prefix}-image-2", tiny_guest)
            first_boot = {"password": password}
            tiny_server(name, image.id, networks=[], wait_for="firstBoot", first_boot=first_boot, **inputs)

        return program

    stack.up(told(CHOSEN))
    ran, other = inventory.domain(name).ID(), told("another-horse-1", on_first_boot_change="rerun")
    ignored = stack.preview(told("another-horse-1"))
    assert "'firstBoot' has changed" in ignored.text
    assert ignored.changed == {}
    assert "firstBoot.password, restart: cloud-init runs again" in stack.preview(other).text

    assert stack.up(other).changed == {"update": 1}
    assert inventory.domain(name).ID() != ran
    with login(URI, name, "root", "another-horse-1"):
        pass
    with pytest.raises(LoginRefused):
        login(URI, name, "root", CHOSEN)
    assert f"{name}-seed" not in pool.files()
    assert stack.refresh().changed == {}
    assert stack.preview(other).changed == {}
