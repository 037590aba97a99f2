"""What a definition says of the properties that are read back from it, and of Kiln's mark: an overlay leaves that as it
is, since a refresh would find it otherwise than the program states it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from kiln.platforms.libvirt.xml.metadata import NAMESPACE
from kiln.platforms.libvirt.xml.parse import told_domain
from kiln.platforms.libvirt.xml.sizes import told_cells
from kiln.platforms.libvirt.xml.text import parse

_IDENTITY = "leave this entry out: it is what Kiln knows the guest by"


@dataclass(frozen=True)
class Owned:
    """What a definition says: by what errors call it, what to do instead and the value."""

    facts: Mapping[str, tuple[str, object]]
    elements: Mapping[str, int]


def owned(document: str) -> Owned:
    """What ``document`` says. Raises ValueError or LookupError when it cannot be understood."""
    guest = told_domain(document, state="stopped", autostart=False)
    root = parse(document)
    disks = sorted((disk for disk in guest.disks if disk.path is not None), key=lambda disk: disk.target)
    kept = guest.mark, guest.metadata, guest.asked, guest.sizes
    told = {
        "uuid": (_IDENTITY, guest.uuid),
        "ownership mark": (_IDENTITY, (kept, len(root.findall(f"metadata/{{{NAMESPACE}}}*")))),
        "accelerator": ("state the Node's 'accelerator'", guest.accelerator),
        **{
            name: (f"state '{name}'", value)
            for name, value in {
                "name": guest.name,
                "description": guest.description,
                "memory": (guest.memory, guest.current_memory, told_cells(root) or guest.memory),
                "maxMemory": guest.max_memory,
                "vcpus": guest.current_vcpus,
                "maxVcpus": guest.vcpus,
                "firmware": guest.firmware,
                "boot": guest.boot,
                "disks": (disks, len(root.findall("devices/disk"))),
                "networks": guest.nics,
                "graphics": guest.graphics == "vnc",
                "platformConfig": guest.platform_config,
            }.items()
        },
    }
    return Owned(told, Counter(child.tag for child in root))


def changed(before: Owned, after: Owned) -> tuple[str, str] | None:
    """What is otherwise now that must not be, and what to do instead; None when there is no such thing."""
    for name, (instead, value) in before.facts.items():
        if after.facts[name][1] != value:
            return f"this changes the guest's {name}, which an overlay leaves as it is", instead
    for tag, number in after.elements.items():
        if number > before.elements.get(tag, number):
            return f"the definition has a <{tag}> already", f"append to /domain/{tag}, or remove it by an entry before"
    return None
