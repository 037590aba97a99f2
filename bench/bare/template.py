"""From what Kiln made on a node to a plan that makes the same again under other guest names."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

_OF_THE_GUEST = ("uuid", "metadata", "devices/interface/mac")
"""What every guest has of its own, or what is Kiln's bookkeeping; libvirt fills in the first two kinds."""
_OF_THE_FILE = (
    "key",
    "physical",
    "target/path",
    "target/timestamps",
    "target/permissions/owner",
    "target/permissions/group",
    "target/permissions/label",
    "backingStore/timestamps",
    "backingStore/permissions",
)


@dataclass(frozen=True)
class Template:
    """One guest with its volumes, and the volumes that all guests share.

    ``base`` and ``volumes`` map each volume's XML to the file that holds its content, None for an overlay.
    """

    name: str
    guest: str
    volumes: Mapping[str, Path | None]
    base: Mapping[str, Path | None]

    def plan(self, uri: str, pool: str, names: Sequence[str], *, start: bool, base: bool = True) -> dict[str, Any]:
        """What ``bench.bare`` carries out to make a guest of each name, and the ``base`` if it is not there."""
        guests = [
            {"xml": self.guest.replace(self.name, name), "volumes": _listed(self.volumes, self.name, name)}
            for name in names
        ]
        shared = _listed(self.base) if base else []
        return {"do": "make", "uri": uri, "pool": pool, "start": start, "base": shared, "guests": guests}


def capture(connection: Any, pool: Any, name: str, others: Sequence[str], directory: Path) -> Template:
    """Read the guest ``name`` and the volumes in ``pool`` from the node; contents are kept in ``directory``.

    Args:
        others: the names of all guests that share the pool, whose volumes are not shared ones.
    """
    domain = connection.lookupByName(name)
    own: dict[str, Path | None] = {}
    base: dict[str, Path | None] = {}
    for volume in pool.listAllVolumes():
        file = volume.name()
        if file.startswith("."):
            continue
        if file.startswith(f"{name}-"):
            kept = own
        elif any(file.startswith(f"{other}-") for other in others):
            continue
        else:
            kept = base
        xml = volume_template(volume.XMLDesc())
        kept[xml] = None if _is_overlay(xml) else Path(shutil.copy(volume.path(), directory / file))
    return Template(name, guest_template(domain.XMLDesc(_inactive())), own, base)


def guest_template(xml: str) -> str:
    """The domain XML without what every guest has of its own."""
    return ElementTree.tostring(_without(xml, _OF_THE_GUEST), encoding="unicode")


def volume_template(xml: str) -> str:
    """The volume XML without what libvirt reads from the file; nothing is allocated ahead."""
    root = _without(xml, _OF_THE_FILE)
    for allocation in root.findall("allocation"):
        allocation.text = "0"
    return ElementTree.tostring(root, encoding="unicode")


def _without(xml: str, paths: Sequence[str]) -> ElementTree.Element:
    root = ElementTree.fromstring(xml)
    for path in paths:
        above, _, tag = path.rpartition("/")
        for parent in root.findall(above or "."):
            for element in parent.findall(tag):
                parent.remove(element)
    return root


def _is_overlay(xml: str) -> bool:
    return ElementTree.fromstring(xml).find("backingStore/path") is not None


def _listed(volumes: Mapping[str, Path | None], old: str = "", new: str = "") -> list[dict[str, str | None]]:
    return [
        {"xml": xml.replace(old, new) if old else xml, "content": str(content) if content else None}
        for xml, content in volumes.items()
    ]


def _inactive() -> int:
    import libvirt

    return int(libvirt.VIR_DOMAIN_XML_INACTIVE)
