"""Server: xmlOverlay, from the check to what a refresh finds."""

from __future__ import annotations

from typing import Any

import pytest
from kiln.framework.context import Context
from kiln.framework.errors import InputError, InputErrors, KilnError
from kiln.framework.model import Impact
from kiln.framework.operations import Outcome, Partial
from kiln.framework.values import UNKNOWN, Secret, reveal
from kiln.ports.domains import DomainSpec
from kiln.resources.server.model import ServerInputs
from kiln.resources.server.overlay import blaming, values

from tests.fakes.memory_domains import NOWHERE
from tests.unit.resources.world import World, plain

ELEMENT = {"xpath": "/domain", "xml": "<iothreads>4</iothreads>"}
ATTRIBUTE = {"xpath": "/domain/devices/rng", "attribute": {"name": "model", "value": "virtio-transitional"}}
REMOVAL = {"xpath": "/domain/features/vmport", "remove": True}
SECRET = {"xpath": "/domain", "xml": "<a b='open sesame,word=xyzzy'>plugh</a>"}


@pytest.mark.parametrize(
    ("entry", "path"),
    [
        ({"xpath": "/domain"}, "xmlOverlay[1]"),
        ({"xpath": "/domain", "remove": False}, "xmlOverlay[1]"),
        ({**ELEMENT, "remove": True}, "xmlOverlay[1]"),
        ({**ELEMENT, "attribute": ATTRIBUTE["attribute"]}, "xmlOverlay[1]"),
        ({"xml": "<a/>"}, "xmlOverlay[1].xpath"),
        ({"xpath": "/domain", "xml": "<a>\0</a>"}, "xmlOverlay[1].xml"),
        ({"xpath": "/domain", "xml": "<a/>\r\n"}, "xmlOverlay[1].xml"),
        ({"xpath": "/domain", "attribute": {"name": "a"}}, "xmlOverlay[1].attribute.value"),
        ({"xpath": "/domain", "attribute": {"name": "a", "value": "\x1b"}}, "xmlOverlay[1].attribute.value"),
        ({"xpath": "/domain/name", "remove": True}, "xmlOverlay[1]"),
    ],
)
def test_an_entry_states_one_change_that_can_be_made(world: World, image: str, entry: Any, path: str) -> None:
    with pytest.raises(InputErrors) as caught:
        world.check("Server", "it", {"image": image, "xmlOverlay": [ELEMENT, entry]})
    assert [error.path for error in caught.value.errors] == [path]


def test_a_check_takes_what_is_not_known_yet(world: World, image: str) -> None:
    unknown = [{"xpath": "/domain", "xml": UNKNOWN}, {"xpath": "/domain", "attribute": UNKNOWN}, REMOVAL]
    checked = world.check("Server", "it", {"image": image, "xmlOverlay": unknown})
    assert checked["xmlOverlay"][0]["xml"] is UNKNOWN
    world.check("Server", "it", {"image": image, "xmlOverlay": UNKNOWN})


def test_what_selects_nothing_is_refused_before_anything_is_made(world: World, image: str) -> None:
    before = world.inventory()
    with pytest.raises(InputError) as caught:
        world.create("Server", "it", image=image, xmlOverlay=[ELEMENT, {**ELEMENT, "xpath": NOWHERE}])
    assert caught.value.path == "xmlOverlay[1].xpath"
    assert caught.value.step is None
    assert world.inventory() == before


def test_what_selects_nothing_changes_no_guest(world: World, image: str) -> None:
    made = world.create("Server", "it", image=image)
    guest = world.node.domains.guests[made.id]
    before = guest.told()
    with pytest.raises(InputError):
        world.update("Server", made, memory="1GiB", xmlOverlay=[{**ELEMENT, "xpath": NOWHERE}])
    assert (guest.told(), guest.starts) == (before, 1)


def test_the_rehearsal_sees_the_root_disk_where_it_will_be_and_no_seed(
    world: World, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[DomainSpec] = []
    monkeypatch.setattr(world.node.domains, "rehearse", lambda _ctx, spec: tried.append(spec))
    made = world.create("Server", "it", image=image, xmlOverlay=[ELEMENT])
    has = world.node.domains.guests[made.id].domain.disks
    assert [disk.chain[0].path for disk in tried[0].disks] == [has[0].path]


@pytest.mark.parametrize(("power", "impact"), [("running", Impact.RESTART), ("stopped", Impact.LIVE)])
def test_a_running_guest_gets_it_by_a_restart(world: World, image: str, power: str, impact: Impact) -> None:
    made = world.create("Server", "it", image=image, powerState=power)
    plan = world.diff("Server", made, xmlOverlay=[ELEMENT])
    assert ([str(change.path[0]) for change in plan.changes], plan.impact) == (["xmlOverlay"], impact)
    starts = world.node.domains.guests[made.id].starts
    world.update("Server", made, xmlOverlay=[ELEMENT])
    assert [entry.xml for entry in world.node.domains.guests[made.id].overlay] == [ELEMENT["xml"]]
    assert world.node.domains.guests[made.id].starts == starts + (power == "running")


def test_a_refresh_tells_the_entry_that_is_not_there_and_the_next_update_puts_it_back(world: World, image: str) -> None:
    overlay = [ELEMENT, ATTRIBUTE, REMOVAL]
    made = world.create("Server", "it", image=image, xmlOverlay=overlay)
    guest = world.node.domains.guests[made.id]
    asked = guest.overlay
    guest.overlay = [asked[0], asked[2]]
    found = world.read("Server", made)
    assert found is not None
    assert found.inputs is not None
    assert found.inputs["xmlOverlay"] == [ELEMENT, {"xpath": ATTRIBUTE["xpath"]}, REMOVAL]
    again = world.read("Server", found)
    assert again is not None
    assert again.inputs == found.inputs
    assert world.diff("Server", found).empty, "a program may ignore the change"
    plan = world.diff("Server", found, xmlOverlay=overlay)
    assert [change.path for change in plan.changes] == [("xmlOverlay", 1, "attribute")]
    world.update("Server", found, xmlOverlay=overlay)
    assert guest.overlay == asked


def test_a_guest_with_an_overlay_gets_a_disk_while_it_runs(world: World, image: str) -> None:
    disk = world.create("Disk", "data", size="1MiB").id
    made = world.create("Server", "it", image=image, xmlOverlay=[ELEMENT])
    guest = world.node.domains.guests[made.id]
    world.update("Server", made, disks=[disk])
    assert guest.live is not None
    assert [disk.target for disk in guest.live.disks if disk.target.startswith("vd")] == ["vda", "vdb"]
    assert (guest.starts, [entry.xml for entry in guest.overlay]) == (1, [ELEMENT["xml"]])


def test_an_import_tells_no_overlay(world: World, image: str) -> None:
    made = world.create("Server", "it", image=image, xmlOverlay=[ELEMENT])
    imported = world.imported("Server", made.id)
    assert imported.inputs is not None
    assert "xmlOverlay" not in imported.inputs


def refusing(world: World, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """What QEMU says of a guest: it quotes what it was given."""

    def refuse(*args: Any, **kwargs: Any) -> None:
        cause = "qemu: -b open sesame,word=xyzzy: value 'plugh' is not allowed"
        raise KilnError("could not start guest 'it'", cause=cause, action="see the log")

    monkeypatch.setattr(world.node.domains, method, refuse)


def test_a_refused_definition_is_told_at_the_overlay_without_its_values_and_leaves_nothing(
    world: World, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing(world, monkeypatch, "define")
    before = world.inventory()
    with pytest.raises(KilnError) as caught:
        world.create("Server", "it", image=image, xmlOverlay=Secret([SECRET]))
    assert caught.value.path == "xmlOverlay"
    assert caught.value.cause == "qemu: -b …: value '…' is not allowed"
    assert caught.value.action == (
        "see whether it comes from what 'xmlOverlay' puts into the guest's definition; else see the log"
    )
    assert world.inventory() == before


def test_a_guest_that_does_not_start_is_told_at_the_overlay_without_its_values(
    world: World, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing(world, monkeypatch, "start")
    with pytest.raises(Partial) as caught:
        world.create("Server", "it", image=image, xmlOverlay=[SECRET])
    (reason,) = caught.value.reasons
    assert reason.startswith("xmlOverlay: ")
    assert not any(word in reason for word in ("sesame", "xyzzy", "plugh"))


def test_an_error_without_an_overlay_is_told_as_it_is() -> None:
    inputs = ServerInputs(name="it", node="n", pool="p")
    with pytest.raises(KilnError) as caught, blaming(inputs, values(inputs)):
        raise KilnError("it failed", cause="the cause", action="do this")
    assert (caught.value.path, caught.value.cause, caught.value.action) == (None, "the cause", "do this")


def test_a_secret_overlay_stays_secret(world: World, image: str) -> None:
    made = world.create("Server", "it", image=image, xmlOverlay=[{"xpath": "/domain", "xml": Secret(SECRET["xml"])}])
    assert made.state["xmlOverlay"] == [{"xpath": "/domain", "xml": Secret(SECRET["xml"])}]
    found = world.read("Server", made)
    assert found is not None
    assert found.inputs is not None
    assert found.inputs["xmlOverlay"] == made.state["xmlOverlay"]
    changed = [{"xpath": "/domain", "xml": Secret("<a b='other'/>")}]
    plan = world.diff("Server", made, xmlOverlay=changed)
    assert not any(word in str(change) for change in plan.changes for word in ("sesame", "xyzzy", "other"))


def test_the_overlay_is_in_no_text_of_what_a_node_is_asked_for(world: World, image: str) -> None:
    made = world.create("Server", "it", image=image, xmlOverlay=[SECRET, ATTRIBUTE])
    told = repr(world.node.domains.guests[made.id].overlay)
    assert "sesame" not in told
    assert "transitional" not in told


def test_a_definition_is_put_back_with_the_overlay_that_it_had(
    world: World, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = world.create("Server", "it", image=image, xmlOverlay=[ELEMENT])
    guest = world.node.domains.guests[made.id]
    had, start = guest.overlay, world.node.domains.start

    def once(ctx: Context, uuid: str, *, with_console: bool = False) -> Any:
        if guest.overlay != had:
            raise KilnError("could not start guest 'it'", cause="-nonsense: invalid option")
        return start(ctx, uuid, with_console=with_console)

    monkeypatch.setattr(world.node.domains, "start", once)
    with pytest.raises(Partial) as caught:
        world.update("Server", made, xmlOverlay=[ELEMENT, ATTRIBUTE])
    assert (guest.overlay, guest.domain.state) == (had, "running")
    left = Outcome(made.id, caught.value.outcome.state)
    assert reveal(plain(left)["xmlOverlay"]) == [ELEMENT]
    assert [change.path for change in world.diff("Server", left, xmlOverlay=[ELEMENT, ATTRIBUTE]).changes] == [
        ("xmlOverlay", 1)
    ]
