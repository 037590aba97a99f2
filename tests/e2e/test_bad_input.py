"""Bad input, as the provider answers it: the property, the cause, the next action, and nothing left on the node."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from kiln.framework.errors import InputErrors, KilnError
from kiln.framework.operations import Partial
from kiln.framework.values import reveal

from tests.e2e.conftest import TestPool
from tests.e2e.direct import Direct
from tests.e2e.inventory import Inventory
from tests.e2e.webserver import Behaviour, serving

MIB = 1 << 20
ZERO_SHA = "sha256:" + "0" * 64


def raw(directory: Path) -> Path:
    file = directory / "disk.raw"
    file.write_bytes(b"content of a disk".ljust(MIB, b"\1"))
    return file


def qemu_img(file: Path, *arguments: str) -> Path:
    subprocess.run(["qemu-img", "create", "-q", *arguments, str(file), "1M"], check=True)
    return file


def backed(directory: Path) -> Path:
    return qemu_img(directory / "a.qcow2", "-f", "qcow2", "-b", str(raw(directory)), "-F", "raw")


def with_data_file(directory: Path) -> Path:
    return qemu_img(directory / "b.qcow2", "-f", "qcow2", "-o", f"data_file={directory}/data,data_file_raw=on")


def vmdk(directory: Path) -> Path:
    return qemu_img(directory / "c.vmdk", "-f", "vmdk")


def plain_qcow2(directory: Path) -> Path:
    return qemu_img(directory / "d.qcow2", "-f", "qcow2", "-o", "preallocation=metadata")


def truncated(directory: Path) -> Path:
    file = directory / "e.qcow2"
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", str(raw(directory)), str(file)], check=True)
    os.truncate(file, file.stat().st_size // 2)
    return file


def forbidden(directory: Path) -> Path:
    return directory / "there" / "is" / "nothing.img"


@dataclass(frozen=True)
class Case:
    """A file, what is said of it, and what the user is told: at which property, with which words."""

    name: str
    file: Callable[[Path], Path]
    path: str
    words: tuple[str, ...]
    inputs: dict[str, Any]

    def __str__(self) -> str:
        return self.name


FILES = [
    Case("wrong_checksum", raw, "checksum", ("sha256",), {"checksum": ZERO_SHA}),
    Case("malformed_checksum", raw, "checksum", ("sha256",), {"checksum": "md5:00"}),
    Case("truncated_file", truncated, "source", ("e.qcow2", "again"), {}),
    Case("qcow2_with_a_backing_file", backed, "source", ("a.qcow2", "backing", "convert"), {}),
    Case("qcow2_with_a_data_file", with_data_file, "source", ("b.qcow2", "data", "convert"), {}),
    Case("vmdk", vmdk, "source", ("c.vmdk", "VMDK", "convert"), {}),
    Case("declared_raw_but_qcow2", plain_qcow2, "format", ("d.qcow2", "raw", "qcow2"), {"format": "raw"}),
    Case("declared_qcow2_but_raw", raw, "format", ("disk.raw", "qcow2", "raw"), {"format": "qcow2"}),
    Case("missing_file", forbidden, "source", ("nothing.img", "check the path"), {}),
    Case("architecture_of_another_machine", raw, "architecture", ("riscv64", "x86_64"), {"architecture": "riscv64"}),
]


@pytest.fixture
def nothing_made(pool: TestPool, inventory: Inventory, prefix: str) -> Iterator[None]:
    """Whatever a test does, the node is afterwards as it was before."""
    before = pool.files(), {name for name in inventory.domains() if prefix in name}
    yield
    assert (pool.files(), {name for name in inventory.domains() if prefix in name}) == before


def refusal(call: Callable[[], object]) -> tuple[str, str]:
    """The property path, empty when there is none, and the text of the error that ``call`` raises."""
    with pytest.raises(KilnError) as caught:
        call()
    error = caught.value
    if isinstance(error, InputErrors):
        error = error.errors[0]
    text = str(error)
    assert "Traceback" not in text
    assert "\n" not in text, "one paragraph"
    assert "Next: " in text or "use " in text, f"no next action in: {text}"
    return error.path or "", text


@pytest.mark.usefixtures("nothing_made")
@pytest.mark.parametrize("case", FILES, ids=str)
def test_a_bad_file_is_refused_at_its_property(direct: Direct, prefix: str, tmp_path: Path, case: Case) -> None:
    source = str(case.file(tmp_path))
    path, text = refusal(lambda: direct.make("Image", f"{prefix}-bad", source=source, **case.inputs))
    assert path == case.path
    assert all(word in text for word in case.words), text


@pytest.mark.usefixtures("nothing_made")
@pytest.mark.parametrize(
    ("behaviour", "words"),
    [("missing", ("404",)), ("reset", ("again",)), ("short", ("again",))],
)
def test_a_server_that_does_not_deliver_is_told(
    direct: Direct, prefix: str, tmp_path: Path, behaviour: Behaviour, words: tuple[str, ...]
) -> None:
    with serving(raw(tmp_path).read_bytes(), behaviour) as url:
        path, text = refusal(lambda: direct.make("Image", f"{prefix}-web", source=url))
    assert path == "source"
    assert url.partition("//")[2].partition("/")[0] in text
    assert all(word in text for word in words), text


@pytest.mark.usefixtures("nothing_made")
def test_content_from_a_server_is_verified(direct: Direct, prefix: str, tmp_path: Path) -> None:
    with serving(raw(tmp_path).read_bytes()) as url:
        path, text = refusal(lambda: direct.make("Image", f"{prefix}-web", source=url, checksum=ZERO_SHA))
    assert path == "checksum"
    assert "sha256" in text


BAD_NAMES = ["a/b", "../up", "..", "", "a\0b", "a\nb", "a@b", "<name>", "a&b", 'a"b', " a", "-a", ".a", "ä", "x" * 129]


@pytest.mark.usefixtures("nothing_made")
@pytest.mark.parametrize("kind", ["Node", "Image", "Disk", "Server"])
@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
def test_a_name_outside_the_grammar_is_refused(direct: Direct, tmp_path: Path, kind: str, name: str) -> None:
    needed: dict[str, dict[str, Any]] = {
        "Image": {"source": str(raw(tmp_path))},
        "Disk": {"size": "1MiB"},
        "Server": {"disks": []},
    }
    path, text = refusal(lambda: direct.check(kind, "logical", {"name": name, **needed.get(kind, {})}))
    assert path == "name"
    assert "letters" in text


@pytest.mark.usefixtures("nothing_made")
@pytest.mark.parametrize(
    ("size", "format"), [("16384PiB", "qcow2"), ("3PiB", None), ("16384PiB", "raw"), ("4096PiB", "raw")]
)
def test_a_size_that_no_file_can_have_is_refused(direct: Direct, prefix: str, size: str, format: str | None) -> None:
    """The last one is what QEMU takes and the file system of the pool does not."""
    path, text = refusal(lambda: direct.make("Disk", f"{prefix}-size", size=size, format=format))
    assert path == "size"
    assert "ask for" in text


def test_a_disk_that_cannot_grow_that_far_is_told_and_stays(direct: Direct, prefix: str) -> None:
    disk = direct.make("Disk", f"{prefix}-grows", size="1MiB", format="raw")
    try:
        path, text = refusal(lambda: direct.change("Disk", disk, size="4096PiB"))
        assert (path, "ask for" in text) == ("size", True)
        found = direct.read("Disk", disk)
        assert found is not None
        assert found.state["virtualSize"] == "1MiB"
    finally:
        direct.remove("Disk", disk)


@pytest.mark.usefixtures("nothing_made")
def test_a_disk_may_be_larger_than_the_pool_has_room(direct: Direct, prefix: str) -> None:
    for format in ("raw", "qcow2"):
        direct.remove("Disk", direct.make("Disk", f"{prefix}-sparse", size="10TiB", format=format))


@pytest.mark.usefixtures("nothing_made")
@pytest.mark.parametrize("size", ["10Q", "1GiBB", "-1GiB", "GiB", "", "1.0000001K", "0", "1000"])
def test_a_size_that_is_none_is_refused(direct: Direct, prefix: str, size: str) -> None:
    path, text = refusal(lambda: direct.make("Disk", f"{prefix}-size", size=size))
    assert path == "size"
    assert repr(size) in text


@dataclass(frozen=True)
class Wrong:
    """Inputs of a server that cannot be, the property that is named, and words of the message."""

    name: str
    inputs: dict[str, Any]
    path: str
    words: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name


MACHINE, NETWORK, USER_DATA = "platformConfig.machine", "firstBoot.networkConfig", "firstBoot.userData"
SERVERS = [
    Wrong("no_such_network", {"networks": [{}, {"network": "nowhere"}]}, "networks[1].network", ("nowhere",)),
    Wrong("no_such_bridge", {"networks": [{"bridge": "br-none"}]}, "networks[0].bridge", ("br-none",)),
    Wrong("network_and_bridge", {"networks": [{"network": "default", "bridge": "b"}]}, "networks[0].bridge"),
    Wrong("bad_mac", {"networks": [{"mac": "52:54:00:12"}]}, "networks[0].mac", ("52:54:00:12",)),
    Wrong("multicast_mac", {"networks": [{"mac": "53:54:00:12:34:56"}]}, "networks[0].mac", ("multicast",)),
    Wrong("no_such_image", {"image": "POOL/none"}, "image", ("none",)),
    Wrong("no_such_disk", {"disks": ["POOL/none"]}, "disks[0]", ("none",)),
    Wrong("not_an_id", {"disks": ["/etc/shadow"]}, "disks[0]", ("/etc/shadow",)),
    Wrong("memory_unit", {"memory": "1Gigabyte"}, "memory", ("1Gigabyte",)),
    Wrong("memory_not_whole_kib", {"memory": "1025B"}, "memory", ("KiB",)),
    Wrong("no_memory", {"memory": "0"}, "memory"),
    Wrong("no_cpus", {"vcpus": 0}, "vcpus"),
    Wrong("unknown_property", {"cpus": 2}, "cpus", ("vcpus",)),
    Wrong("unknown_power_state", {"powerState": "off"}, "powerState", ("running", "stopped")),
    Wrong("nothing_to_boot", {"disks": None}, "image", ("boot from",)),
    Wrong("disk_size_without_image", {"diskSize": "1GiB"}, "diskSize", ("image",)),
    Wrong("bad_user", {"firstBoot": {"user": "Root!"}}, "firstBoot.user", ("Root!",)),
    Wrong("bad_host_name", {"firstBoot": {"hostname": "no_host name"}}, "firstBoot.hostname"),
    Wrong("bad_metadata_key", {"firstBoot": {"metadata": {"a b": "c"}}}, "firstBoot.metadata"),
    Wrong("control_character", {"description": "bell\a"}, "description", ("U+0007",)),
    Wrong("nul_in_a_password", {"firstBoot": {"password": "a\0b"}}, "firstBoot.password", ("NUL",)),
    Wrong("new_line_in_a_password", {"firstBoot": {"password": "a\nb"}}, "firstBoot.password"),
    Wrong("missing_kernel", {"boot": {"initrd": "/x"}}, "boot.initrd", ("kernel",)),
    Wrong("no_such_kernel", {"boot": {"kernel": "/nowhere/vmlinuz"}}, "boot.kernel", ("/nowhere/vmlinuz", "no such")),
    Wrong("no_such_initrd", {"boot": {"kernel": "/bin/sh", "initrd": "/nowhere/i"}}, "boot.initrd", ("/nowhere/i",)),
    Wrong("kernel_is_a_directory", {"boot": {"kernel": "/boot"}}, "boot.kernel", ("regular",)),
    Wrong("relative_kernel", {"boot": {"kernel": "vmlinuz"}}, "boot.kernel", ("absolute",)),
    Wrong("device_named_twice", {"boot": {"order": ["hd", "cdrom", "hd"]}}, "boot.order[2]", ("hd",)),
    Wrong("no_such_machine", {"platformConfig": {"machine": "pcx"}}, MACHINE, ("pcx", "qemu-system-x86_64", "q35")),
    Wrong("machine_without_pci", {"platformConfig": {"machine": "isapc"}}, MACHINE, ("isapc", "PCI")),
    Wrong("more_cpus_than_the_machine_takes", {"vcpus": 4000}, "vcpus", ("4000", "255")),
    Wrong("more_cpus_than_an_apic_counts", {"vcpus": 256}, "vcpus", ("255",)),
    Wrong("more_memory_than_the_node_has", {"memory": "100TiB"}, "memory", ("100TiB", "physical")),
    Wrong("network_configuration_no_yaml", {"firstBoot": {"networkConfig": "a: [1"}}, NETWORK, ("YAML", "line 1")),
    Wrong("network_configuration_no_version", {"firstBoot": {"networkConfig": "ethernets: {}"}}, NETWORK, ("version",)),
    Wrong("cloud_config_no_yaml", {"firstBoot": {"userData": "#cloud-config\na: b: c"}}, USER_DATA, ("line 2",)),
    Wrong("carriage_return", {"description": "a\r\nb"}, "description", ("line feed",)),
]


@pytest.mark.usefixtures("nothing_made")
@pytest.mark.parametrize("case", SERVERS, ids=str)
def test_a_server_that_cannot_be_is_refused_at_its_property(direct: Direct, prefix: str, case: Wrong) -> None:
    def fill(value: Any) -> Any:
        if isinstance(value, list):
            return [fill(item) for item in value]
        return value.replace("POOL", prefix) if isinstance(value, str) else value

    inputs = {"disks": [], "powerState": "stopped", **{key: fill(value) for key, value in case.inputs.items()}}
    path, text = refusal(lambda: direct.make("Server", f"{prefix}-bad", **inputs))
    assert path == case.path
    assert all(word in text for word in case.words), text


@pytest.mark.usefixtures("nothing_made")
def test_a_kernel_that_qemu_cannot_read_leaves_no_guest(direct: Direct, prefix: str, tmp_path: Path) -> None:
    """What cannot be seen beforehand: whether QEMU's user reaches the file, and on other machines all of it."""
    directory = tmp_path / "boot"
    directory.mkdir()
    kernel = directory / "vmlinuz"
    kernel.write_bytes(b"no kernel".ljust(MIB, b"\0"))
    directory.chmod(0o700)
    boot = {"kernel": str(kernel)}
    path, text = refusal(
        lambda: direct.make("Server", f"{prefix}-bad", disks=[], networks=[], memory="64MiB", boot=boot)
    )
    assert path == "boot.kernel"
    assert str(kernel) in text


def test_a_running_guest_does_not_notice_an_update_that_cannot_be(
    direct: Direct, prefix: str, inventory: Inventory
) -> None:
    name = f"{prefix}-runs"
    server = direct.make("Server", name, disks=[], networks=[], memory="64MiB")
    try:
        before = inventory.domain(name).XMLDesc(0)
        changes: list[tuple[dict[str, Any], str]] = [
            ({"vcpus": 4000}, "vcpus"),
            ({"memory": "100TiB"}, "memory"),
            ({"platformConfig": {"machine": "pcx"}}, MACHINE),
            ({"boot": {"kernel": "/nowhere/vmlinuz"}}, "boot.kernel"),
        ]
        for change, where in changes:
            for check in (True, False):
                path, _ = refusal(partial(direct.change, "Server", server, check=check, **change))
                assert path == where
                assert inventory.domain(name).XMLDesc(0) == before
    finally:
        direct.remove("Server", server)


def test_a_guest_that_does_not_start_with_a_new_kernel_runs_again_as_it_was(
    direct: Direct, prefix: str, inventory: Inventory, tmp_path: Path
) -> None:
    """That the user who runs guests may not read a file is seen only when the guest is off."""
    name, kernel = f"{prefix}-kernel", tmp_path / "vmlinuz"
    kernel.write_bytes(b"no kernel".ljust(MIB, b"\0"))
    tmp_path.chmod(0o700)
    server = direct.make("Server", name, disks=[], networks=[], memory="64MiB", graphics="vnc", shutdownTimeout=1)
    try:
        before = inventory.domain(name).XMLDesc(3)
        with pytest.raises(Partial) as caught:
            direct.change("Server", server, boot={"kernel": str(kernel)}, memory="80MiB")
        (reason,) = caught.value.reasons
        assert reason.startswith("boot.kernel: ")
        assert inventory.running(name)
        assert inventory.domain(name).XMLDesc(3) == before
        state = reveal(caught.value.outcome.state)
        assert (state["state"], state["memory"], state.get("boot")) == ("running", "64MiB", None)
        assert "unfinished" not in state
    finally:
        direct.remove("Server", server)


HOSTILE_TEXT = "<x a=\"1\">&amp; 'q' ]]> \N{SNOWMAN}\nsecond line\ttab"


def test_xml_metacharacters_round_trip_in_every_text(
    direct: Direct, prefix: str, tmp_path: Path, inventory: Inventory
) -> None:
    made: list[tuple[str, Any]] = []
    try:
        image = direct.make(
            "Image", f"{prefix}-x.a+b_c", source=str(raw(tmp_path)), version=HOSTILE_TEXT, description=HOSTILE_TEXT
        )
        made.append(("Image", image))
        server = direct.make(
            "Server",
            f"{prefix}-x.s+b_c",
            image=image.id,
            powerState="stopped",
            description=HOSTILE_TEXT,
            firstBoot={"metadata": {"key": HOSTILE_TEXT}, "userData": "#!/bin/sh\n# " + HOSTILE_TEXT + "\n"},
        )
        made.append(("Server", server))
        assert inventory.xml(f"{prefix}-x.s+b_c").findtext("description") == HOSTILE_TEXT
        found = direct.read("Server", server)
        assert found is not None
        assert found.inputs == {key: value for key, value in server.state.items() if key in (found.inputs or {})}
    finally:
        for kind, outcome in reversed(made):
            direct.remove(kind, outcome)
