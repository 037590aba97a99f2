"""Disk: checks, plans, clones, growth, retention."""

from __future__ import annotations

import gzip
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from kiln.framework import operations
from kiln.framework.context import SilentLog
from kiln.framework.errors import InputError, InputErrors, KilnError, Refused
from kiln.framework.model import Impact
from kiln.framework.values import UNKNOWN
from kiln.ports.volumes import Pool, VolumeRef

from tests.unit.resources.world import POOL, URI, World, plain
from tests.unit.transfer.server import response, serving


def refused(world: World, **inputs: Any) -> tuple[str, str]:
    with pytest.raises(InputErrors) as caught:
        world.check("Disk", "it", inputs)
    (error,) = caught.value.errors
    return error.path, str(error)


def test_what_is_left_out_is_filled_in(world: World) -> None:
    checked = world.check("Disk", "it", {"size": "1GiB"})
    assert checked == {
        "name": "it", "node": URI, "pool": POOL, "size": "1GiB", "clone": "auto", "deletionPolicy": "delete",
    }  # fmt: skip


def test_names_and_pools_once_resolved_are_kept(world: World) -> None:
    old = {"name": "was", "pool": "elsewhere", "size": "1GiB", "node": URI}
    checked = world.check("Disk", "it", {"size": "1GiB"}, old)
    assert (checked["name"], checked["pool"]) == ("was", "elsewhere")


@pytest.mark.parametrize(
    ("inputs", "path"),
    [
        ({}, "size"),
        ({"image": "kiln/a", "source": "/b"}, "source"),
        ({"source": "/nowhere/at/all"}, "source"),
        ({"source": "ftp://host/disk"}, "source"),
        ({"size": "10"}, "size"),
        ({"size": "1GiB", "format": "vmdk"}, "format"),
        ({"size": "1GiB", "colour": "red"}, "colour"),
    ],
)
def test_contradictions_are_refused_at_their_property(world: World, inputs: dict[str, Any], path: str) -> None:
    assert refused(world, **inputs)[0] == path


@pytest.mark.parametrize("kind", ["a named pipe", "a socket", "a directory", "a device that streams characters"])
def test_a_source_that_is_no_file_is_refused_by_what_it_is(world: World, kind: str) -> None:
    place = world.files / "place"
    match kind:
        case "a named pipe":
            os.mkfifo(place)
        case "a socket":
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(str(place))
        case "a directory":
            place.mkdir()
        case _:
            place.symlink_to("/dev/null")
    path, message = refused(world, source=str(place))
    assert path == "source"
    assert f"'{place}' is {kind}, not a file" in message
    with pytest.raises(InputErrors, match=kind) as caught:
        world.check("Image", "it", {"source": world.raw(), "kernel": str(place)})
    assert [error.path for error in caught.value.errors] == ["kernel"]


def test_a_source_that_is_not_there_or_cannot_be_looked_at_says_so(world: World) -> None:
    assert "there is no file" in refused(world, source=str(world.files / "nowhere"))[1]
    assert "there is no file" in refused(world, source=f"{world.raw()}/below-a-file")[1]
    assert "cannot be looked at" in refused(world, source=str(world.files / ("x" * 300)))[1]


def test_a_smaller_size_is_refused_before_anything_happens(world: World) -> None:
    old = world.check("Disk", "it", {"size": "2GiB"})
    with pytest.raises(InputErrors, match="cannot shrink"):
        world.check("Disk", "it", {"size": "1GiB"}, old)
    world.check("Disk", "it", {"size": "2048MiB"}, old)
    world.check("Disk", "it", {"size": UNKNOWN}, old)


@pytest.mark.parametrize(
    ("change", "impact"),
    [
        ({"size": "2MiB"}, Impact.LIVE),
        ({"deletionPolicy": "retain"}, Impact.LIVE),
        ({"format": "raw"}, Impact.LIVE),
        ({"clone": "full"}, Impact.REPLACE),
        ({"name": "other"}, Impact.LIVE),
        ({"pool": "other"}, Impact.LIVE),
    ],
)
def test_each_change_has_the_impact_it_is_said_to_have(world: World, change: dict[str, Any], impact: Impact) -> None:
    image = world.create("Image", "base", source=world.raw())
    made = world.create("Disk", "it", image=image.id, size="1MiB")
    plan = world.diff("Disk", made, **change)
    assert [(str(one.path[0]), one.impact) for one in plan.changes] == [(next(iter(change)), impact)]
    assert plan.delete_first


def test_saying_what_is_so_already_in_other_words_or_not_at_all_changes_nothing(world: World) -> None:
    image = world.create("Image", "base", source=world.raw())
    made = world.create("Disk", "it", image=image.id, size="1MiB")
    for same in ({"size": "1024KiB"}, {"size": None}, {"format": "qcow2"}, {"clone": "linked"}):
        assert world.diff("Disk", made, **same).empty


@pytest.mark.requirement("FX-30")
def test_a_blank_disk_has_its_size_and_its_mark(world: World) -> None:
    made = world.create("Disk", "it", size="1GiB")
    state = plain(made)
    assert made.id == f"{POOL}/it"
    assert (state["virtualSize"], state["kind"]) == ("1GiB", "disk")
    mark = world.node.volumes.read_mark(world.context(), VolumeRef(POOL, "it"))
    assert mark is not None
    assert (mark.phase, mark.role, mark.info["kind"]) == ("done", "disk", "disk")


@pytest.mark.requirement("FX-42")
@pytest.mark.parametrize(
    ("inputs", "method", "backed"),
    [
        ({}, "linked: an overlay", True),
        ({"clone": "linked"}, "linked: linked was asked for", True),
        ({"clone": "full"}, "full: full was asked for", False),
        ({"format": "raw"}, "full: a raw disk cannot share", False),
    ],
)
def test_a_clone_says_what_it_is_and_why(world: World, inputs: dict[str, Any], method: str, backed: bool) -> None:
    image = world.create("Image", "base", source=world.raw())
    state = plain(world.create("Disk", "it", image=image.id, **inputs))
    assert state["cloneMethod"].startswith(method)
    assert (state.get("backing") == plain(image)["path"]) is backed


def test_a_linked_clone_cannot_be_raw_and_no_clone_is_smaller_than_its_image(world: World) -> None:
    image = world.create("Image", "base", source=world.raw())
    with pytest.raises(InputErrors, match="clone: a linked clone cannot be raw"):
        world.check("Disk", "it", {"image": image.id, "clone": "linked", "format": "raw"})
    with pytest.raises(InputError) as caught:
        world.create("Disk", "it", image=image.id, size="512KiB")
    assert caught.value.path == "size"
    assert f"{POOL}/it" not in world.inventory()["volumes"]


def test_a_disk_grown_on_the_node_is_drift_that_a_refresh_tells_and_a_check_explains(world: World) -> None:
    made = world.create("Disk", "it", size="1MiB")
    world.node.volumes.grow(world.context(), VolumeRef(POOL, "it"), 4 << 20)
    found = world.read("Disk", made)
    assert found is not None
    assert found.inputs is not None
    assert found.inputs["size"] == "4MiB"
    # A refresh asks for the difference from what it found to what was recorded.
    plan = operations.diff(
        world.context(), world.resources["Disk"], made.id, found.state, found.inputs, world.inputs("Disk", made)
    )
    said = "size 4MiB → 1MiB, live: refused, since it has 4MiB and does not shrink"
    assert [str(change) for change in plan.changes] == [said]
    with pytest.raises(InputErrors, match=r"grown here or on the node.*state at least 4MiB"):
        world.check("Disk", "it", {"size": "1MiB"}, found.inputs)


@pytest.mark.parametrize("kind", ["Disk", "Image"])
def test_a_volume_is_not_gone_because_its_pool_is(world: World, kind: str) -> None:
    inputs: dict[str, Any] = {"size": "1MiB"} if kind == "Disk" else {"source": world.raw()}
    made = world.create(kind, "it", **inputs)
    pool = world.node.volumes.named.pop(POOL)
    with pytest.raises(KilnError, match="nothing is known of what is in it"):
        world.read(kind, made)
    world.node.volumes.named[POOL] = pool
    assert world.read(kind, made) is not None


@pytest.mark.requirement("FX-55")
def test_a_clone_of_an_iso_is_a_cd(world: World) -> None:
    image = world.create("Image", "cd", source=world.iso())
    assert plain(image)["kind"] == "iso"
    disk = plain(world.create("Disk", "it", image=image.id))
    assert disk["kind"] == "iso"
    assert disk["cloneMethod"].startswith("full: a CD")


STATED = [{"size": "1GiB"}, {"format": "qcow2"}, {"format": "raw"}]


@pytest.mark.parametrize("stated", STATED, ids=str)
def test_a_size_or_format_for_a_cd_is_refused_in_the_check_of_a_local_source(
    world: World, stated: dict[str, Any]
) -> None:
    path, message = refused(world, source=world.iso(), **stated)
    assert path == next(iter(stated))
    assert f"a CD has the {path} of its content" in message
    world.check("Disk", "it", {"source": world.iso(), path: UNKNOWN})


@pytest.mark.parametrize("stated", STATED, ids=str)
@pytest.mark.parametrize("made_from", ["image", "source"])
def test_a_size_or_format_for_a_cd_is_refused_before_anything_is_made(
    world: World, stated: dict[str, Any], made_from: str
) -> None:
    """Also where a check cannot look: at a compressed source, and at an image."""
    packed = world.files / "cd.iso.gz"
    packed.write_bytes(gzip.compress(Path(world.iso()).read_bytes()))
    content = {"source": str(packed), "image": world.create("Image", "cd", source=world.iso()).id}
    program: dict[str, Any] = {made_from: content[made_from]}
    before = world.inventory()
    with pytest.raises(InputError) as caught:
        world.create("Disk", "it", **program, **stated)
    assert caught.value.path == next(iter(stated))
    assert world.inventory() == before
    made = world.create("Disk", "it", **program)
    with pytest.raises(InputError) as caught:
        world.diff("Disk", made, **stated)
    assert caught.value.path == next(iter(stated))


def test_a_disk_is_not_replaced_by_a_cd_that_cannot_be_made(world: World) -> None:
    cd = world.create("Image", "cd", source=world.iso()).id
    other = world.create("Image", "other", source=world.raw()).id
    made = world.create("Disk", "it", image=other, size="2MiB")
    with pytest.raises(InputError, match="a CD has the size"):
        world.diff("Disk", made, image=cd)
    assert world.diff("Disk", made, image="kiln/made-in-this-run").replaces
    assert world.diff("Disk", made, image=cd, size=None).replaces
    installer = world.create("Disk", "installer", source=world.iso())
    assert world.diff("Disk", installer, source=None, size="1MiB").replaces


def test_an_imported_cd_states_no_size_and_no_format(world: World) -> None:
    world.create("Disk", "it", source=world.iso())
    assert {"size", "format"}.isdisjoint(world.imported("Disk", f"{POOL}/it").inputs or {})


def test_a_disk_that_grew_is_told_as_drift_and_a_gone_one_as_gone(world: World) -> None:
    made = world.create("Disk", "it", size="1MiB")
    ref = VolumeRef(POOL, "it")
    world.node.volumes.grow(world.context(), ref, 4 << 20)
    found = world.read("Disk", made)
    assert found is not None
    assert found.inputs is not None
    assert found.inputs["size"] == "4MiB"
    world.node.volumes.delete(world.context(), ref)
    assert world.read("Disk", made) is None


@pytest.mark.parametrize("kind", ["linked", "full", "source", "iso", "blank"])
def test_an_imported_disk_is_what_the_program_that_made_it_says(world: World, kind: str) -> None:
    image = world.create("Image", "it", source=world.raw()).id
    programs: dict[str, dict[str, Any]] = {
        "linked": {"image": image},
        "full": {"image": image, "clone": "full", "size": "2MiB"},
        "source": {"source": world.raw("data")},
        "iso": {"source": world.iso()},
        "blank": {"size": "1MiB"},
    }
    program = programs[kind]
    world.create("Disk", "mine", **program)
    assert world.diff("Disk", world.imported("Disk", f"{POOL}/mine"), **program).empty


def test_an_import_tells_what_a_program_would_have_to_say(world: World) -> None:
    world.create("Disk", "it", size="1MiB", format="raw")
    found = world.resources["Disk"].read(world.context(), f"{POOL}/it@{URI}", None, None)
    assert found is not None
    assert found.inputs.wire() == {
        "name": "it", "node": URI, "pool": POOL, "size": "1MiB", "format": "raw",
        "clone": "auto", "deletionPolicy": "delete",
    }  # fmt: skip


def test_a_disk_is_grown_in_place_and_never_shrunk(world: World) -> None:
    made = world.create("Disk", "it", size="1MiB")
    grown = world.update("Disk", made, size="3MiB")
    assert (grown.id, plain(grown)["virtualSize"]) == (made.id, "3MiB")
    world.node.volumes.grow(world.context(), VolumeRef(POOL, "it"), 8 << 20)
    with pytest.raises(Refused, match="larger"):
        world.update("Disk", grown, size="4MiB")
    assert world.node.volumes.get(world.context(), VolumeRef(POOL, "it")).virtual_size == 8 << 20


def test_a_retained_disk_loses_its_mark_and_nothing_else(world: World) -> None:
    made = world.create("Disk", "it", size="1MiB", deletionPolicy="retain")
    world.delete("Disk", made)
    assert world.inventory() == {"guests": {}, "volumes": {f"{POOL}/it"}, "marks": {}}


def test_a_disk_that_others_are_built_on_stays(world: World) -> None:
    base = world.create("Disk", "base", source=world.raw())
    overlay = world.create("Disk", "over", image=base.id)
    with pytest.raises(Refused, match="kiln/over is an overlay of it"):
        world.delete("Disk", base)
    world.delete("Disk", overlay)
    world.delete("Disk", base)
    world.delete("Disk", base)
    assert world.inventory() == {"guests": {}, "volumes": set(), "marks": {}}


def test_a_volume_deleted_behind_kilns_back_is_made_again(world: World) -> None:
    made = world.create("Disk", "it", size="1MiB")
    world.node.volumes.delete(world.context(), VolumeRef(POOL, "it"))
    assert world.read("Disk", made) is None
    again = world.create("Disk", "it", size="1MiB")
    assert again.id == made.id


def test_a_source_of_another_format_is_converted_and_known_again_by_its_content(world: World) -> None:
    source = world.raw()
    made = world.create("Disk", "it", source=source, format="qcow2")
    assert plain(made)["storedFormat"] == "qcow2"
    assert world.diff("Disk", made).empty


def test_what_a_url_names_must_be_there_before_a_disk_is_replaced_by_it(world: World) -> None:
    made = world.create("Disk", "it", source=world.iso())
    with serving([response(b"x" * 4096)]) as server:
        url = f"{server.url}/it"
        assert world.diff("Disk", made, source=url).replaces
    with serving([response(b"", "404 Not Found")]) as server, pytest.raises(InputError, match="404"):
        world.diff("Disk", made, source=f"{server.url}/it")


@pytest.mark.parametrize(
    "inputs",
    [
        {"size": "3PiB"},
        {"size": "16384PiB", "format": "raw"},
        {"size": "2049PiB", "image": "kiln/base"},
        {"size": "3PiB", "source": "SOURCE", "format": "qcow2"},
    ],
)
def test_more_than_a_format_holds_is_refused(world: World, inputs: dict[str, Any]) -> None:
    with pytest.raises(InputErrors) as caught:
        world.check("Disk", "it", {key: world.raw() if value == "SOURCE" else value for key, value in inputs.items()})
    assert [error.path for error in caught.value.errors] == ["size"]


@pytest.mark.parametrize("inputs", [{"size": "2PiB"}, {"size": "4PiB", "format": "raw"}, {"size": UNKNOWN}])
def test_what_a_format_holds_passes_whatever_the_pool_has_room_for(world: World, inputs: dict[str, Any]) -> None:
    world.check("Disk", "it", inputs)


def test_a_size_that_the_node_refuses_is_told_at_size(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = world.create("Disk", "there", size="1MiB")

    def refuse(*_: Any, **__: Any) -> None:
        raise Refused("could not make it", cause="File too large")

    monkeypatch.setattr(world.node.volumes, "create", refuse)
    monkeypatch.setattr(world.node.volumes, "grow", refuse)
    with pytest.raises(Refused) as of_create:
        world.create("Disk", "it", size="1PiB", format="raw")
    with pytest.raises(Refused) as of_update:
        world.update("Disk", disk, size="1PiB")
    assert (of_create.value.path, of_update.value.path) == ("size", "size")
    assert f"{POOL}/it" not in world.inventory()["marks"]


@pytest.mark.parametrize("state", ["missing", "stopped", "lost"])
@pytest.mark.parametrize("kind", ["Disk", "Image", "Server"])
def test_a_pool_that_cannot_be_used_is_told_once_at_pool_with_what_to_do(
    world: World, monkeypatch: pytest.MonkeyPatch, kind: str, state: str
) -> None:
    volumes, warned = world.node.volumes, []
    monkeypatch.setattr(SilentLog, "warning", lambda _self, message: warned.append(message))
    if state != "missing":
        volumes.ensure_pool(world.context(), "theirs", None)
        seen = Pool("theirs", "dir", "/theirs", active=state != "stopped", lost=state == "lost")
        monkeypatch.setattr(volumes, "pool", lambda _ctx, _name: seen)
    needed: dict[str, dict[str, Any]] = {
        "Disk": {"size": "1MiB"},
        "Image": {"source": world.raw()},
        "Server": {"disks": []},
    }
    with pytest.raises(InputError) as caught:
        world.create(kind, "it", pool="theirs", **needed[kind])
    assert caught.value.path == "pool"
    assert "theirs" in caught.value.what
    assert {"missing": "pool-list", "stopped": "pool-start theirs", "lost": "mount"}[state] in str(caught.value)
    assert warned == []


def test_another_disk_in_its_place_may_be_smaller(world: World) -> None:
    small, large = (
        world.create("Image", name, source=world.raw(name, size << 20)) for name, size in (("small", 1), ("large", 2))
    )
    disk = world.create("Disk", "it", image=large.id, size="4MiB")
    plan = world.diff("Disk", disk, image=small.id, size="3MiB")
    assert plan.replaces
    with pytest.raises(InputErrors, match="cannot shrink"):
        world.diff("Disk", disk, image=large.id, size="3MiB")


def test_a_replacement_says_what_is_lost_and_what_is_in_its_way(world: World) -> None:
    disk, image = world.create("Disk", "it", size="1MiB"), world.create("Image", "base", source=world.raw())
    (change,) = world.diff("Disk", disk, image=image.id).changes
    assert str(change) == "image none → kiln/base, replace: the disk 'kiln/it' and what is on it are lost"
    world.create("Server", "web", disks=[disk.id])
    (change,) = world.diff("Disk", disk, image=image.id).changes
    assert str(change).endswith("are lost; refused unless web, which runs with it, is stopped or replaced first")
