"""``xmlOverlay`` on libvirt: what is refused before a node is asked, and defining a guest with one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from kiln.framework.errors import InputError
from kiln.framework.values import UNKNOWN, has_unknown
from kiln.platforms.libvirt.codes import DomainDefine, DomainXml, ErrorCode
from kiln.platforms.libvirt.connection import Opened
from kiln.platforms.libvirt.faults import tolerating
from kiln.platforms.libvirt.xml import metadata, overlay, owned, tree
from kiln.platforms.libvirt.xml.domain import domain as domain_document
from kiln.platforms.libvirt.xml.overlay import PROPERTY
from kiln.ports.domains import BootSpec, DiskSpec, DomainSpec, NicSpec
from kiln.ports.marks import Mark
from kiln.ports.overlays import OverlaySpec
from kiln.ports.volumes import Volume, VolumeRef

MOST_CHARACTERS = 256 << 10
_ATTRIBUTE = re.compile(r"(?!xmlns)[A-Za-z_][A-Za-z0-9_.-]*")


def check(asked: Sequence[OverlaySpec]) -> None:
    """Refuse what cannot be applied to any guest, as far as it is known: parts may be UNKNOWN.

    An entry is tried on a guest that has a bit of everything; one that selects nothing there may select something in
    another. Raises InputError at the entry.
    """
    _check_size(asked)
    document = domain_document(_sample(), console_log=None)
    root, before = tree.read(document), owned.owned(document)
    for index, entry in enumerate(asked):
        _check_parts(entry, f"{PROPERTY}[{index}]")
        if entry.xpath is UNKNOWN or not entry.asks:
            continue
        found = overlay.select(root, entry, index)
        if found and not has_unknown((entry.xml, entry.attribute, entry.remove)):
            before = overlay.change(root, entry, index, found, before)


def define(opened: Opened, document: str, asked: Sequence[OverlaySpec]) -> Any:
    """Define the guest of ``document``, to which an overlay is applied: libvirt must know all that is in it, and keep
    what the overlay asks for. Runs on a worker thread.

    Raises:
        InputError: libvirt drops it, or writes it otherwise; the guest is as it was before.
        libvirtError: libvirt refuses the document.
    """
    if not asked:
        return opened.handle.defineXMLFlags(document, 0)
    uuid, before = overlay.uuid_of(document), None
    with tolerating(ErrorCode.NO_DOMAIN):
        before = _definition(opened.handle.lookupByUUIDString(uuid))
    domain = opened.handle.defineXMLFlags(document, DomainDefine.VALIDATE)
    kept = overlay.told(_definition(domain), asked)
    lost = next((index for index, entry in enumerate(asked) if kept[index] != entry), None)
    if lost is None:
        return domain
    if before is None:
        domain.undefine()
    else:
        opened.handle.defineXMLFlags(before, 0)
    raise InputError(
        f"{PROPERTY}[{lost}]",
        "libvirt does not keep this in the guest's definition as it is written here",
        cause="it writes it otherwise, leaves it out, or adds elements that the xpath selects too, so that a refresh "
        "could not tell whether it is there",
        action="write it as libvirt does (try it: virsh define, then virsh dumpxml --inactive)",
    )


def _definition(domain: Any) -> str:
    return str(domain.XMLDesc(DomainXml.INACTIVE | DomainXml.SECURE))


def _check_size(asked: Sequence[OverlaySpec]) -> None:
    parts = [part for entry in asked for part in (entry.xpath, entry.xml, *(entry.attribute or ()))]
    if sum(len(part) for part in parts if isinstance(part, str)) > MOST_CHARACTERS:
        raise InputError(
            PROPERTY, f"this is more than {MOST_CHARACTERS >> 10} KiB of text", action="state what has to change alone"
        )


def _check_parts(entry: OverlaySpec, path: str) -> None:
    name = entry.attribute[0] if entry.attribute is not None else UNKNOWN
    if name is not UNKNOWN and not _ATTRIBUTE.fullmatch(name):
        raise InputError(f"{path}.attribute.name", "this is no name of an attribute", action="use one such as 'cache'")
    if entry.xml is None or entry.xml is UNKNOWN:
        return
    kiln = f"{{{metadata.NAMESPACE}}}"
    if any(str(each.tag).startswith(kiln) for made in overlay.fragment(entry.xml, path) for each in made.iter()):
        raise InputError(f"{path}.xml", "this holds an element of Kiln's own mark", action="leave it out")


def _sample() -> DomainSpec:
    """A guest that has a bit of everything."""
    disks = [Volume(VolumeRef("pool", name), f"/{name}", "qcow2", 512, 0) for name in ("vda", "vdb", "sdb")]
    return DomainSpec(
        name="guest",
        uuid="00000000-0000-4000-8000-000000000000",
        memory=1 << 20,
        vcpus=1,
        arch="x86_64",
        accelerator="kvm",
        cpu_mode=None,
        firmware="bios",
        disks=(
            DiskSpec(disks[:1], "vda", boot_order=1),
            DiskSpec(disks[1:2], "vdb", boot_order=2),
            DiskSpec(disks[2:], "sdb", device="cdrom", bus="scsi"),
        ),
        nics=(NicSpec("52:54:00:00:00:01", network="default"),),
        mark=Mark("operation", "done"),
        boot=BootSpec("/kernel", "/initrd", "quiet"),
        description="a guest",
    )
