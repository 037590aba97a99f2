"""Building elements from strings that users wrote, and reading the documents that libvirt writes."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from kiln.framework.errors import KilnError

Element = ElementTree.Element

# XML 1.0 §2.2 allows tab, newline and carriage return below U+0020; a carriage return does not survive libvirt, which
# writes it bare and reads it back as a newline (XML 1.0 §2.11).
_FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


def checked(value: str, what: str) -> str:
    """``value`` when XML can carry it.

    Raises:
        KilnError: it holds a control character, a lone surrogate or another character that XML has no form for.
    """
    found = _FORBIDDEN.search(value)
    if found:
        raise KilnError(
            f"{what} holds the character U+{ord(found.group()):04X}, which a guest's definition cannot carry",
            action="remove control characters; tabs and newlines are allowed",
        )
    return value


def element(tag: str, text: str | None = None, /, **attributes: str | None) -> Element:
    """A new element; attributes that are None are left out."""
    made = Element(tag)
    return _filled(made, tag, text, attributes)


def add(parent: Element, tag: str, text: str | None = None, /, **attributes: str | None) -> Element:
    """A new last child of ``parent``; see ``element``."""
    return _filled(ElementTree.SubElement(parent, tag), tag, text, attributes)


def dump(root: Element) -> str:
    """The element as a document for libvirt."""
    return ElementTree.tostring(root, encoding="unicode")


def parse(document: str) -> Element:
    """The root of a document that libvirt sent: it writes these itself, and never an entity or a document type."""
    return ElementTree.fromstring(document)  # noqa: S314


def findall(root: Element, path: str) -> list[Element]:
    """All elements at a path of plain names, such as ``devices/disk``, in the order of the document.

    ElementTree follows a path in Python, through every device of a guest, and a single name in C.
    """
    found = [root]
    for name in path.split("/"):
        found = [child for parent in found for child in parent.findall(name)]
    return found


def find(root: Element, path: str) -> Element | None:
    """The first element at a path of plain names."""
    return next(iter(findall(root, path)), None)


def _filled(made: Element, tag: str, text: str | None, attributes: dict[str, str | None]) -> Element:
    if text is not None:
        made.text = checked(text, f"<{tag}>")
    for name, value in attributes.items():
        if value is not None:
            made.set(name, checked(value, f"{tag}/@{name}"))
    return made
