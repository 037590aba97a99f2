"""What is on the node of one resource, told so that it is the same for two that were made in the same way."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import libvirt

from tests.e2e.inventory import Inventory, image_info

OWN = {
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}": "UUID",
    r"52:54:00(:[0-9a-f]{2}){3}": "MAC",
    r"10\.199\.\d+\.": "NET.",
    r"virbr\d+": "BRIDGE",
    r"passwd='[^']*'": "passwd",
    r"operation=[\"'][0-9a-f]+[\"']": "operation",
    r"made=[\"']\d+[\"']": "made",
    r" id='\d+'": "",
}
"""What differs between any two."""


def likeness(inventory: Inventory, pool: Path, name: str, prefix: str) -> dict[str, Any]:
    """All that bears ``name``: guests, networks, pools, and files in the directory ``pool``. What else there is of the
    same stack bears ``prefix``."""
    connection, plain = inventory.connection, partial(_plain, name=name, prefix=prefix)
    found: dict[str, Any] = {}
    for domain in connection.listAllDomains():
        if domain.name() == name:
            found["guest"] = plain(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE))
            found["guest's life"] = (domain.isActive(), domain.autostart())
    for network in connection.listAllNetworks():
        if network.name() == name:
            found["network"] = plain(network.XMLDesc(libvirt.VIR_NETWORK_XML_INACTIVE))
            found["network's life"] = (network.isActive(), network.autostart())
    for one in connection.listAllStoragePools():
        if belongs(one.name(), name):
            found[plain(one.name())] = (one.isActive(), one.autostart())
    for file in pool.iterdir():
        if belongs(file.name, name):
            found[plain(file.name)] = _mark(file) if file.name.endswith(".kiln") else _volume(file, plain)
    return found


def belongs(object_name: str, name: str) -> bool:
    """Whether an object is that of the resource ``name`` or one of its own, such as ``<name>-root``."""
    return re.fullmatch(rf"\.?{re.escape(name)}(-[a-z]+)?(\.kiln)?", object_name) is not None


def _volume(file: Path, plain: Callable[[str], str]) -> tuple[Any, ...]:
    info = image_info(file)
    backing, mode = plain(info.get("backing-filename", "")), oct(file.stat().st_mode)
    return info["format"], info["virtual-size"], backing, mode


def _mark(file: Path) -> tuple[Any, ...]:
    mark = json.loads(file.read_text())
    return mark["phase"], mark["role"], sorted(mark["info"])


def _plain(text: str, name: str, prefix: str) -> str:
    text = text.replace(name, "NAME").replace(prefix, "PREFIX")
    for pattern, word in OWN.items():
        text = re.sub(pattern, word, text)
    return text
