"""What Kiln does to guests and volumes, by libvirt-python alone and ten threads: ``python -m bench.bare PLAN``.

A plan makes volumes, defines guests and starts them, reads all guests and volumes that are there, gives running guests
memory, or removes them. Each
thread has a connection of its own: uploads by ten threads over one end, now and then, with that connection closed.
"""

from __future__ import annotations

import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import libvirt

THREADS = 10
PIECE = 256 << 10
MODULE = "<memory model='dimm'><target><size unit='KiB'>{}</size><node>0</node></target></memory>"


class Node:
    """The node and the pool of a plan, on the calling thread's own connection."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._plan = plan
        self._mine = threading.local()

    @property
    def connection(self) -> Any:
        """The ``virConnect``."""
        if not hasattr(self._mine, "connection"):
            self._mine.connection = libvirt.open(self._plan["uri"])
        return self._mine.connection

    @property
    def pool(self) -> Any:
        """The ``virStoragePool``."""
        if not hasattr(self._mine, "pool"):
            self._mine.pool = self.connection.storagePoolLookupByName(self._plan["pool"])
        return self._mine.pool


def main() -> None:
    """Carry out the plan."""
    plan = json.loads(Path(sys.argv[1]).read_text())
    {"make": make, "read": read, "grow": grow, "remove": remove}[plan["do"]](Node(plan), plan)


def make(node: Node, plan: dict[str, Any]) -> None:
    """Base volumes first, then each guest with its volumes."""

    def volume(one: dict[str, Any]) -> None:
        made = node.pool.createXML(one["xml"], 0)
        if one["content"]:
            _upload(node.connection, made, Path(one["content"]).read_bytes())

    def guest(one: dict[str, Any]) -> None:
        for each in one["volumes"]:
            volume(each)
        defined = node.connection.defineXML(one["xml"])
        if plan["start"]:
            defined.create()

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(volume, plan["base"]))
        list(threads.map(guest, plan["guests"]))


def read(node: Node, plan: dict[str, Any]) -> None:
    """State and definition of every guest, and every volume."""
    for domain, _ in node.connection.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE, 0):
        domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    for volume in node.pool.listAllVolumes():
        volume.XMLDesc()


def grow(node: Node, plan: dict[str, Any]) -> None:
    """Define each guest that the plan names with a module's memory more, and plug that into it."""

    def guest(name: str) -> None:
        domain = node.connection.lookupByName(name)
        root = ElementTree.fromstring(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE))
        for size in (*root.findall("memory"), *root.findall("currentMemory")):
            size.text = str(int(size.text or 0) + plan["module"])
        for cell in root.findall("cpu/numa/cell"):
            cell.set("memory", str(int(cell.get("memory") or 0) + plan["module"]))
        node.connection.defineXML(ElementTree.tostring(root, encoding="unicode"))
        domain.attachDeviceFlags(MODULE.format(plan["module"]), libvirt.VIR_DOMAIN_AFFECT_LIVE)

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(guest, plan["names"]))


def remove(node: Node, plan: dict[str, Any]) -> None:
    """Each guest that the plan names with the volumes of its name, then the other volumes."""

    def guest(name: str) -> None:
        node.connection.lookupByName(name).undefine()
        for volume in volumes:
            if volume.startswith(f"{name}-"):
                node.pool.storageVolLookupByName(volume).delete()

    volumes = [name for name in node.pool.listVolumes() if not name.startswith(".")]
    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(guest, plan["names"]))
    for volume in volumes:
        if not volume.startswith(tuple(f"{name}-" for name in plan["names"])):
            node.pool.storageVolLookupByName(volume).delete()


def _upload(connection: Any, volume: Any, content: bytes) -> None:
    stream = connection.newStream()
    volume.upload(stream, 0, len(content), 0)
    for offset in range(0, len(content), PIECE):
        _send(stream, content[offset : offset + PIECE])
    stream.finish()


def _send(stream: Any, piece: bytes) -> None:
    while piece:
        piece = piece[stream.send(piece) :]


if __name__ == "__main__":
    main()
