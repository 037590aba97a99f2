"""Kiln's element in a domain's ``<metadata>``: the ownership mark, what was asked for, and the user's key/value pairs.
A network's and a snapshot's hold the mark alone.

Values are attributes, not text: libvirt indents what it writes back, and only attributes keep their newlines.
``virDomainSetMetadata`` takes the element bare and puts it into its namespace, ``virDomainGetMetadata`` takes it out.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from typing import cast
from xml.etree import ElementTree

from kiln.platforms.libvirt.xml.text import Element, checked
from kiln.ports.domains import Sizes
from kiln.ports.marks import Holder, Mark, Phase

NAMESPACE = "urn:kiln:domain:1"
PREFIX = "kiln"
_ROOT = f"{{{NAMESPACE}}}guest"
_SIZES = {"memory": "memory", "vcpus": "vcpus", "max_memory": "maxMemory", "max_vcpus": "maxVcpus"}
_NETWORK_NAMESPACE = "urn:kiln:network:1"
_NETWORK_ROOT = f"{{{_NETWORK_NAMESPACE}}}network"
SNAPSHOT_NAMESPACE = "urn:kiln:snapshot:1"
_SNAPSHOT_ROOT = f"{{{SNAPSHOT_NAMESPACE}}}snapshot"


@dataclass(frozen=True)
class Kept:
    """What Kiln keeps in a domain's metadata."""

    mark: Mark | None = None
    cpu_mode: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    asked: Mapping[str, str] = field(default_factory=dict)
    sizes: Sizes | None = None


def metadata(kept: Kept, *, bare: bool = False) -> Element:
    """The element that holds ``kept``, or its ``bare`` form without the namespace."""
    root = Element("guest")
    if kept.mark is not None:
        _add_mark(root, kept.mark)
    if kept.cpu_mode is not None:
        _add(root, "cpu", mode=kept.cpu_mode)
    if kept.sizes is not None:
        told = {_SIZES[name]: str(size) for name, size in asdict(kept.sizes).items() if size is not None}
        _add(root, "size", **told)
    _add_entries(root, "setting", kept.settings)
    _add_entries(root, "asked", kept.asked)
    _add_entries(root, "metadata", kept.metadata)
    return root if bare else _qualified(root, NAMESPACE)


def network_metadata(mark: Mark) -> Element:
    """The element that holds the mark of a network."""
    root = Element("network")
    _add_mark(root, mark)
    return _qualified(root, _NETWORK_NAMESPACE)


def snapshot_metadata(mark: Mark, *, bare: bool = False) -> Element:
    """The element that holds the mark of a snapshot, in a guest's definition, or its ``bare`` form."""
    root = Element("snapshot")
    _add_mark(root, mark)
    return root if bare else _qualified(root, SNAPSHOT_NAMESPACE)


def told(root: Element | None) -> Kept:
    """What Kiln's element, in either form, says; a mark that cannot be understood is no mark."""
    if root is None:
        return Kept()
    root = deepcopy(root)
    for member in root.iter():
        member.tag = member.tag.rpartition("}")[2]
    cpu = root.find("cpu")
    return Kept(
        mark=_told_mark(root.find("mark")),
        cpu_mode=None if cpu is None else cpu.get("mode"),
        metadata=_told_entries(root, "metadata"),
        settings=_told_entries(root, "setting"),
        asked=_told_entries(root, "asked"),
        sizes=_told_sizes(root.find("size")),
    )


def find(domain: Element) -> Element | None:
    """Kiln's element in a domain's definition."""
    return domain.find(f"metadata/{_ROOT}")


def find_network(network: Element) -> Element | None:
    """Kiln's element in a network's definition."""
    return network.find(f"metadata/{_NETWORK_ROOT}")


def find_snapshot(domain: Element) -> Element | None:
    """Kiln's element for a snapshot in the definition of the guest it was taken of."""
    return domain.find(f"metadata/{_SNAPSHOT_ROOT}")


def _qualified(root: Element, namespace: str) -> Element:
    for member in root.iter():
        member.tag = f"{PREFIX}:{member.tag}"
    root.set(f"xmlns:{PREFIX}", namespace)
    return root


def _add_mark(root: Element, mark: Mark) -> None:
    made = _add(
        root, "mark", operation=mark.operation, phase=mark.phase, urn=mark.urn, role=mark.role, digest=mark.digest
    )
    if mark.made is not None:
        made.set("made", str(mark.made))
    if mark.holder is not None:
        holder = mark.holder
        _add(
            made,
            "holder",
            machine=holder.machine,
            boot=holder.boot,
            pid=str(holder.pid),
            started=str(holder.started),
            expires=str(holder.expires),
        )
    _add_entries(made, "info", mark.info)


def _told_mark(found: Element | None) -> Mark | None:
    if found is None or not found.get("operation") or found.get("phase") not in {"creating", "done"}:
        return None
    return Mark(
        operation=found.get("operation", ""),
        phase=cast(Phase, found.get("phase")),
        urn=found.get("urn", ""),
        role=found.get("role", ""),
        digest=found.get("digest", ""),
        holder=_told_holder(found.find("holder")),
        info=_told_entries(found, "info"),
        made=int(made) if (made := found.get("made", "")).isdecimal() else None,
    )


def _told_sizes(found: Element | None) -> Sizes | None:
    if found is None:
        return None
    try:
        told = {name: int(value) for name, key in _SIZES.items() if (value := found.get(key)) is not None}
        return Sizes(**told)
    except (TypeError, ValueError):
        return None


def _told_holder(found: Element | None) -> Holder | None:
    if found is None:
        return None
    try:
        return Holder(
            machine=found.get("machine", ""),
            boot=found.get("boot", ""),
            pid=int(found.get("pid", "")),
            started=int(found.get("started", "")),
            expires=int(found.get("expires", "")),
        )
    except ValueError:
        return None


def _add_entries(parent: Element, tag: str, entries: Mapping[str, str]) -> None:
    for key, value in entries.items():
        _add(parent, tag, key=key, value=value)


def _told_entries(parent: Element, tag: str) -> dict[str, str]:
    return {entry.get("key", ""): entry.get("value", "") for entry in parent.findall(tag)}


def _add(parent: Element, tag: str, **attributes: str) -> Element:
    made = ElementTree.SubElement(parent, tag)
    for name, value in attributes.items():
        made.set(name, checked(value, f"metadata {tag} {name}"))
    return made
