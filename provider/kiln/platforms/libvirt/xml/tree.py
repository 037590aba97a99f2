"""XPath over definitions, with lxml: the one module that loads it, when the first guest with an overlay comes by.

What a program writes is read without document types, entities or files; an XPath has the functions of XPath 1.0 alone,
none of which reads anything but the definition.
"""

from __future__ import annotations

import re
from typing import Any

from kiln.platforms.libvirt.xml import metadata

NAMESPACES = {"qemu": "http://libvirt.org/schemas/domain/qemu/1.0", metadata.PREFIX: metadata.NAMESPACE}
"""The prefixes that an overlay need not declare."""

_BEFORE_PARENTHESIS = re.compile(
    # the functions of XPath 1.0 §4, then the types of nodes and the operators
    "last|position|count|id|local-name|namespace-uri|name|string|concat|starts-with|contains|substring-before|"
    "substring-after|substring|string-length|normalize-space|translate|boolean|not|true|false|lang|number|sum|floor|"
    "ceiling|round|node|text|comment|processing-instruction|and|or|div|mod"
)
_LITERAL = re.compile(r"\"[^\"]*\"|'[^']*'")
_CALL = re.compile(r"([^\W\d][\w.:-]*)\s*\(")

Tree = Any
"""An element as lxml has it."""


def read(document: str) -> Tree:
    """The root of a definition."""
    from lxml import etree

    return etree.fromstring(document, _parser())


def written(root: Tree) -> str:
    """The definition as a document."""
    from lxml import etree

    return str(etree.tostring(root, encoding="unicode"))


def fragment(text: str) -> list[Tree]:
    """The elements that ``text`` holds. Raises ValueError saying why it cannot be read, in the parser's words."""
    from lxml import etree

    declared = "".join(f' xmlns:{prefix}="{uri}"' for prefix, uri in NAMESPACES.items())
    try:
        root = etree.fromstring(f"<overlay{declared}>{text}</overlay>", _parser())
    except etree.XMLSyntaxError as error:
        raise ValueError(str(error.msg).partition(", line")[0]) from None
    if any((words or "").strip() for words in (root.text, *(each.tail for each in root))):
        raise ValueError("there is text beside the elements")
    if not len(root):
        raise ValueError("there is no element")
    return list(root)


def select(root: Tree, xpath: str) -> list[Any]:
    """The elements and attributes that ``xpath`` selects, an attribute as its value with ``getparent`` and
    ``attrname``. Raises ValueError saying why it cannot be used."""
    from lxml import etree

    refuse_functions(xpath)
    try:
        found = etree.XPath(xpath, namespaces=NAMESPACES, regexp=False)(root)
    except etree.XPathError as error:
        raise ValueError(str(error)) from None
    if not isinstance(found, list) or not all(is_attribute(one) or is_element(one) for one in found):
        raise ValueError("it selects something else than elements or attributes")
    return found


def refuse_functions(xpath: str) -> None:
    """Refuse functions and variables that XPath 1.0 itself does not have. Raises ValueError."""
    bare = _LITERAL.sub("''", xpath)
    if "$" in bare:
        raise ValueError("there are no variables")
    for called in _CALL.findall(bare):
        if not _BEFORE_PARENTHESIS.fullmatch(called.rpartition("::")[2]):
            raise ValueError(f"'{called}' is no function of XPath 1.0")


def is_element(one: Any) -> bool:
    """Whether what an XPath selected is an element."""
    return isinstance(getattr(one, "tag", None), str)


def is_attribute(one: Any) -> bool:
    """Whether what an XPath selected is an attribute."""
    return bool(getattr(one, "is_attribute", False))


def _parser() -> Any:
    from lxml import etree

    return etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True, remove_pis=True
    )
