"""xmlOverlay: what it does to a definition, what it must not touch, and that what it did is found again."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kiln.framework.errors import InputError, KilnError
from kiln.framework.values import UNKNOWN
from kiln.platforms.libvirt.overlays import MOST_CHARACTERS, check
from kiln.platforms.libvirt.xml import overlay
from kiln.platforms.libvirt.xml.domain import domain
from kiln.platforms.libvirt.xml.text import Element, dump, parse
from kiln.ports.overlays import OverlaySpec

from tests.unit.platforms.specs import GUESTS, spec

QEMU = "{http://libvirt.org/schemas/domain/qemu/1.0}"
COMMAND_LINE = (
    "<qemu:commandline><qemu:arg value='-fw_cfg'/><qemu:arg value='name=opt/test,string=hi'/></qemu:commandline>"
)


def put(xpath: str, xml: str) -> OverlaySpec:
    return OverlaySpec(xpath, xml=xml)


def set_(xpath: str, name: str, value: str) -> OverlaySpec:
    return OverlaySpec(xpath, attribute=(name, value))


def remove(xpath: str) -> OverlaySpec:
    return OverlaySpec(xpath, remove=True)


def made(*entries: OverlaySpec, **changes: Any) -> Element:
    """The definition of a guest with an overlay."""
    return parse(domain(spec(overlay=entries, **changes), console_log=None))


def had(root: Element, *entries: OverlaySpec) -> list[bool]:
    """Which entries a definition has."""
    told = overlay.told(dump(root), entries)
    return [there == entry for there, entry in zip(told, entries, strict=True)]


# --- what it does ----------------------------------------------------------------------------------------------------


def test_elements_are_appended_to_what_is_selected() -> None:
    root = made(put("/domain", "<cputune><shares>9</shares></cputune><iothreads>1</iothreads>"))
    assert root.findtext("cputune/shares") == "9"
    assert root.findtext("iothreads") == "1"


def test_the_namespace_of_qemu_need_not_be_declared() -> None:
    declared = COMMAND_LINE.replace("<qemu:commandline>", f"<qemu:commandline xmlns:qemu='{QEMU[1:-1]}'>")
    for xml in (COMMAND_LINE, declared):
        root = made(put("/domain", xml))
        assert [arg.get("value") for arg in root.findall(f"{QEMU}commandline/{QEMU}arg")] == [
            "-fw_cfg",
            "name=opt/test,string=hi",
        ]


def test_an_attribute_is_set_on_all_that_is_selected() -> None:
    root = made(set_("devices/*[self::rng or self::memballoon]", "model", "virtio-transitional"))
    assert [one.get("model") for tag in ("rng", "memballoon") for one in root.findall(f"devices/{tag}")] == [
        "virtio-transitional",
        "virtio-transitional",
    ]


def test_elements_and_attributes_are_removed() -> None:
    root = made(remove("/domain/features/vmport"), remove("//disk/driver/@discard"))
    assert root.find("features/vmport") is None
    assert root.find("features/acpi") is not None
    (driver,) = root.findall("devices/disk/driver")
    assert driver.attrib.keys() == {"name", "type"}


def test_entries_are_applied_in_order_so_that_one_replaces_an_element() -> None:
    entries = (remove("/domain/cpu"), put("/domain", "<cpu mode='custom'><model>qemu64</model></cpu>"))
    root = made(*entries)
    assert [cpu.get("mode") for cpu in root.findall("cpu")] == ["custom"]
    assert had(root, *entries) == [True, True]


@pytest.mark.parametrize("name", GUESTS)
def test_the_rest_of_a_definition_stays_as_it_is(name: str) -> None:
    plain = parse(domain(GUESTS[name], console_log=None))
    text = overlay.applied(dump(plain), [put("/domain", COMMAND_LINE)])
    root = parse(text)
    root.remove(root[-1])
    assert dump(root) == dump(plain)


# --- what it must not be ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "path", "said"),
    [
        (remove("/domain/name"), "", "state 'name'"),
        (remove("/domain/uuid"), "", "what Kiln knows the guest by"),
        (remove("/domain/metadata"), "", "what Kiln knows the guest by"),
        (remove("//kiln:mark/@operation"), "", "what Kiln knows the guest by"),
        (put("/domain/metadata", "<k:guest xmlns:k='urn:kiln:domain:1'/>"), ".xml", "Kiln's own mark"),
        (set_("/domain", "type", "qemu"), "", "the Node's 'accelerator'"),
        (set_("/domain/memory", "unit", "GiB"), "", "state 'memory'"),
        (set_("/domain/memory", "unit", "bushels"), "", "cannot be understood"),
        (remove("/domain/currentMemory"), "", "state 'memory'"),
        (put("/domain/cpu", "<numa><cell id='0' cpus='0' memory='3' unit='GiB'/></numa>"), "", "state 'memory'"),
        (put("/domain", "<maxMemory slots='4' unit='GiB'>8</maxMemory>"), "", "state 'maxMemory'"),
        (set_("/domain/vcpu", "current", "7"), "", "state 'vcpus'"),
        (remove("/domain/description"), "", "state 'description'"),
        (set_("//disk[target/@dev='vda']/source", "file", "/etc/shadow"), "", "state 'disks'"),
        (put("/domain/devices", "<disk type='network'><target dev='vdz'/></disk>"), "", "state 'disks'"),
        (put("/domain/devices", "<interface type='user'/>"), "", "state 'networks'"),
        (set_("/domain/devices/interface/mac", "address", "52:54:00:00:00:99"), "", "state 'networks'"),
        (remove("/domain/os/kernel"), "", "state 'boot'"),
        (set_("/domain/os", "firmware", "efi"), "", "state 'firmware'"),
        (set_("/domain/clock", "offset", "localtime"), "", "state 'platformConfig'"),
        (set_("/domain/devices/disk/driver", "cache", "none"), "", "state 'platformConfig'"),
        (put("/domain", "<name>other</name>"), "", "has a <name> already"),
        (put("/domain", "<features/>"), "", "append to /domain/features"),
        (remove("/domain"), ".xpath", "whole definition"),
        (remove("/domain["), ".xpath", "Invalid expression"),
        (remove("count(/domain)"), ".xpath", "something else than elements"),
        (remove("/domain/name/text()"), ".xpath", "something else than elements"),
        (remove("document('/etc/shadow')//a"), ".xpath", "'document' is no function"),
        (remove("/domain/nothing[ext:read('/etc/shadow')]"), ".xpath", "'ext:read' is no function"),
        (remove("/domain[$x]"), ".xpath", "no variables"),
        (remove("/domain/other:thing"), ".xpath", "namespace prefix"),
        (set_("/domain/memory/@unit", "a", "b"), ".xpath", "selects an attribute"),
        (set_("/domain/clock", "a b", "c"), ".attribute.name", "no name of an attribute"),
        (set_("/domain/clock", "xmlns:a", "c"), ".attribute.name", "no name of an attribute"),
        (put("/domain", ""), ".xml", "no element"),
        (put("/domain", "words"), ".xml", "text beside the elements"),
        (put("/domain", "<a>"), ".xml", "tag mismatch"),
        (put("/domain", "</overlay><overlay>"), ".xml", "Extra content"),
        (put("/domain", "<other:a/>"), ".xml", "not defined"),
        (put("/domain", "<a>&secret;</a>"), ".xml", "not defined"),
        (put("/domain", "<!DOCTYPE a SYSTEM '/etc/shadow'><a/>"), ".xml", "cannot be read"),
        (put("/domain", "<a>\0</a>"), ".xml", "cannot be read"),
    ],
    ids=str,
)
def test_a_check_refuses_what_no_guest_can_have(entry: OverlaySpec, path: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        check([put("/domain", "<iothreads>1</iothreads>"), entry])
    assert caught.value.path == f"xmlOverlay[1]{path}"
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "entry",
    [
        put("/domain", COMMAND_LINE),
        put("/domain", "<memoryBacking><hugepages/></memoryBacking>"),
        put("/domain/metadata", "<app:owner xmlns:app='urn:app' name='me'/>"),
        put("/domain/devices", "<hostdev mode='subsystem' type='usb'/><watchdog model='i6300esb'/>"),
        set_("/domain/devices/disk[1]/driver", "cache", "none"),
        set_("/domain/devices/disk[target/@dev=concat('vd', 'a')]/driver", "io", "threads"),
        remove("/domain/devices/rng"),
        remove("/domain/there/may/be/one[not(text()='a (b)')]"),
    ],
    ids=str,
)
def test_a_check_lets_pass_what_has_no_property(entry: OverlaySpec) -> None:
    check([entry])


def test_a_check_lets_pass_what_is_not_known_yet() -> None:
    check([OverlaySpec(UNKNOWN, xml=UNKNOWN), OverlaySpec("/domain", attribute=(UNKNOWN, UNKNOWN)), put("/a", UNKNOWN)])
    with pytest.raises(InputError, match="Invalid expression"):
        check([put("/domain[", UNKNOWN)])


def test_an_entry_without_a_change_does_nothing() -> None:
    entries = (OverlaySpec("/domain/nowhere"), OverlaySpec("/domain"))
    check(entries)
    assert dump(made(*entries)) == dump(made())
    assert had(made(), *entries) == [True, True]


def test_a_check_refuses_a_huge_overlay() -> None:
    with pytest.raises(InputError, match="256 KiB"):
        check([put("/domain", f"<a>{'x' * (MOST_CHARACTERS // 2)}</a>")] * 2)


def test_an_xpath_that_selects_nothing_is_refused_when_its_turn_comes() -> None:
    with pytest.raises(InputError) as caught:
        made(put("/domain", "<cputune/>"), put("/domain/cputune", "<shares>9</shares>"), put("/domain/none", "<a/>"))
    assert caught.value.path == "xmlOverlay[2].xpath"
    assert "selects nothing" in str(caught.value)


@pytest.mark.parametrize(
    "entries",
    [
        (put("/domain", "<iothreads>1</iothreads>"), remove("/domain/iothreads")),
        (set_("/domain/devices/rng", "model", "a"), set_("/domain/devices/rng", "model", "b")),
        (set_("/domain/clock/timer[@name='pit']", "name", "kvmclock"),),
    ],
)
def test_entries_that_undo_each_other_are_refused(entries: tuple[OverlaySpec, ...]) -> None:
    with pytest.raises(InputError, match="not to be found once all entries are applied") as caught:
        made(*entries)
    assert caught.value.path == "xmlOverlay[0]"


# --- what is found again ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "written"),
    [
        ("<memtune><hard_limit unit='G'>1</hard_limit></memtune>", "<hard_limit unit='KiB'>1048576</hard_limit>"),
        ("<memtune><hard_limit>1024</hard_limit></memtune>", "<hard_limit unit='KiB'>1024</hard_limit>"),
        ("<memtune><page size='2' unit='M'/></memtune>", "<page size='2048' unit='KiB' nodeset='0'/>"),
        ("<memtune><address bus='0x02'/></memtune>", "<address bus='2' domain='0x0000'/>"),
        ("<memtune><b/><a x='1'>\n  <c/>  </a></memtune>", "<z/><a x='1' y='2'><d/><c/></a><b/>"),
        ("<memtune><a/></memtune>", "<a>by libvirt</a>"),
        ("<memtune><a/><a x='1'/></memtune>", "<a x='1'/><a/>"),
    ],
)
def test_what_libvirt_writes_in_its_own_way_is_there(asked: str, written: str) -> None:
    assert had(parse(f"<domain><memtune>{written}</memtune></domain>"), put("/domain", asked)) == [True]


@pytest.mark.parametrize(
    "written",
    [
        "<hard_limit unit='MiB'>1</hard_limit>",
        "<hard_limit unit='GiB'>1</hard_limit><hard_limit unit='GiB'>2</hard_limit>",
        "<hard_limit unit='GiB'>1</hard_limit><soft_limit unit='GiB'/>",
        "",
    ],
)
def test_what_is_otherwise_is_not_there(written: str) -> None:
    asked = "<m><hard_limit unit='G'>1</hard_limit><hard_limit unit='G'>1</hard_limit><soft_limit>1</soft_limit></m>"
    assert had(parse(f"<domain><m>{written}</m></domain>"), put("/domain", asked)) == [False]


def test_the_unit_of_an_address_is_no_unit_of_a_size() -> None:
    disk = "<domain><disk><address type='drive' bus='0' unit='{}'/></disk></domain>"
    for unit, there in (("1", True), ("2", False)):
        entry = put("/domain/disk", "<address type='drive' unit='1'/>")
        assert had(parse(disk.format(unit)), entry) == [there]


def test_each_entry_is_told_by_itself_with_the_value_that_an_attribute_has() -> None:
    entries = (
        put("/domain", COMMAND_LINE),
        set_("/domain/devices/rng", "model", "virtio-transitional"),
        set_("/domain/clock", "adjustment", "5"),
        remove("/domain/features/vmport"),
    )
    assert overlay.told(domain(spec(), console_log=None), entries) == [
        OverlaySpec("/domain"),
        set_("/domain/devices/rng", "model", "virtio"),
        OverlaySpec("/domain/clock"),
        OverlaySpec("/domain/features/vmport"),
    ]


def test_a_password_that_libvirt_tells_nobody_is_taken_to_be_there() -> None:
    entry = put("/domain/devices", "<graphics type='spice' passwd='secret'/>")
    assert had(parse("<domain><devices><graphics type='spice'/></devices></domain>"), entry) == [True]


names = st.sampled_from("abc")
texts = st.sampled_from(["", "7", "0x10", "<&>\"'", "words of text"])


def _filled(parts: tuple[str, dict[str, str], str, list[Element]]) -> Element:
    tag, attributes, text, children = parts
    root = Element(tag, attributes)
    root.text = text
    root.extend(children)
    return root


leaves = st.tuples(names, st.dictionaries(names, texts, max_size=3), texts, st.just([])).map(_filled)
trees = st.recursive(
    leaves,
    lambda children: st.tuples(
        names, st.dictionaries(names, texts, max_size=3), st.just(""), st.lists(children, max_size=3)
    ).map(_filled),
    max_leaves=8,
)


def _each(root: Element, act: Callable[[Element], None]) -> Element:
    for one in [*root.iter()]:
        act(one)
    return root


@given(wanted=st.lists(trees, min_size=1, max_size=3), seed=st.integers())
def test_what_was_put_is_found_in_any_order_and_among_anything_else(wanted: list[Element], seed: int) -> None:
    entry = put("/domain/devices", "".join(map(dump, wanted)))
    root = made(entry)
    assert had(root, entry) == [True]
    chance = random.Random(seed)

    def grow(one: Element) -> None:
        one.set("added", "by libvirt")
        one.append(Element("alias"))
        one[:] = chance.sample(list(one), len(one))

    assert had(_each(root, grow), entry) == [True]


@given(wanted=trees, seed=st.integers())
def test_what_lacks_anything_of_what_was_put_is_not_it(wanted: Element, seed: int) -> None:
    entry = put("/domain/devices", f"<only>{dump(wanted)}</only>")
    root = made(entry)
    chance = random.Random(seed)
    one = chance.choice(root.findall("devices/only//*"))
    if one.attrib and chance.random() < 0.4:
        del one.attrib[chance.choice(sorted(one.attrib))]
    elif (one.text or "").strip() and chance.random() < 0.5:
        one.text = "other"
    else:
        next(parent for parent in root.iter() if one in list(parent)).remove(one)
    assert had(root, entry) == [False]


@given(
    entries=st.lists(
        st.builds(
            lambda xpath, xml, attribute, remove: OverlaySpec(
                xpath, xml if not remove else None, attribute if xml is None and not remove else None, remove
            ),
            st.sampled_from(["/domain", "//driver", "//@type", "/domain/devices", "//timer"]) | st.text(max_size=12),
            st.none() | st.text(max_size=30) | trees.map(dump),
            st.tuples(st.text(max_size=5), st.text(max_size=5)),
            st.booleans(),
        ),
        max_size=4,
    )
)
def test_whatever_is_asked_for_is_there_afterwards_or_refused(entries: list[OverlaySpec]) -> None:
    try:
        check(entries)
        root = made(*entries)
    except KilnError:
        return
    assert all(had(root, *entries))
