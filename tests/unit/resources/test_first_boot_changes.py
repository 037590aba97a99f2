"""What comes of a changed first boot: nothing and a warning, a first boot that runs again, or another guest."""

from __future__ import annotations

import re
from typing import Any

import pytest
from kiln.firstboot.metadata import TOKEN
from kiln.framework.context import Context, SilentLog
from kiln.framework.errors import KilnError, NotFound
from kiln.framework.operations import Outcome, Partial
from kiln.ports.domains import Console
from kiln.ports.volumes import VolumeRef

from tests.unit.resources.world import POOL, World, plain

BEFORE, AFTER = {"password": "before-before"}, {"password": "after-after"}
SEED = VolumeRef(POOL, "it-seed")


@pytest.fixture
def instances(world: World, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The instances that guests booted as: each says the end of the first boot that its seed tells."""
    domains, booted = world.node.domains, list[str]()
    start = domains.start

    def started(ctx: Context, uuid: str, *, with_console: bool = False) -> Console | None:
        domains.guests[uuid].says = b""
        try:
            seed = world.node.volumes.download(ctx, SEED, 0, 1 << 20)
        except NotFound:
            return start(ctx, uuid, with_console=with_console)
        (found,) = set(re.findall(rb'instance-id"?: ?"?([\w-]+)', seed))
        booted.append(found.decode())
        domains.guests[uuid].says = f"\r\n{TOKEN} {booted[-1]} done\r\n".encode()
        return start(ctx, uuid, with_console=with_console)

    monkeypatch.setattr(domains, "start", started)
    return booted


@pytest.fixture
def made(world: World, image: str, instances: list[str]) -> Outcome:
    return world.create("Server", "it", image=image, firstBoot=BEFORE, waitFor="firstBoot")


def test_a_changed_first_boot_is_ignored_with_a_warning_until_the_program_wants_more(
    world: World, made: Outcome, instances: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    warned: list[str] = []
    monkeypatch.setattr(SilentLog, "warning", lambda _self, message: warned.append(message))
    assert world.diff("Server", made, firstBoot=AFTER).empty
    assert "'firstBoot' has changed, and the guest 'it' was told the one before" in warned[-1]
    changed = world.update("Server", made, firstBoot=AFTER, description="other")
    assert plain(changed)["firstBoot"] == {"user": "root", **BEFORE}
    found = world.read("Server", changed)
    assert found is not None
    assert plain(found)["firstBoot"] == {"user": "root", **BEFORE}
    assert len(instances) == 1
    wanted: dict[str, Any] = {"firstBoot": AFTER, "description": "other", "onFirstBootChange": "rerun"}
    assert world.diff("Server", changed, **wanted).touches("first_boot")


def test_a_first_boot_runs_again_as_another_instance_after_a_restart(
    world: World, made: Outcome, instances: list[str]
) -> None:
    wanted: dict[str, Any] = {"firstBoot": AFTER, "onFirstBootChange": "rerun"}
    (change,) = [one for one in world.diff("Server", made, **wanted).changes if one.field == "first_boot"]
    assert str(change) == (
        "firstBoot.password, restart: cloud-init runs again, as in a new instance, graceful shutdown, forced after 60 s"
    )
    changed = world.update("Server", made, **wanted)
    assert instances[0] == f"kiln-{made.id}"
    assert instances[1].startswith(f"kiln-{made.id}-")
    assert plain(changed)["initialPassword"] == "after-after"
    assert plain(changed)["firstBoot"] == {"user": "root", **AFTER}
    assert str(SEED) not in world.inventory()["volumes"]
    assert world.diff("Server", changed, **wanted).empty


def test_a_first_boot_told_again_keeps_the_password_that_was_generated(
    world: World, image: str, instances: list[str]
) -> None:
    made = world.create("Server", "it", image=image, waitFor="firstBoot")
    changed = world.update("Server", made, firstBoot={"hostname": "other"}, onFirstBootChange="rerun")
    assert plain(changed)["initialPassword"] == plain(made)["initialPassword"]
    assert len(instances) == 2


def test_a_guest_that_is_off_is_told_when_it_starts(world: World, image: str, instances: list[str]) -> None:
    made = world.create("Server", "it", image=image, firstBoot=BEFORE, powerState="stopped")
    wanted: dict[str, Any] = {"firstBoot": AFTER, "onFirstBootChange": "rerun", "waitFor": "firstBoot"}
    changed = world.update("Server", made, **wanted)
    assert instances == []
    started = world.update("Server", changed, **wanted, powerState="running")
    assert len(instances) == 1
    assert instances[0].startswith(f"kiln-{made.id}-")
    assert str(SEED) not in world.inventory()["volumes"]
    assert world.diff("Server", started, **wanted, powerState="running").empty


def test_a_first_boot_that_could_not_be_told_again_is_told_by_the_next_run(
    world: World, made: Outcome, instances: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted: dict[str, Any] = {"firstBoot": AFTER, "onFirstBootChange": "rerun"}

    def broken(*_: object) -> None:
        raise KilnError("no")

    with monkeypatch.context() as patch:
        patch.setattr(world.node.domains, "define", broken)
        with pytest.raises(Partial) as caught:
            world.update("Server", made, **wanted)
    assert len(instances) == 1
    again = world.update("Server", caught.value.outcome, **wanted)
    assert len(instances) == 2
    assert str(SEED) not in world.inventory()["volumes"]
    assert world.diff("Server", again, **wanted).empty


def test_a_server_that_is_replaced_is_told_its_first_boot_anew(world: World, made: Outcome) -> None:
    plan = world.diff("Server", made, firstBoot=AFTER, onFirstBootChange="replace")
    assert plan.replaces
    assert world.diff("Server", made, firstBoot=AFTER, firmware="efi").touches("first_boot")
