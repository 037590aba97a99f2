"""Guests as XML: what is written, compared with golden files, and that whatever is written is read back the same.

``REGENERATE_GOLDEN=1 pytest tests/unit/platforms`` writes the golden files anew.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kiln.framework.errors import Bug, InputError, KilnError
from kiln.platforms.libvirt.xml import metadata
from kiln.platforms.libvirt.xml.domain import domain
from kiln.platforms.libvirt.xml.parse import (
    disk_document,
    disk_target,
    told_agent_connected,
    told_domain,
    told_live,
)
from kiln.platforms.libvirt.xml.text import Element, dump, parse
from kiln.ports.domains import BootSpec, Domain, DomainSpec, NicSpec
from kiln.ports.marks import Mark

from tests.unit.platforms.specs import GUESTS, MARK, spec

GOLDEN = Path(__file__).parent / "golden"
LOG = "/var/log/libvirt/qemu/web.console.log"

anything = st.text(max_size=30)
_CONTROL = [*range(9), *range(11, 32), 127, *range(0xD800, 0xE000), 0xFFFE, 0xFFFF]
allowed = st.text(
    st.characters(
        exclude_categories=["Cs"],
        exclude_characters=[chr(code) for code in _CONTROL if not 0xD800 <= code < 0xE000],
    ),
    min_size=1,
    max_size=30,
)


def told(wanted: DomainSpec) -> Domain:
    return told_domain(domain(wanted, console_log=LOG), state="stopped", autostart=False)


def shape(root: Element) -> list[object]:
    """Tags and attribute names, without what is in them."""
    return [root.tag, sorted(root.attrib), [shape(child) for child in root]]


@pytest.mark.parametrize("name", GUESTS)
def test_a_guest_is_written_as_it_was(name: str) -> None:
    written = domain(GUESTS[name], console_log=LOG).replace("><", ">\n<") + "\n"
    file = GOLDEN / f"{name}.xml"
    if os.environ.get("REGENERATE_GOLDEN"):
        file.write_text(written)
    assert written == file.read_text()


@pytest.mark.parametrize("name", GUESTS)
def test_a_guest_is_read_back_as_it_was_asked_for(name: str) -> None:
    wanted = GUESTS[name]
    found = told(wanted)
    same = ("name", "uuid", "memory", "max_memory", "cpu_mode", "firmware", "accelerator", "description", "graphics")
    assert {key: getattr(found, key) for key in same} == {key: getattr(wanted, key) for key in same}
    assert (found.current_vcpus, found.vcpus) == (wanted.vcpus, wanted.max_vcpus or wanted.vcpus)
    assert (found.current_memory, found.sizes) == (wanted.memory, wanted.sizes)
    assert (found.mark, found.metadata, found.boot) == (wanted.mark, wanted.metadata, wanted.boot)
    assert found.platform_config == wanted.platform_config
    assert [(disk.target, disk.device, disk.bus, disk.path, disk.boot_order, disk.serial) for disk in found.disks] == [
        (disk.target, disk.device, disk.bus, disk.chain[0].path, disk.boot_order, disk.serial) for disk in wanted.disks
    ]
    assert [(nic.mac, nic.model, nic.source, nic.boot_order) for nic in found.nics] == [
        (nic.mac, nic.model, nic.network or nic.bridge, nic.boot_order) for nic in wanted.nics
    ]
    assert found.console_log == LOG


@pytest.mark.parametrize("name", GUESTS)
def test_every_disk_names_its_driver_and_its_whole_chain(name: str) -> None:
    wanted = GUESTS[name]
    disks = parse(domain(wanted, console_log=LOG)).findall("devices/disk")
    assert len(disks) == len(wanted.disks)
    for disk, asked in zip(disks, wanted.disks, strict=True):
        driver = disk.find("driver")
        assert driver is not None
        assert driver.get("type") in {"raw", "qcow2"}
        member, chain = disk, []
        while (below := member.find("backingStore")) is not None:
            chain.append(below)
            member = below
        assert len(chain) == len(asked.chain), "one <backingStore> a member below the top, and the empty one"
        assert len(chain[-1]) == 0
        assert all(below.find("format") is not None and below.find("source") is not None for below in chain[:-1])


@given(name=anything, description=anything, key=anything, value=anything, cmdline=anything, urn=anything)
def test_a_string_stays_the_same_string_or_is_refused(
    name: str, description: str, key: str, value: str, cmdline: str, urn: str
) -> None:
    wanted = spec(
        name=name,
        description=description,
        metadata={key: value},
        boot=BootSpec("/k", None, cmdline),
        mark=replace(MARK, urn=urn, info={key: value}),
    )
    plain = spec(
        name="n",
        description="d",
        metadata={"k": "v"},
        boot=BootSpec("/k", None, "c"),
        mark=replace(MARK, info={"k": "v"}),
    )
    try:
        document = domain(wanted, console_log=LOG)
    except KilnError:
        assert any(chr(code) in text for code in _CONTROL for text in (name, description, key, value, cmdline, urn))
        return
    assert shape(parse(document)) == shape(parse(domain(plain, console_log=LOG)))
    found = told_domain(document, state="stopped", autostart=False)
    assert found.name == name
    assert found.description == (description or None)
    assert found.metadata == {key: value}
    assert found.boot == BootSpec("/k", None, cmdline or None)
    assert found.mark == wanted.mark


@given(allowed)
def test_what_xml_can_carry_is_never_refused(text: str) -> None:
    assert told(spec(name=text, metadata={text: text})).metadata == {text: text}


@given(st.sampled_from("\0\1\x1b\r\x7f\ud800\ufffe"), anything)
def test_what_xml_cannot_carry_is_refused(bad: str, rest: str) -> None:
    with pytest.raises(KilnError, match=r"U\+"):
        domain(spec(description=f"{rest}{bad}"), console_log=LOG)


def test_the_mode_asked_for_is_told_only_while_the_guest_has_it() -> None:
    document = domain(spec(cpu_mode="auto"), console_log=LOG)
    assert told_domain(document, state="stopped", autostart=False).cpu_mode == "auto"
    changed = document.replace('<cpu mode="maximum" />', '<cpu mode="custom"><model>EPYC</model></cpu>')
    assert told_domain(changed, state="stopped", autostart=False).cpu_mode == "EPYC"


def test_a_mode_that_nobody_asked_for_is_told_only_where_it_is_not_what_fits() -> None:
    document = domain(spec(cpu_mode=None), console_log=LOG)
    assert told_domain(document, state="stopped", autostart=False).cpu_mode is None
    changed = document.replace('<cpu mode="maximum" />', '<cpu mode="host-model" />')
    assert told_domain(changed, state="stopped", autostart=False).cpu_mode == "host-model"


def theirs(machine: str = "pc-q35-7.2", clock: str = "utc", cache: str = "", graphics: str = "vnc") -> dict[str, str]:
    """The settings that are told of a guest that Kiln did not make."""
    document = (
        f"<domain type='kvm'><os><type arch='x86_64' machine='{machine}'>hvm</type></os><clock offset='{clock}'/>"
        f"<devices><disk><driver name='qemu' {cache}/></disk><graphics type='{graphics}'/>"
        "<video><model type='qxl'/></video></devices></domain>"
    )
    return dict(told_domain(document, state="stopped", autostart=False).platform_config)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (theirs(graphics="spice"), {}),
        (theirs(), {"video": "qxl"}),
        (theirs(machine="pc-i440fx-6.2", graphics="none"), {"machine": "pc"}),
        (theirs(machine="microvm", graphics="none"), {"machine": "microvm"}),
        (theirs(clock="localtime", cache="cache='none'", graphics="none"), {"clock": "localtime", "diskCache": "none"}),
        (theirs(clock="variable", cache="cache='default'", graphics="none"), {}),
    ],
    ids=str,
)
def test_of_a_guest_that_kiln_did_not_make_the_settings_are_told_that_are_not_the_usual(
    settings: dict[str, str], told: dict[str, str]
) -> None:
    assert settings == told


@pytest.mark.parametrize(
    ("asked", "actual", "told"),
    [
        ("q35", "pc-q35-7.2", "q35"),
        ("pc", "pc-i440fx-7.2", "pc"),
        ("pc-q35-6.2", "pc-q35-6.2", "pc-q35-6.2"),
        ("pc", "pc-q35-7.2", None),
        (None, "pc-q35-7.2", None),
    ],
)
def test_a_machine_type_is_told_as_it_was_asked_for_while_the_guest_has_it(
    asked: str | None, actual: str, told: str | None
) -> None:
    wanted = spec(platform_config={} if asked is None else {"machine": asked})
    document = domain(wanted, console_log=LOG).replace(f'machine="{asked or "q35"}"', f'machine="{actual}"')
    assert told_domain(document, state="stopped", autostart=False).platform_config.get("machine") == told


def test_a_guest_that_kiln_did_not_make_has_no_mark() -> None:
    document = "<domain type='kvm'><name>x</name><uuid>u</uuid><memory unit='GiB'>2</memory><os/></domain>"
    found = told_domain(document, state="running", autostart=True)
    assert (found.mark, found.metadata, found.cpu_mode, found.vcpus) == (None, {}, None, 1)
    assert (found.memory, found.accelerator, found.state) == (2 << 20, "kvm", "running")


def test_a_firmware_written_by_hand_is_seen() -> None:
    loader = "<domain><os><loader type='pflash'>/f</loader></os></domain>"
    assert told_domain(loader, state="stopped", autostart=False).firmware == "efi"


@pytest.mark.parametrize("damage", ['phase="creating"', 'operation="op-1"'], ids=["no known phase", "no operation"])
def test_a_mark_that_cannot_be_understood_is_none(damage: str) -> None:
    document = domain(spec(), console_log=LOG).replace(damage, damage.replace('="', '="?').replace("?op-1", ""))
    assert told_domain(document, state="stopped", autostart=False).mark is None


def test_a_holder_that_cannot_be_understood_is_none() -> None:
    document = domain(spec(), console_log=LOG).replace('pid="12"', 'pid="x"')
    mark = told_domain(document, state="stopped", autostart=False).mark
    assert mark == replace(MARK, holder=None)


@given(allowed)
def test_the_bare_form_of_the_metadata_says_the_same(text: str) -> None:
    kept = metadata.Kept(Mark(text, "done", info={text: text}), "auto", {text: text}, asked={text: text})
    for bare in (False, True):
        assert metadata.told(parse(dump(metadata.metadata(kept, bare=bare)))) == kept


def test_a_vnc_console_without_a_password_is_a_defect() -> None:
    with pytest.raises(Bug):
        domain(spec(graphics="vnc", graphics_password=""), console_log=LOG)


def test_settings_of_the_platform_are_checked() -> None:
    with pytest.raises(InputError) as caught:
        domain(spec(platform_config={"nope": "x"}), console_log=LOG)
    assert caught.value.path == "platformConfig.nope"


def test_without_a_boot_order_the_hard_disk_boots() -> None:
    wanted = spec(disks=(), nics=(NicSpec("52:54:00:00:00:01"),))
    assert parse(domain(wanted, console_log=None)).find("os/boot[@dev='hd']") is not None
    ordered = replace(wanted, nics=(NicSpec("52:54:00:00:00:01", boot_order=1),))
    assert parse(domain(ordered, console_log=None)).find("os/boot") is None


def test_what_a_guest_has_while_it_runs_is_read_from_its_live_definition() -> None:
    live = (
        "<domain><memory unit='KiB'>2048</memory><currentMemory unit='KiB'>1024</currentMemory>"
        "<vcpu current='1'>4</vcpu><devices><disk device='cdrom'><target dev='sda' bus='scsi'/></disk>"
        "<interface type='network'><mac address='52:54:00:00:00:01'/><source network='default' bridge='virbr0'/>"
        "<target dev='vnet3'/><model type='virtio'/></interface></devices></domain>"
    )
    told, _ = told_live(live)
    assert (told.memory, told.vcpus) == (1024, 1)
    assert [(disk.target, disk.path) for disk in told.disks] == [("sda", None)]
    assert [(nic.mac, nic.network) for nic in told.nics] == [("52:54:00:00:00:01", "default")]


def test_a_guest_keeps_the_digests_that_it_was_started_with() -> None:
    document = domain(spec(asked={"boot": "0123"}), console_log=None)
    assert told_live(document)[0].asked == {"boot": "0123"}
    assert told_domain(document, state="running", autostart=False).asked == {"boot": "0123"}
    assert told_live("<domain/>")[0].asked == {}


@pytest.mark.parametrize(
    "interface",
    [
        "<interface type='bridge'><source network='lab' portid='8d5a' bridge='br0'/></interface>",
        "<interface type='direct'><source network='lab' portid='8d5a' dev='eth0' mode='bridge'/></interface>",
    ],
)
def test_an_interface_on_a_network_is_told_as_such_whatever_the_network_plugs_it_into(interface: str) -> None:
    told, _ = told_live(f"<domain><devices>{interface}</devices></domain>")
    assert [(nic.kind, nic.network, nic.bridge) for nic in told.nics] == [("network", "lab", None)]


def test_a_guest_without_a_known_place_for_its_log_has_none() -> None:
    assert told_domain(domain(spec(), console_log=None), state="stopped", autostart=False).console_log is None


def test_what_only_a_live_definition_says_is_found() -> None:
    live = (
        "<domain><devices><graphics type='vnc' port='5901'/>"
        "<channel><target name='org.qemu.guest_agent.0' state='connected'/></channel>"
        "<disk><source file='/p/a'/><target dev='vda'/></disk></devices></domain>"
    )
    assert told_live(live)[1] == 5901
    assert told_live(live.replace("5901", "-1"))[1] is None
    assert told_agent_connected(live)
    assert not told_agent_connected(live.replace("'connected'", "'disconnected'"))
    assert not told_agent_connected("<domain/>")
    assert (disk_target(live, "/p/a"), disk_target(live, "/p/b")) == ("vda", None)
    assert disk_document(live, "vda") is not None
    assert disk_document(live, "vdb") is None


def test_a_document_cannot_make_its_reader_read_files(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("geheim")
    document = f'<!DOCTYPE d [<!ENTITY x SYSTEM "file://{secret}">]><domain><name>&x;</name></domain>'
    with pytest.raises(ElementTree.ParseError):
        told_domain(document, state="stopped", autostart=False)
