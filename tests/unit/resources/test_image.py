"""Image: immutable content, complete or not there, kept while it is needed."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path
from typing import Any

import pytest
from kiln.framework import operations
from kiln.framework.errors import InputError, InputErrors, Refused
from kiln.framework.model import Impact
from kiln.framework.values import UNKNOWN, Asset
from kiln.ports.volumes import VolumeRef

from tests.unit.resources.world import POOL, URI, World, plain
from tests.unit.transfer.server import response, serving


@pytest.mark.parametrize(
    ("inputs", "path"),
    [
        ({}, "source"),
        ({"source": "/nowhere"}, "source"),
        ({"source": "/"}, "source"),
        ({"source": "gopher://x/y"}, "source"),
        ({"initrd": "x"}, "initrd"),
        ({"cmdline": "x"}, "cmdline"),
        ({"kernel": "/nowhere"}, "kernel"),
        ({"checksum": "crc32:00"}, "checksum"),
        ({"checksum": "sha256:xyz"}, "checksum"),
        ({"format": "qcow2"}, "format"),
        ({"version": "\x1b[31m"}, "version"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_happens(world: World, inputs: dict[str, Any], path: str) -> None:
    given = {"source": world.raw(), **inputs} if inputs else {}
    with pytest.raises(InputErrors) as caught:
        world.check("Image", "it", given)
    assert caught.value.errors[0].path == path


def test_a_source_that_is_not_known_yet_is_looked_at_later(world: World) -> None:
    assert world.check("Image", "it", {"source": UNKNOWN})["source"] is UNKNOWN


@pytest.mark.requirement("FX-01")
def test_an_image_tells_its_digest_and_sizes(world: World) -> None:
    made = world.create("Image", "it", source=world.raw(), version="1", description="a <b>")
    state = plain(made)
    assert made.id == f"{POOL}/it"
    assert (state["kind"], state["virtualSize"], state["size"]) == ("disk", "1MiB", "1MiB")
    assert state["digest"].startswith("extents-sha256:")
    mark = world.node.volumes.read_mark(world.context(), VolumeRef(POOL, "it"))
    assert mark is not None
    assert (mark.phase, mark.role, mark.digest) == ("done", "image", state["digest"])


@pytest.mark.requirement("FX-45", "FX-60")
def test_a_checksum_is_that_of_the_file_as_it_is_distributed(world: World) -> None:
    packed = world.files / "disk.gz"
    packed.write_bytes(gzip.compress(Path(world.raw()).read_bytes()))
    right = hashlib.sha512(packed.read_bytes()).hexdigest()
    made = world.create("Image", "it", source=str(packed), checksum=f"sha512:{right}")
    assert plain(made)["size"] == "1MiB"
    with pytest.raises(InputErrors) as caught:
        world.create("Image", "other", source=str(packed), checksum="sha512:" + "0" * 128)
    assert caught.value.errors[0].path == "checksum"
    assert f"{POOL}/other" not in world.inventory()["marks"]


def test_the_content_decides_whether_an_image_changed_and_not_its_path(world: World) -> None:
    made = world.create("Image", "it", source=world.raw())
    same = world.files / "elsewhere.raw"
    same.write_bytes(Path(world.raw()).read_bytes())
    assert world.diff("Image", made, source=str(same)).empty
    same.write_bytes(b"new content".ljust(1 << 20, b"\2"))
    plan = world.diff("Image", made, source=str(same))
    assert [(one.path, one.impact, one.reason) for one in plan.changes] == [
        (("source",), Impact.REPLACE, "the content changed")
    ]


def test_an_asset_is_known_by_its_hash(world: World) -> None:
    file = Path(world.raw())
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    made = world.create("Image", "it", source=Asset(path=str(file), hash=digest))
    assert world.diff("Image", made).empty
    assert world.diff("Image", made, source=Asset(path=str(file), hash="0" * 64)).replaces


@pytest.mark.parametrize(
    ("change", "impact"),
    [
        ({"version": "2"}, Impact.LIVE),
        ({"description": "new"}, Impact.LIVE),
        ({"name": "other"}, Impact.REPLACE),
        ({"cmdline": "debug"}, Impact.REPLACE),
    ],
)
def test_each_change_has_the_impact_it_is_said_to_have(world: World, change: dict[str, Any], impact: Impact) -> None:
    made = world.create("Image", "it", source=world.raw(), kernel=world.raw("k"))
    plan = world.diff("Image", made, **change)
    assert [(str(one.path[0]), one.impact) for one in plan.changes] == [(next(iter(change)), impact)]


def test_to_state_what_is_so_about_an_image_changes_nothing(world: World) -> None:
    file = Path(world.raw())
    made = world.create("Image", "it", source=str(file))
    checksum = _sha256(file.read_bytes())
    stated: dict[str, Any] = {"checksum": checksum, "format": "raw", "architecture": "x86_64"}
    for key, value in stated.items():
        assert world.diff("Image", made, **{key: value}).empty
    full = world.create("Image", "full", source=str(file), **stated)
    assert world.diff("Image", full, checksum=None, format=None, architecture=None).empty


@pytest.mark.parametrize(
    "wrong", [{"checksum": "sha256:" + "1" * 64}, {"format": "qcow2"}, {"architecture": "m68k"}], ids=str
)
def test_what_is_not_so_is_refused_before_anything_is_replaced(world: World, wrong: dict[str, Any]) -> None:
    made = world.create("Image", "it", source=world.raw())
    with pytest.raises((InputError, InputErrors), match=next(iter(wrong))):
        world.diff("Image", made, **wrong)


def test_another_checksum_of_the_same_url_is_another_image(world: World) -> None:
    old = Path(world.raw()).read_bytes()
    new = b"new!" * 128 + old[512:]
    with serving([response(old), response(new)]) as server:
        made = world.create("Image", "it", source=server.url, checksum=_sha256(old))
        assert world.diff("Image", made, checksum=_sha256(old)).empty
        assert world.diff("Image", made, checksum=_sha256(new)).replaces


def test_content_that_cannot_be_used_is_found_before_an_image_is_replaced_by_it(world: World) -> None:
    vmdk = b"KDMV" + bytes(4092)
    made = world.create("Image", "it", source=world.raw())
    for body in (vmdk, gzip.compress(vmdk), gzip.compress(bytes(1 << 20))[:-9]):
        for checksum in (None, _sha256(body)):
            with serving([response(body)]) as server, pytest.raises(InputError) as caught:
                world.diff("Image", made, source=server.url, checksum=checksum)
            assert caught.value.path == "source"


def test_what_was_fetched_before_a_replacement_is_not_fetched_again(world: World) -> None:
    content = Path(world.raw("new")).read_bytes()
    made = world.create("Image", "it", source=world.raw())
    with serving([response(content, ETag='"1"'), response(b"", "304 Not Modified")]) as server:
        assert world.diff("Image", made, source=server.url).replaces
        other = world.create("Image", "other", source=server.url)
    assert plain(other)["size"] == "1MiB"
    assert "if-none-match" not in server.requests[0]
    assert [request["if-none-match"] for request in server.requests[1:]] == ['"1"']


def test_the_kernel_that_an_image_is_replaced_by_is_seen_before(world: World, tmp_path: Path) -> None:
    made = world.create("Image", "it", source=world.raw())
    with serving([response(b"", "404 Not Found")]) as server, pytest.raises(InputError, match="404") as caught:
        world.diff("Image", made, kernel=f"{server.url}/vmlinuz")
    assert caught.value.path == "kernel"


def test_what_a_url_names_is_verified_before_an_image_is_replaced_by_it(world: World) -> None:
    content = Path(world.raw("new")).read_bytes()
    right = _sha256(content)
    made = world.create("Image", "it", source=world.raw())
    with serving([response(content)]) as server:
        url = f"{server.url}/it"
        assert world.diff("Image", made, source=url, checksum=right).replaces
        with pytest.raises(InputError, match="does not have the checksum"):
            world.diff("Image", made, source=url, checksum="sha256:" + "1" * 64)
        assert world.diff("Image", made, source=url).replaces
    for checksum in (None, "sha256:" + "2" * 64):
        with serving([response(b"", "404 Not Found")]) as server, pytest.raises(InputError, match="404"):
            world.diff("Image", made, source=f"{server.url}/it", checksum=checksum)


def test_what_is_said_about_an_image_changes_in_place(world: World) -> None:
    made = world.create("Image", "it", source=world.raw(), version="1")
    changed = world.update("Image", made, version="2")
    assert (changed.id, plain(changed)["version"]) == (made.id, "2")
    assert plain(changed)["digest"] == plain(made)["digest"]


def test_a_kernel_is_stored_beside_its_image_and_goes_with_it(world: World) -> None:
    made = world.create(
        "Image", "it", source=world.raw(), kernel=world.raw("k"), initrd=world.raw("i"), cmdline="quiet"
    )
    state = plain(made)
    assert state["kernelPath"].endswith("it.kernel")
    assert state["initrdPath"].endswith("it.initrd")
    assert set(world.inventory()["marks"].values()) == {"done"}
    world.delete("Image", made)
    assert world.inventory() == {"guests": {}, "volumes": set(), "marks": {}}


def test_an_image_for_another_architecture_is_refused_in_a_check(world: World) -> None:
    with pytest.raises(InputErrors, match="m68k") as caught:
        world.check("Image", "it", {"source": world.raw(), "architecture": "m68k"})
    assert [error.path for error in caught.value.errors] == ["architecture"]
    world.check("Image", "it", {"source": world.raw(), "architecture": UNKNOWN})


def test_an_image_for_another_architecture_is_refused_where_a_check_could_not_ask_the_node(world: World) -> None:
    world.nodes.unreachable.add(URI)
    inputs = world.check("Image", "it", {"source": world.raw(), "architecture": "m68k"})
    world.nodes.unreachable.clear()
    with pytest.raises(InputError, match="m68k") as caught:
        operations.create(world.context(), world.resources["Image"], inputs)
    assert caught.value.path == "architecture"


@pytest.mark.requirement("FX-03")
def test_an_image_stays_while_disks_are_overlays_of_it_and_they_are_named(world: World) -> None:
    image = world.create("Image", "it", source=world.raw())
    disk = world.create("Disk", "over", image=image.id)
    server = world.create("Server", "web", image=image.id, powerState="stopped")
    with pytest.raises(Refused, match="kiln/over, kiln/web-root are overlays of it"):
        world.delete("Image", image)
    world.delete("Server", server)
    world.delete("Disk", disk)
    world.delete("Image", image)
    world.delete("Image", image)
    assert world.inventory()["volumes"] == set()


def test_an_import_of_an_image_has_its_kernel(world: World) -> None:
    world.create("Image", "it", source=world.raw(), kernel=world.raw("k"))
    found = world.resources["Image"].read(world.context(), f"{POOL}/it@{URI}", None, None)
    assert found is not None
    assert found.state.kernel_path.endswith("it.kernel")
    assert found.state.digest.startswith("extents-sha256:")


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
def test_an_imported_image_is_what_the_program_that_made_it_says(world: World, packed: bool, tmp_path: Path) -> None:
    file = Path(world.raw())
    if packed:
        (tmp_path / "it.gz").write_bytes(gzip.compress(file.read_bytes()))
        file = tmp_path / "it.gz"
    program: dict[str, Any] = {
        "source": str(file),
        "checksum": _sha256(file.read_bytes()),
        "kernel": world.raw("k"),
        "initrd": world.raw("i"),
        "cmdline": "quiet",
        "version": "12",
        "architecture": "x86_64",
    }
    world.update("Image", world.create("Image", "it", **program), description="base")
    found = world.imported("Image", f"{POOL}/it@{URI}")
    assert world.diff("Image", found, **program, description="base").empty


def test_an_imported_image_of_a_url_is_what_the_program_that_made_it_says(world: World) -> None:
    body = Path(world.raw()).read_bytes()
    with serving([response(body)]) as server:
        program: dict[str, Any] = {"source": f"{server.url}/it.raw", "kernel": f"{server.url}/vmlinuz"}
        world.create("Image", "it", **program)
        assert world.diff("Image", world.imported("Image", f"{POOL}/it"), **program).empty


def test_credentials_in_a_url_are_not_kept_on_the_node(world: World) -> None:
    with serving([response(Path(world.raw()).read_bytes())]) as server:
        world.create("Image", "it", source=server.url.replace("//", "//me:sesame@") + "/it?token=tomtom")
    mark = world.node.volumes.read_mark(world.context(), VolumeRef(POOL, "it"))
    assert mark is not None
    assert mark.info["source"] == f"{server.url}/it"


def test_a_kernel_whose_content_changed_is_another_image(world: World) -> None:
    kernel = Path(world.raw("k"))
    made = world.create("Image", "it", source=world.raw(), kernel=str(kernel))
    kernel.write_bytes(b"another kernel")
    (change,) = world.diff("Image", made).changes
    assert (change.path, change.impact) == (("kernel",), Impact.REPLACE)


def test_an_image_that_is_still_being_made_is_not_used(world: World) -> None:
    image = world.create("Image", "it", source=world.raw())
    from kiln.resources.ownership import new_mark

    world.node.volumes.write_mark(world.context(), VolumeRef(POOL, "it"), new_mark(world.context(), "image"))
    with pytest.raises(InputError, match="still being made"):
        world.create("Disk", "over", image=image.id)


def _sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
