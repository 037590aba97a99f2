"""``xmlOverlay``: changes of a finished definition, one after the other, and which of them a definition has.

Errors name the entry and never quote it: what it holds may be secret.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from kiln.framework.errors import InputError
from kiln.platforms.libvirt.xml import owned, tree
from kiln.platforms.libvirt.xml.covers import all_covered, covers
from kiln.platforms.libvirt.xml.text import checked
from kiln.platforms.libvirt.xml.tree import Tree
from kiln.ports.overlays import OverlaySpec

PROPERTY = "xmlOverlay"


def applied(document: str, overlay: Sequence[OverlaySpec]) -> str:
    """The definition with all changes made in order.

    Raises:
        InputError: at an entry that cannot be read, selects nothing, touches what has a property of its own, or is not
            to be found once all are made.
    """
    root, before = tree.read(document), owned.owned(document)
    for index, entry in enumerate(overlay):
        if not entry.asks:
            continue
        found = select(root, entry, index)
        if not found:
            raise InputError(
                f"{PROPERTY}[{index}].xpath",
                "this selects nothing in the guest's definition",
                cause="an entry changes what is there when its turn comes",
                action="see what guests have (virsh dumpxml --inactive NAME), or state the entry that makes it before",
            )
        before = change(root, entry, index, found, before)
    for index, (entry, there) in enumerate(zip(overlay, _told(root, overlay), strict=True)):
        if entry != there:
            raise InputError(
                f"{PROPERTY}[{index}]",
                "what this asks for is not to be found once all entries are applied",
                cause="another entry undoes it, or its xpath asks for what the entry itself changes",
                action="drop one of the two, or let the xpath select by what stays",
            )
    return tree.written(root)


def uuid_of(document: str) -> str:
    """The UUID of a definition's guest."""
    return str(tree.read(document).findtext("uuid"))


def told(document: str, overlay: Sequence[OverlaySpec]) -> list[OverlaySpec]:
    """Each entry as the definition has it: as it is where the change is there, else with what is in its place."""
    return _told(tree.read(document), overlay)


def change(root: Tree, entry: OverlaySpec, index: int, found: Sequence[Any], before: owned.Owned) -> owned.Owned:
    """Make one change at all that was ``found``; returns what the definition says then. Raises InputError."""
    path = f"{PROPERTY}[{index}]"
    for one in found:
        if entry.remove:
            _remove(one, path)
        elif tree.is_attribute(one):
            raise InputError(f"{path}.xpath", "this selects an attribute", action="select the element that has it")
        elif entry.attribute is not None:
            name, value = entry.attribute
            one.set(name, checked(value, f"{path}.attribute.value"))
        else:
            one.extend(fragment(entry.xml or "", path))
    try:
        after = owned.owned(tree.written(root))
    except (ValueError, LookupError) as error:
        raise InputError(
            path, "this leaves a definition that cannot be understood", action="put another value there"
        ) from error
    if (otherwise := owned.changed(before, after)) is not None:
        what, instead = otherwise
        raise InputError(path, what, action=instead)
    return after


def select(root: Tree, entry: OverlaySpec, index: int) -> list[Any]:
    """What an entry selects. Raises InputError."""
    try:
        return tree.select(root, entry.xpath)
    except ValueError as error:
        raise InputError(
            f"{PROPERTY}[{index}].xpath",
            "this is no XPath that selects elements or attributes",
            cause=str(error),
            action="write one such as /domain/devices or /domain/devices/disk[target/@dev='vda']",
        ) from error


def fragment(xml: str, path: str) -> list[Tree]:
    """The elements that an entry's ``xml`` holds. Raises InputError."""
    try:
        return tree.fragment(xml)
    except ValueError as error:
        raise InputError(
            f"{path}.xml",
            "this cannot be read as elements of XML",
            cause=str(error),
            action="write whole elements, each with its end; of the prefixes 'qemu' alone needs no xmlns",
        ) from error


def _remove(one: Any, path: str) -> None:
    parent = one.getparent()
    if tree.is_attribute(one):
        parent.attrib.pop(one.attrname, None)
    elif parent is None:
        raise InputError(f"{path}.xpath", "this selects the whole definition", action="select what is in it")
    else:
        parent.remove(one)


def _told(root: Tree, overlay: Sequence[OverlaySpec]) -> list[OverlaySpec]:
    found = [select(root, entry, index) for index, entry in enumerate(overlay)]
    return [_one(entry, found[index], overlay[index + 1 :]) for index, entry in enumerate(overlay)]


def _one(entry: OverlaySpec, found: Sequence[Any], later: Sequence[OverlaySpec]) -> OverlaySpec:
    nothing = OverlaySpec(entry.xpath)
    if not entry.asks:
        return entry
    if entry.remove:
        return entry if all(_put_later(one, later) for one in found) else nothing
    elements = [one for one in found if tree.is_element(one)]
    if entry.attribute is not None:
        name, value = entry.attribute
        values = {one.get(name) for one in elements}
        told = values.pop() if len(values) == 1 else None
        return nothing if told is None else entry if told == value else replace(entry, attribute=(name, told))
    wanted = tree.fragment(entry.xml or "")
    return entry if elements and all(all_covered(list(one), wanted) for one in elements) else nothing


def _put_later(one: Any, later: Sequence[OverlaySpec]) -> bool:
    """Whether something that was removed is there again because a later entry puts it there."""
    name = one.attrname if tree.is_attribute(one) else None
    element = one.getparent() if name is not None else one
    return any(
        (entry.attribute is not None and entry.attribute[0] == name)
        or (entry.xml is not None and any(covers(element, wanted) for wanted in tree.fragment(entry.xml)))
        for entry in later
    )
