"""Server: checks, creation, reading and import, deletion."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from kiln.framework import operations
from kiln.framework.errors import Conflict, InputError, InputErrors, Refused
from kiln.framework.model import Impact
from kiln.framework.operations import Outcome
from kiln.framework.values import UNKNOWN, Secret
from kiln.ports.volumes import VolumeRef

from tests.unit.resources.world import POOL, URI, Steps, World, plain

ROOT, SEED = VolumeRef(POOL, "it-root"), VolumeRef(POOL, "it-seed")


@pytest.fixture
def made(world: World, image: str) -> Outcome:
    return world.create("Server", "it", image=image, powerState="stopped")


@pytest.mark.requirement("FX-56")
def test_an_imported_server_fits_a_program_that_mixes_cds_and_disks(world: World, image: str) -> None:
    """Nothing on the node tells how they were mixed; the order among each kind is told."""
    one, two = (world.create("Disk", name, size="1MiB").id for name in ("one", "two"))
    cd, late = (world.create("Disk", name, source=world.iso()).id for name in ("cd", "late"))
    world.create("Server", "it", image=image, disks=[cd, one, late, two])
    found = world.imported("Server", "it")
    assert world.diff("Server", found, disks=[cd, one, late, two]).empty
    for other in ([cd, two, late, one], [late, one, cd, two], [cd, one, two]):
        assert not world.diff("Server", found, disks=other).empty


@pytest.mark.parametrize(
    ("inputs", "path"),
    [
        ({}, "image"),
        ({"diskSize": "1GiB", "disks": []}, "diskSize"),
        ({"disks": [], "networks": [{}, {"network": "a", "bridge": "b"}]}, "networks[1].bridge"),
        ({"disks": [], "networks": [{"mac": "1"}]}, "networks[0].mac"),
        ({"disks": [], "networks": [{"mac": "00:00:00:00:00:00"}]}, "networks[0].mac"),
        ({"disks": [], "networks": [{"mac": "52:54:00:00:00:01"}, {"mac": "52:54:00:00:00:01"}]}, "networks[1].mac"),
        ({"disks": [], "firstBoot": {"authorizedKeys": ["not-a-key"]}}, "firstBoot.authorizedKeys[0]"),
        ({"disks": [], "firstBoot": {"authorizedKeys": ["ssh-ed25519 A\nssh-rsa B"]}}, "firstBoot.authorizedKeys[0]"),
        ({"disks": [], "memory": "1B"}, "memory"),
        ({"disks": [], "vcpus": 0}, "vcpus"),
        ({"disks": [], "firstBoot": {"user": "Root!"}}, "firstBoot.user"),
        ({"disks": [], "firstBoot": {"password": "a\0"}}, "firstBoot.password"),
        ({"disks": [], "firstBoot": {"password": "a\nb"}}, "firstBoot.password"),
        ({"disks": [], "firstBoot": {"hostname": "no host"}}, "firstBoot.hostname"),
        ({"disks": [], "waitTimeout": -1}, "waitTimeout"),
        ({"disks": [], "shutdownTimeout": -1}, "shutdownTimeout"),
        ({"disks": [], "memory": "2048"}, "memory"),
        ({"disks": [], "networks": [], "waitFor": "address"}, "waitFor"),
        ({"disks": [], "waitFor": "firstBoot"}, "waitFor"),
        ({"disks": [], "boot": {"initrd": "/i"}}, "boot.initrd"),
        ({"image": "kiln/with-a-kernel", "boot": {"initrd": "/i"}}, "boot.initrd"),
        ({"image": UNKNOWN, "boot": {"initrd": UNKNOWN}}, "boot.initrd"),
        ({"disks": [], "boot": {"cmdline": "quiet"}}, "boot.cmdline"),
        ({"disks": ["/etc/passwd"]}, "disks[0]"),
        ({"image": "no-id"}, "image"),
        ({"disks": [], "platformConfig": {"machin": "pc"}}, "platformConfig.machin"),
        ({"disks": [], "boot": {"order": ["hd", "hd"]}}, "boot.order[1]"),
        ({"disks": [], "boot": {"kernel": "vmlinuz"}}, "boot.kernel"),
        ({"disks": [], "boot": {"kernel": "/k", "initrd": "/i\n"}}, "boot.initrd"),
        ({"disks": [], "firstBoot": {"networkConfig": "dhcp"}}, "firstBoot.networkConfig"),
        ({"disks": [], "firstBoot": {"userData": "#cloud-config\n- a"}}, "firstBoot.userData"),
        ({"disks": [], "description": "a\r\nb"}, "description"),
        ({"image": "kiln/base", "diskSize": "3PiB"}, "diskSize"),
        ({"disks": [], "node": "web"}, "node"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_happens(world: World, inputs: dict[str, Any], path: str) -> None:
    with pytest.raises(InputErrors) as caught:
        world.check("Server", "it", inputs)
    assert [error.path for error in caught.value.errors] == [path]
    assert "a\0" not in str(caught.value)


def test_what_is_not_known_yet_passes(world: World) -> None:
    checked = world.check("Server", "it", {"image": UNKNOWN, "disks": [UNKNOWN], "node": UNKNOWN, "memory": UNKNOWN})
    assert (checked["pool"], checked["node"]) == (UNKNOWN, UNKNOWN)


def test_a_stated_password_is_secret_from_the_check_on(world: World) -> None:
    checked = world.check("Server", "it", {"disks": [], "firstBoot": {"password": "sesame"}})
    assert checked["firstBoot"]["password"] == Secret("sesame")


@pytest.mark.requirement("FX-02")
def test_a_server_has_a_root_disk_that_is_an_overlay_of_its_image(world: World, made: Outcome) -> None:
    chain = world.node.volumes.chain(world.context(), ROOT)
    assert [str(volume.ref) for volume in chain] == [f"{POOL}/it-root", f"{POOL}/base"]
    domain = world.node.domains.get(world.context(), made.id)
    assert (domain.name, domain.state, domain.mark.phase if domain.mark else "") == ("it", "stopped", "done")


@pytest.mark.requirement("FX-50")
def test_each_server_has_a_password_of_its_own(world: World, image: str) -> None:
    servers = [world.create("Server", name, image=image, powerState="stopped") for name in ("one", "two")]
    assert all(isinstance(server.state["initialPassword"], Secret) for server in servers)
    passwords = {plain(server)["initialPassword"] for server in servers}
    assert len(passwords) == 2
    assert all(len(password) == 20 and password.isalnum() for password in passwords)


@pytest.mark.requirement("CI-38")
def test_a_stated_hash_is_taken_as_it_is_and_no_password_is_told(world: World, image: str) -> None:
    hashed = "$1$abcdefgh$" + "x" * 22
    server = world.create("Server", "it", image=image, powerState="stopped", firstBoot={"password": hashed})
    assert "initialPassword" not in server.state


def test_a_server_with_neither_image_nor_first_boot_has_no_seed(world: World) -> None:
    server = world.create("Server", "it", disks=[], powerState="stopped")
    assert world.inventory()["volumes"] == set()
    assert "initialPassword" not in server.state


@pytest.mark.requirement("FX-55", "FX-56", "FX-57")
def test_disks_are_attached_in_order_and_an_iso_as_the_first_thing_to_boot(world: World, image: str) -> None:
    ids = [
        world.create("Disk", "a", size="1MiB").id,
        world.create("Disk", "cd", source=world.iso()).id,
        world.create("Disk", "b", size="1MiB").id,
    ]
    server = world.create("Server", "it", image=image, disks=ids, powerState="stopped")
    domain = world.node.domains.get(world.context(), server.id)
    attached = {disk.target: (disk.device, (disk.path or "").rpartition("/")[2]) for disk in domain.disks}
    assert attached == {
        "vda": ("disk", "it-root"),
        "vdb": ("disk", "a"),
        "vdc": ("disk", "b"),
        "sdb": ("cdrom", "cd"),
        "sda": ("cdrom", "it-seed"),
    }
    assert plain(server)["bootOrder"] == ["sdb", "vda", "vdb", "vdc"]


def test_a_server_read_right_after_its_creation_is_as_it_was_asked_for(world: World, image: str) -> None:
    server = world.create("Server", "it", image=image, description="a <b>", autostart=True, vcpus=2)
    found = world.read("Server", server)
    assert found is not None
    assert (found.id, found.inputs, found.state) == (server.id, world.inputs("Server", server), server.state)


def test_missing_volumes_are_refused_at_their_property(world: World, image: str) -> None:
    for inputs, path in (({"image": "kiln/no"}, "image"), ({"image": image, "disks": ["kiln/no"]}, "disks[0]")):
        with pytest.raises(InputError, match="no volume 'kiln/no'") as caught:
            world.create("Server", "it", **inputs)
        assert caught.value.path == path
    assert world.inventory()["guests"] == {}


def test_an_iso_is_no_root_disk(world: World) -> None:
    iso = world.create("Image", "cd", source=world.iso())
    with pytest.raises(InputError, match="make a Disk from it"):
        world.create("Server", "it", image=iso.id)


def test_a_name_that_a_guest_has_is_refused_and_the_guest_left_alone(world: World, made: Outcome, image: str) -> None:
    before = world.inventory()
    with pytest.raises(Conflict, match="guest 'it' exists already"):
        world.create("Server", "it", image=image)
    assert world.inventory() == before


def test_an_imported_server_is_what_it_was_made_as(world: World, image: str) -> None:
    disk = world.create("Disk", "data", size="1MiB")
    inputs: dict[str, Any] = {"image": image, "disks": [disk.id], "memory": "64MiB", "powerState": "stopped"}
    server = world.create("Server", "it", **inputs)
    for natural in (server.id, "it"):
        found = operations.read(world.context(), world.resources["Server"], natural, None, None)
        assert found is not None
        assert found.id == server.id
        assert found.state["rootDiskSize"] == server.state["rootDiskSize"]
        assert world.diff("Server", found, **inputs).empty


@pytest.mark.parametrize(
    "inputs",
    [
        {"cpuMode": "maximum"},
        {"cpuMode": "auto"},
        {"boot": {"kernel": "/boot/k", "initrd": "/boot/i", "cmdline": "quiet"}},
        {"boot": {"cmdline": "debug"}},
        {"boot": {"order": ["hd", "cdrom"]}},
        {"boot": {"order": ["hd", "network"]}},
        {"boot": {"kernel": "/boot/k", "order": ["cdrom"]}},
        {"platformConfig": {"machine": "pc"}},
        {},
    ],
    ids=str,
)
@pytest.mark.parametrize("power", ["running", "stopped"])
def test_an_imported_server_keeps_its_cpu_its_boot_and_its_settings(
    world: World, inputs: dict[str, Any], power: str
) -> None:
    kernel, initrd = world.raw("k"), world.raw("i")
    image = world.create("Image", "base", source=world.raw(), kernel=kernel, initrd=initrd, cmdline="usual").id
    cd = world.create("Disk", "cd", source=world.iso()).id
    program = {"image": image, "disks": [cd], "powerState": power, **inputs}
    server = world.create("Server", "it", **program)
    before = world.node.domains.get(world.context(), server.id)
    found = world.imported("Server", "it")
    told = {key: (found.inputs or {}).get(key) for key in ("cpuMode", "boot", "platformConfig")}
    assert told == {"cpuMode": None, "boot": None, "platformConfig": None, **inputs}
    assert world.diff("Server", found, **program).empty
    world.update("Server", found, vcpus=2)
    after = world.node.domains.get(world.context(), server.id)
    assert (after.cpu_mode, after.boot, after.platform_config) == (before.cpu_mode, before.boot, before.platform_config)
    assert [disk.boot_order for disk in after.disks] == [disk.boot_order for disk in before.disks]


def test_a_cpu_that_no_program_can_state_is_left_out_of_an_import(world: World, made: Outcome) -> None:
    world.node.domains._change(made.id, cpu_mode="EPYC")
    assert "cpuMode" not in (world.imported("Server", "it").inputs or {})


def test_an_imported_guest_that_somebody_renamed_has_its_root_disk(world: World, made: Outcome, image: str) -> None:
    guest = world.node.domains.guests[made.id]
    guest.domain = replace(guest.domain, name="renamed")
    found = operations.read(world.context(), world.resources["Server"], "renamed", None, None)
    assert found is not None
    assert (found.inputs or {})["image"] == image
    assert found.state["rootDiskSize"] == made.state["rootDiskSize"]


def test_a_guest_that_is_gone_is_gone(world: World, made: Outcome) -> None:
    world.node.domains.undefine(world.context(), made.id)
    assert world.read("Server", made) is None


def test_a_server_whose_guest_was_undefined_is_made_again_with_its_root_disk(
    world: World, made: Outcome, image: str
) -> None:
    world.node.domains.undefine(world.context(), made.id)
    world.node.volumes.grow(world.context(), ROOT, 2 << 20)
    again = world.create("Server", "it", image=image, powerState="stopped", diskSize="4MiB")
    assert again.id != made.id
    assert world.node.volumes.get(world.context(), ROOT).virtual_size == 4 << 20
    assert plain(again)["initialPassword"] != plain(made)["initialPassword"]
    world.delete("Server", again)
    assert world.inventory()["volumes"] == {image}


def test_a_root_disk_that_a_fault_left_attached_to_nothing_survives_the_fault(
    world: World, made: Outcome, image: str
) -> None:
    from tests.unit.resources.world import Injected

    world.node.domains.undefine(world.context(), made.id)
    with pytest.raises(Injected):
        world.create("Server", "it", Steps(("before", "define domain")), image=image, powerState="stopped")
    assert "kiln/it-root" in world.inventory()["volumes"]


def test_the_root_disk_of_another_resource_is_not_taken(world: World, made: Outcome, image: str) -> None:
    world.node.domains.undefine(world.context(), made.id)
    other = world.context("another-stack")
    inputs = world.check("Server", "it", {"image": image, "powerState": "stopped"})
    from kiln.framework import operations

    with pytest.raises(Conflict, match="kiln/it-root"):
        operations.create(other, world.resources["Server"], inputs)


OTHER_URI = "memory://there/node"


def test_another_uri_of_the_same_machine_keeps_the_guest(world: World, made: Outcome) -> None:
    (change,) = world.diff("Server", made, node=OTHER_URI).changes
    assert (change.impact, change.reason) == (Impact.LIVE, "the same machine")


def test_a_machine_without_a_uuid_is_known_by_its_daemon(world: World, made: Outcome) -> None:
    there = world.nodes.get(world.context(), OTHER_URI)
    there.machine = "22222222-2222-4222-8222-222222222222"
    assert world.diff("Server", made, node=OTHER_URI).replaces
    there.daemon = world.node.machine
    assert world.diff("Server", made, node=OTHER_URI).impact is Impact.LIVE


def test_another_uri_of_the_same_machine_is_enough_when_the_old_one_answers_no_more(
    world: World, made: Outcome
) -> None:
    world.nodes.unreachable.add(URI)
    assert world.diff("Server", made, node=OTHER_URI).impact is Impact.LIVE
    world.nodes.get(world.context(), OTHER_URI).machine = "22222222-2222-4222-8222-222222222222"
    assert world.diff("Server", made, node=OTHER_URI).replaces


def test_a_guest_that_was_renamed_keeps_its_root_disk_until_it_is_deleted_with_it(
    world: World, made: Outcome, image: str
) -> None:
    world.node.domains._change(made.id, name="theirs")
    found = world.read("Server", made)
    assert found is not None
    changed = world.update("Server", found, memory="1GiB")
    paths = [disk.path for disk in world.node.domains.get(world.context(), made.id).disks]
    assert world.node.volumes.get(world.context(), ROOT).path in paths
    world.delete("Server", changed)
    assert world.inventory()["volumes"] == {image}


def test_deleting_removes_the_guest_and_what_it_owns_and_nothing_else(world: World, image: str) -> None:
    disk = world.create("Disk", "data", size="1MiB")
    server = world.create("Server", "it", image=image, disks=[disk.id], shutdownTimeout=1)
    world.delete("Server", server)
    assert world.inventory()["guests"] == {}
    assert world.inventory()["volumes"] == {image, disk.id}
    world.delete("Server", server)


def test_a_root_disk_that_others_are_built_on_keeps_its_server(world: World, made: Outcome) -> None:
    overlay = world.create("Disk", "over", image=str(ROOT))
    with pytest.raises(Refused, match="kiln/over is an overlay"):
        world.delete("Server", made)
    assert world.read("Server", made) is not None
    world.delete("Disk", overlay)
    world.delete("Server", made)


def test_a_volume_that_only_has_the_name_of_a_root_disk_is_not_deleted(world: World, made: Outcome) -> None:
    world.delete("Server", made)
    disk = world.create("Disk", "it-root", size="1MiB")
    world.delete("Server", made)
    assert disk.id in world.inventory()["volumes"]


def test_an_import_by_name_or_by_uuid_finds_the_same_guest(world: World, made: Outcome) -> None:
    resource = world.resources["Server"]
    by_name = resource.read(world.context(), f"it@{URI}", None, None)
    by_uuid = resource.read(world.context(), made.id, None, None)
    assert by_name is not None
    assert by_uuid is not None
    assert by_name.id == by_uuid.id == made.id
    assert by_name.inputs == by_uuid.inputs
    assert by_name.inputs.memory.kib == 512 * 1024


def test_a_preview_tells_all_outputs_as_unknown_and_touches_nothing(world: World, image: str) -> None:
    from kiln.framework import operations

    before = world.inventory()
    checked = world.check("Server", "it", {"image": image})
    outcome = operations.create(world.context(), world.resources["Server"], checked, preview=True)
    assert outcome.state["uuid"] is UNKNOWN
    assert outcome.state["name"] == "it"
    assert world.inventory() == before


# --- an update that failed half-way ----------------------------------------------------------------------------------
