"""``xmlOverlay`` of a Server: what it must state, what the node is asked for, and errors that it causes. Pure."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from kiln.framework.errors import InputError, KilnError
from kiln.framework.values import UNKNOWN
from kiln.ports.overlays import OverlaySpec
from kiln.resources.names import check_lines
from kiln.resources.server.model import ServerInputs, XmlAttribute, XmlOverlay

# In the words of libvirt and QEMU: shorter ones ("on", "q35") are no secrets, and are parts of other words.
_SHORTEST_HIDDEN = 4
_VALUES = re.compile(r"=\s*\"([^\"]*)\"|=\s*'([^']*)'|>([^<>]+)<")
_PARTS = re.compile(r"[,=\s]+")


def specs(inputs: ServerInputs) -> list[OverlaySpec]:
    """What the platform is asked for; parts may be UNKNOWN."""
    return [_spec(entry) for entry in inputs.xml_overlay or [] if isinstance(entry, XmlOverlay)]


def stated(spec: OverlaySpec) -> XmlOverlay:
    """A change as a program would state it."""
    attribute = None if spec.attribute is None else XmlAttribute(name=spec.attribute[0], value=spec.attribute[1])
    return XmlOverlay(xpath=spec.xpath, xml=spec.xml, attribute=attribute, remove=spec.remove or None)


def check_actions(overlay: Any, before: Any = None) -> None:
    """Refuse an entry that does not state one change, or holds what libvirt gives back otherwise. Raises InputError.

    One that is as ``before`` is what a refresh found, where a program ignores the changes of the property.
    """
    for index, entry in enumerate(overlay if isinstance(overlay, list) else []):
        path = f"xmlOverlay[{index}]"
        if not isinstance(entry, XmlOverlay) or (isinstance(before, list) and entry in before):
            continue
        if sum((entry.xml is not None, entry.attribute is not None, entry.remove not in (None, False))) != 1:
            raise InputError(
                path, "an entry makes one change", action="state one of 'xml', 'attribute' and 'remove: true'"
            )
        check_lines(entry.xpath, f"{path}.xpath")
        check_lines(entry.xml, f"{path}.xml")
        if isinstance(entry.attribute, XmlAttribute):
            check_lines(entry.attribute.value, f"{path}.attribute.value")


def values(*inputs: ServerInputs) -> frozenset[str]:
    """The values in overlays, which may be secret, and the parts of those that are lists."""
    found: set[str] = set()
    for spec in (spec for one in inputs for spec in specs(one)):
        if spec.attribute is not None:
            found.add(spec.attribute[1])
        found |= {html.unescape("".join(groups)) for groups in _VALUES.findall(spec.xml or "")}
    return frozenset(found | {part for value in found for part in _PARTS.split(value)})


@contextmanager
def blaming(inputs: ServerInputs, hidden: Iterable[str]) -> Iterator[None]:
    """Errors of what libvirt and QEMU make of a definition with an overlay are told at it, without the values
    ``hidden``."""
    try:
        yield
    except KilnError as error:
        error.cause = error.cause and _without(error.cause, sorted(hidden, key=len, reverse=True))
        if inputs.xml_overlay and type(error) is KilnError:
            error.at(path="xmlOverlay")
            look = "see whether it comes from what 'xmlOverlay' puts into the guest's definition"
            error.action = f"{look}; else {error.action}" if error.action else look
        raise


def _spec(entry: XmlOverlay) -> OverlaySpec:
    attribute: Any = entry.attribute
    if isinstance(attribute, XmlAttribute):
        attribute = (attribute.name, attribute.value)
    elif attribute is UNKNOWN:
        attribute = (UNKNOWN, UNKNOWN)
    return OverlaySpec(entry.xpath, entry.xml, attribute, entry.remove or False)


def _without(text: str, hidden: Sequence[str]) -> str:
    for value in hidden:
        if len(value) >= _SHORTEST_HIDDEN:
            text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", "…", text)
    return text
