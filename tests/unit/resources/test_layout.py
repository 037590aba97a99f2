"""From what a Server asks for to its domain: device names, boot order, interfaces."""

from __future__ import annotations

import uuid as uuids
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kiln.framework.errors import InputError
from kiln.framework.model import parse
from kiln.ports.domains import BootSpec, DiskSpec
from kiln.ports.marks import Mark
from kiln.ports.volumes import Volume, VolumeRef
from kiln.resources.server.layout import (
    Attached,
    Ground,
    Storage,
    boot_places,
    device_name,
    direct_boot,
    disk_specs,
    domain_spec,
    mac_address,
    nic_specs,
)
from kiln.resources.server.model import Boot, ServerInputs

UUID = "6a1f0d5e-7f0f-4d8e-9d6c-0a2b3c4d5e6f"
SYSTEM = Ground("qemu:1", "x86_64", "tcg", "default")
SESSION = Ground("qemu:1", "x86_64", "tcg", None, session=True)


def attached(name: str, *, cd: bool = False) -> Attached:
    volume = Volume(VolumeRef("kiln", name), f"/pool/{name}", "raw", 1 << 20, 0)
    return Attached([volume], cd)


def server(**inputs: Any) -> ServerInputs:
    parsed: ServerInputs = parse(ServerInputs, {"name": "web", "disks": [], **inputs})
    return parsed


def laid_out(storage: Storage, **inputs: Any) -> list[DiskSpec]:
    return disk_specs(storage, boot_places(storage, server(**inputs)))


def placed(specs: list[DiskSpec]) -> dict[str, tuple[str, str, int | None]]:
    return {spec.chain[0].ref.name: (spec.target, spec.device, spec.boot_order) for spec in specs}


@pytest.mark.requirement("FX-55", "FX-56", "FX-57")
def test_an_iso_is_a_cd_that_boots_first_and_leaves_no_gap_in_the_disks() -> None:
    storage = Storage(attached("root"), [attached("one"), attached("cd", cd=True), attached("two")])
    specs = laid_out(storage)
    assert placed(specs) == {
        "root": ("vda", "disk", 2),
        "one": ("vdb", "disk", 3),
        "two": ("vdc", "disk", 4),
        "cd": ("sdb", "cdrom", 1),
    }


@pytest.mark.requirement("FX-47", "FX-57")
def test_without_an_iso_hard_disks_boot_in_disk_order() -> None:
    specs = laid_out(Storage(None, [attached("b"), attached("a")]))
    assert [(spec.target, spec.boot_order) for spec in specs] == [("vda", 1), ("vdb", 2)]
    assert all(spec.device == "disk" for spec in specs)


def test_the_seed_is_a_cd_that_is_never_booted() -> None:
    specs = laid_out(Storage(attached("root"), [], attached("seed", cd=True)))
    assert placed(specs) == {"root": ("vda", "disk", 1), "seed": ("sda", "cdrom", None)}


def test_a_stated_boot_order_is_followed_and_leaves_out_what_it_does_not_name() -> None:
    storage = Storage(attached("root"), [attached("cd", cd=True)])
    swapped = laid_out(storage, boot={"order": ["hd", "cdrom"]})
    assert {spec.target: spec.boot_order for spec in swapped} == {"vda": 1, "sdb": 2}
    assert all(spec.boot_order is None for spec in laid_out(storage, boot={"order": ["network"]}))


@given(st.lists(st.booleans(), max_size=40))
def test_no_two_devices_share_a_name_or_a_place_in_the_boot_order(kinds: list[bool]) -> None:
    disks = [attached(f"d{index}", cd=cd) for index, cd in enumerate(kinds)]
    specs = laid_out(Storage(attached("root"), disks, attached("seed", cd=True)))
    assert len({spec.target for spec in specs}) == len(specs) == len(kinds) + 2
    places = sorted(spec.boot_order for spec in specs if spec.boot_order is not None)
    assert places == list(range(1, len(specs)))


@pytest.mark.parametrize(("index", "name"), [(0, "vda"), (25, "vdz"), (26, "vdaa"), (51, "vdaz"), (702, "vdaaa")])
def test_disks_are_named_as_the_kernel_counts(index: int, name: str) -> None:
    assert device_name("vd", index) == name


@given(st.uuids(), st.integers(0, 30))
def test_a_mac_address_follows_from_the_uuid_and_is_a_unicast_address_of_qemu(uuid: uuids.UUID, index: int) -> None:
    mac = mac_address(str(uuid), index)
    assert mac.startswith("52:54:00:")
    assert len(mac) == 17
    assert mac == mac_address(str(uuid), index) != mac_address(str(uuid), index + 1)


def test_a_server_that_states_no_interface_gets_one_on_the_nodes_network() -> None:
    (nic,) = nic_specs(server(), UUID, SYSTEM, {})
    assert (nic.network, nic.bridge, nic.mac) == ("default", None, mac_address(UUID, 0))
    assert nic.boot_order is None


def test_a_session_server_gets_user_mode_networking() -> None:
    (nic,) = nic_specs(server(), UUID, SESSION, {})
    assert (nic.network, nic.bridge) == (None, None)


def test_an_empty_list_of_interfaces_means_none() -> None:
    assert nic_specs(server(networks=[]), UUID, SYSTEM, {}) == []


def test_stated_interfaces_are_taken_as_they_are() -> None:
    stated = [{"bridge": "br0", "mac": "52:54:00:AA:bb:cc"}, {"network": "lab", "model": "e1000"}]
    first, second = nic_specs(server(networks=stated), UUID, SYSTEM, {})
    assert (first.network, first.bridge, first.mac) == (None, "br0", "52:54:00:aa:bb:cc")
    assert (second.network, second.model, second.mac) == ("lab", "e1000", mac_address(UUID, 1))


@pytest.mark.parametrize(
    ("order", "disks", "nics"), [(["hd", "network"], [1, 2], [3, 4]), (["network", "hd"], [3, 4], [1, 2])]
)
def test_interfaces_boot_where_network_is_in_the_order(order: list[str], disks: list[int], nics: list[int]) -> None:
    inputs = server(networks=[{}, {}], boot={"order": order})
    places = boot_places(storage := Storage(attached("root"), [attached("data")]), inputs)
    assert [disk.boot_order for disk in disk_specs(storage, places)] == disks
    assert [nic.boot_order for nic in nic_specs(inputs, UUID, SYSTEM, places)] == nics


def test_what_a_server_boots_directly_comes_before_what_its_image_brings() -> None:
    image = BootSpec("/image/kernel", "/image/initrd", "quiet")
    assert direct_boot(None, image) == image
    assert direct_boot(Boot(cmdline="debug"), image) == BootSpec("/image/kernel", "/image/initrd", "debug")
    assert direct_boot(Boot(kernel="/own"), image) == BootSpec("/own")
    assert direct_boot(Boot(order=["hd"]), None) is None


def test_a_command_line_without_a_kernel_is_refused() -> None:
    with pytest.raises(InputError, match="needs a") as caught:
        direct_boot(Boot(cmdline="x"), None)
    assert caught.value.path == "boot.cmdline"


def test_a_domain_says_what_the_inputs_say() -> None:
    inputs = server(memory="1GiB", vcpus=3, description="a <b>", graphics="vnc", platformConfig={"a": "b"})
    mark = Mark("op", "creating", role="server")
    spec = domain_spec(inputs, UUID, Storage(attached("root")), SYSTEM, mark, None, "secret")
    assert (spec.name, spec.uuid, spec.memory, spec.vcpus) == ("web", UUID, 1024 * 1024, 3)
    assert (spec.description, spec.graphics, spec.graphics_password) == ("a <b>", "vnc", "secret")
    assert (spec.cpu_mode, spec.accelerator, spec.platform_config) == (None, "tcg", {"a": "b"})


def test_a_server_without_graphics_gets_no_graphics_password() -> None:
    spec = domain_spec(server(), UUID, Storage(), SYSTEM, Mark("op", "creating"), None, "secret")
    assert spec.graphics_password is None
