"""Waiting for a guest: what ends it, what is told, and what becomes of the seed."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

import pytest
from kiln.firstboot.metadata import TOKEN
from kiln.framework.operations import Outcome, Partial
from kiln.ports.domains import Address
from kiln.resources.server import waiting
from kiln.resources.server.seeds import remove_ended_seeds
from kiln.resources.server.storage import instance_id

from tests.fakes.memory_domains import MemoryGuest
from tests.unit.resources.world import URI, World, plain

ADDRESS = Address("52:54:00:00:00:01", "192.0.2.7", 24, "lease")


def verdict(guest: MemoryGuest, word: str = "done") -> bytes:
    """What a guest says on its console when its first boot has ended."""
    return f"booting\r\n{TOKEN} {instance_id(guest.domain.uuid)} {word}\r\n".encode()


def will(world: World, behave: Callable[[MemoryGuest], None]) -> None:
    """Say how the guests that are made from now on behave."""
    world.node.domains.newborn = behave


def says(world: World, text: bytes) -> None:
    def behave(guest: MemoryGuest) -> None:
        guest.says = text

    will(world, behave)


def says_verdict(world: World, word: str) -> None:
    def behave(guest: MemoryGuest) -> None:
        guest.says = verdict(guest, word)
        guest.addresses = [ADDRESS]

    will(world, behave)


def volumes(world: World) -> set[str]:
    return {ref for ref in world.inventory()["volumes"] if "/it-" in ref}


def partial(world: World, image: str, **inputs: object) -> Partial:
    with pytest.raises(Partial) as caught:
        world.create("Server", "it", image=image, **inputs)  # type: ignore[arg-type]
    return caught.value


@pytest.mark.parametrize("word", ["done", "degraded", "error"])
def test_a_first_boot_that_ended_takes_the_seed_away_however_it_ended(world: World, image: str, word: str) -> None:
    says_verdict(world, word)
    made = world.create("Server", "it", image=image, waitFor="firstBoot")
    assert volumes(world) == {"kiln/it-root"}
    assert [disk.target for disk in world.node.domains.get(world.context(), made.id).disks] == ["vda"]
    assert plain(made)["addresses"] == ["192.0.2.7"]


@pytest.mark.parametrize(
    ("console", "words"),
    [
        (b"Kernel panic - not syncing: VFS\r\n", "panicked: VFS"),
        (b"No bootable device\r\n", "found nothing to boot from"),
        (b"(initramfs) ", "did not find its root file system"),
    ],
)
def test_a_guest_that_will_not_get_there_is_told_with_its_last_words(
    world: World, image: str, console: bytes, words: str
) -> None:
    says(world, b"first line\r\n" + console)
    error = partial(world, image, waitFor="firstBoot")
    (reason,) = error.reasons
    assert words in reason
    assert "first line" in reason
    assert volumes(world) == {"kiln/it-root", "kiln/it-seed"}
    assert error.outcome.state["state"] == "running"


def test_a_guest_that_powers_off_is_not_waited_for(world: World, image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "ASK_SECONDS", 0.05)

    def behave(guest: MemoryGuest) -> None:
        guest.agent = lambda _command: world.node.domains.play(guest.domain.uuid, "stopped")

    will(world, behave)
    error = partial(world, image, waitFor="firstBoot", waitTimeout=60)
    assert "is stopped before what it was waited for came" in error.reasons[0]


def test_a_wait_that_runs_out_keeps_the_guest_and_the_next_update_finishes_it(world: World, image: str) -> None:
    says(world, b"still booting\r\n")
    error = partial(world, image, waitFor="firstBoot", waitTimeout=1)
    assert "did not end within 1 s" in error.reasons[0]
    assert "still booting" in error.reasons[0]
    assert volumes(world) == {"kiln/it-root", "kiln/it-seed"}
    guest = world.node.domains.guests[error.outcome.id]
    guest.console += verdict(guest)
    repaired = world.update("Server", error.outcome)
    assert repaired.id == error.outcome.id
    assert volumes(world) == {"kiln/it-root"}


def test_a_guest_that_says_nothing_is_told_as_such_with_its_node(world: World, image: str) -> None:
    says(world, b"")
    (reason,) = partial(world, image, waitFor="firstBoot", waitTimeout=1).reasons
    assert "Cause: its console said nothing." in reason
    assert f"node {URI}" in reason


def test_the_agent_tells_as_well(world: World, image: str) -> None:
    result = base64.b64encode(json.dumps({"v1": {"errors": []}}).encode()).decode()

    def agent(command: str) -> str | None:
        replies = {"guest-file-open": 7, "guest-file-read": {"buf-b64": result}, "guest-file-close": {}}
        return json.dumps({"return": replies[json.loads(command)["execute"]]})

    def behave(guest: MemoryGuest) -> None:
        guest.agent = agent

    made = world.create("Server", "it", image=image)
    assert volumes(world) == {"kiln/it-root", "kiln/it-seed"}
    behave(world.node.domains.guests[made.id])
    world.update("Server", made, waitFor="firstBoot")
    assert volumes(world) == {"kiln/it-root"}


def test_an_address_is_waited_for(world: World, image: str) -> None:
    def behave(guest: MemoryGuest) -> None:
        guest.addresses = [ADDRESS]

    will(world, behave)
    made = world.create("Server", "it", image=image, waitFor="address")
    assert plain(made)["addresses"] == ["192.0.2.7"]
    assert volumes(world) == {"kiln/it-root", "kiln/it-seed"}, "an address is no end of a first boot"


def test_an_address_that_does_not_come_is_a_partial_create(world: World, image: str) -> None:
    error = partial(world, image, waitFor="address", waitTimeout=1)
    assert "no address was seen within 1 s" in error.reasons[0]


@pytest.fixture
def unwaited(world: World, image: str) -> Outcome:
    """A server that nobody waited for, with its seed still attached."""
    made = world.create("Server", "it", image=image)
    assert volumes(world) == {"kiln/it-root", "kiln/it-seed"}
    return made


def test_a_seed_nobody_waited_for_stays_until_its_first_boot_ended(world: World, unwaited: Outcome) -> None:
    remove_ended_seeds(world.context(), world.node)
    assert volumes(world) == {"kiln/it-root", "kiln/it-seed"}
    guest = world.node.domains.guests[unwaited.id]
    guest.console += verdict(guest)
    remove_ended_seeds(world.context(), world.node)
    assert volumes(world) == {"kiln/it-root"}


def test_a_seed_that_was_taken_away_never_shows_as_drift(world: World, unwaited: Outcome) -> None:
    guest = world.node.domains.guests[unwaited.id]
    guest.console += verdict(guest)
    remove_ended_seeds(world.context(), world.node)
    found = world.read("Server", unwaited)
    assert found is not None
    assert found.inputs == world.inputs("Server", unwaited)
    assert world.diff("Server", found).empty


def test_what_another_guest_says_does_not_end_this_ones_first_boot(world: World, unwaited: Outcome) -> None:
    guest = world.node.domains.guests[unwaited.id]
    guest.console += f"{TOKEN} {instance_id('00000000-0000-4000-8000-000000000000')} done\r\n".encode()
    remove_ended_seeds(world.context(), world.node)
    assert volumes(world) == {"kiln/it-root", "kiln/it-seed"}


def test_a_seed_is_attached_to_no_guest_that_was_restarted_after_its_first_boot(
    world: World, unwaited: Outcome
) -> None:
    guest = world.node.domains.guests[unwaited.id]
    guest.console += verdict(guest)
    changed = world.update("Server", unwaited, memory="1GiB", shutdownTimeout=1)
    world.update("Server", changed, memory="2GiB")
    assert volumes(world) == {"kiln/it-root"}
