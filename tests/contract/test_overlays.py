"""xmlOverlay: what every driver does with one, and what only libvirt can show."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from kiln.framework.context import Context
from kiln.framework.errors import InputError, KilnError, NotFound
from kiln.ports.domains import NicSpec
from kiln.ports.nodes import Node
from kiln.ports.overlays import OverlaySpec
from kiln.ports.volumes import VolumeRef

from tests.contract.conftest import DRIVERS
from tests.contract.guests import bootable, spec

each = pytest.mark.parametrize("node", [DRIVERS[0], DRIVERS[2]], indirect=True)
only_libvirt = pytest.mark.parametrize("node", [DRIVERS[2]], indirect=True)

COMMAND_LINE = OverlaySpec(
    "/domain",
    xml="<qemu:commandline><qemu:arg value='-fw_cfg'/><qemu:arg value='name=opt/test,string=hi'/></qemu:commandline>",
)
THREADS = OverlaySpec("/domain", xml="<iothreads>2</iothreads>")
POLICY = OverlaySpec("/domain/clock/timer[@name='rtc']", attribute=("tickpolicy", "delay"))
NOWHERE = OverlaySpec("/domain/nowhere", xml="<a/>")


@pytest.fixture(autouse=True)
def clean(no_guest_is_left: None) -> None:
    """Every test here makes guests."""


@each
def test_a_guest_has_the_overlay_that_it_was_defined_with(node: Node, ctx: Context, name: str) -> None:
    overlay = [THREADS, POLICY, COMMAND_LINE]
    wanted = spec(name, overlay=overlay)
    node.domains.rehearse(ctx, wanted)
    with pytest.raises(NotFound):
        node.domains.overlaid(ctx, wanted.uuid, overlay)
    defined = node.domains.define(ctx, wanted)
    for recent in (False, True):
        assert node.domains.overlaid(ctx, wanted.uuid, overlay, recent=recent) == overlay
    fewer = replace(wanted, overlay=[POLICY])
    assert node.domains.define(ctx, fewer) == defined
    found = node.domains.overlaid(ctx, wanted.uuid, overlay, recent=True)
    assert found == [OverlaySpec("/domain"), POLICY, OverlaySpec("/domain")]
    assert node.domains.overlaid(ctx, wanted.uuid, found) == found
    node.domains.define(ctx, replace(wanted, overlay=found))
    assert node.domains.overlaid(ctx, wanted.uuid, found) == found


@each
def test_an_entry_that_selects_nothing_is_refused_and_defines_nothing(node: Node, ctx: Context, name: str) -> None:
    wanted = spec(name, overlay=[THREADS, NOWHERE])
    for act in (node.domains.rehearse, node.domains.define):
        with pytest.raises(InputError) as caught:
            act(ctx, wanted)
        assert caught.value.path == "xmlOverlay[1].xpath"
    with pytest.raises(NotFound):
        node.domains.get(ctx, wanted.uuid)


@each
def test_a_definition_is_put_back_with_its_overlay(node: Node, ctx: Context, name: str) -> None:
    wanted = spec(name, overlay=[THREADS])
    node.domains.define(ctx, wanted)
    before = node.domains.definition(ctx, wanted.uuid)
    node.domains.define(ctx, replace(wanted, overlay=[]))
    node.domains.restore(ctx, before)
    assert node.domains.overlaid(ctx, wanted.uuid, [THREADS]) == [THREADS]


@each
def test_a_guest_with_an_overlay_runs_and_is_given_an_interface(node: Node, ctx: Context, pool: str, name: str) -> None:
    overlay = [COMMAND_LINE, THREADS]
    wanted = spec(name, disks=(bootable(node, ctx, VolumeRef(pool, "d")),), overlay=overlay)
    node.domains.define(ctx, wanted)
    node.domains.start(ctx, wanted.uuid)
    nic = NicSpec("52:54:00:00:00:0c", network="default")
    node.domains.define(ctx, replace(wanted, nics=(nic,)))
    node.domains.plug(ctx, wanted.uuid, nic, {})
    live = node.domains.get(ctx, wanted.uuid).live
    assert live is not None
    assert [card.mac for card in live.nics] == [nic.mac]
    assert node.domains.overlaid(ctx, wanted.uuid, overlay) == overlay


@only_libvirt
def test_qemu_gets_the_arguments_that_an_overlay_gives_it(node: Node, ctx: Context, name: str) -> None:
    wanted = spec(name, overlay=[COMMAND_LINE])
    node.domains.define(ctx, wanted)
    node.domains.start(ctx, wanted.uuid)
    process = Path(f"/run/libvirt/qemu/{name}.pid").read_text().strip()
    arguments = Path(f"/proc/{process}/cmdline").read_text().split("\0")
    assert arguments[arguments.index("-fw_cfg") + 1] == "name=opt/test,string=hi"


@only_libvirt
def test_what_libvirt_does_not_know_is_refused_and_defines_nothing(node: Node, ctx: Context, name: str) -> None:
    wanted = spec(name, overlay=[OverlaySpec("/domain", xml="<nonsense/>")])
    with pytest.raises(KilnError, match="extra content: nonsense"):
        node.domains.define(ctx, wanted)
    with pytest.raises(NotFound):
        node.domains.get(ctx, wanted.uuid)


# libvirt derives the number from the list of threads.
NOT_KEPT = OverlaySpec(
    "/domain", xml="<iothreads>1</iothreads><iothreadids><iothread id='4'/><iothread id='5'/></iothreadids>"
)


@only_libvirt
def test_what_libvirt_does_not_keep_is_refused_and_defines_nothing(node: Node, ctx: Context, name: str) -> None:
    wanted = spec(name, overlay=[POLICY, NOT_KEPT])
    with pytest.raises(InputError, match="does not keep this") as caught:
        node.domains.define(ctx, wanted)
    assert caught.value.path == "xmlOverlay[1]"
    with pytest.raises(NotFound):
        node.domains.get(ctx, wanted.uuid)


@only_libvirt
def test_what_libvirt_does_not_keep_leaves_a_guest_as_it_was(node: Node, ctx: Context, name: str) -> None:
    wanted = spec(name, overlay=[POLICY])
    before = node.domains.define(ctx, wanted)
    with pytest.raises(InputError, match="does not keep this"):
        node.domains.define(ctx, replace(wanted, memory=128 << 10, overlay=[POLICY, NOT_KEPT]))
    assert node.domains.get(ctx, wanted.uuid) == before
    assert node.domains.overlaid(ctx, wanted.uuid, [POLICY]) == [POLICY]


@only_libvirt
@pytest.mark.parametrize(
    "entry",
    [
        OverlaySpec("/domain", xml="<memtune><hard_limit unit='G'>1</hard_limit></memtune>"),
        OverlaySpec("/domain", xml="<memoryBacking><hugepages><page size='2' unit='M'/></hugepages></memoryBacking>"),
        OverlaySpec("/domain", xml="<cputune><shares>2048</shares><period>10000</period></cputune>"),
        OverlaySpec("/domain/devices", xml="<watchdog model='i6300esb' action='reset'/>"),
        OverlaySpec("/domain/os", xml="<bootmenu enable='yes' timeout='3000'/>"),
        OverlaySpec("/domain/features", xml="<pmu state='off'/>"),
        OverlaySpec("/domain/devices/rng", attribute=("model", "virtio-transitional")),
        OverlaySpec("/domain/devices/memballoon", attribute=("autodeflate", "on")),
        OverlaySpec("/domain/metadata", xml="<app:owner xmlns:app='urn:app' name='me'/>"),
        OverlaySpec("/domain/clock/timer[@name='hpet']", remove=True),
        OverlaySpec("/domain/clock/timer/@tickpolicy", remove=True),
    ],
    ids=str,
)
def test_what_people_ask_for_is_taken_and_found_again(node: Node, ctx: Context, name: str, entry: OverlaySpec) -> None:
    wanted = spec(name, overlay=[entry])
    node.domains.define(ctx, wanted)
    assert node.domains.overlaid(ctx, wanted.uuid, [entry]) == [entry]
