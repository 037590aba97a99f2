"""What Kiln does to guests and volumes, by libvirt-python alone and ten threads: ``python -m bench.bare PLAN``.

A plan makes volumes, defines guests and starts them, reads all guests and volumes that are there, or removes them.
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import libvirt

THREADS = 10
PIECE = 256 << 10


def main() -> None:
    """Carry out the plan."""
    plan = json.loads(Path(sys.argv[1]).read_text())
    connection = libvirt.open(plan["uri"])
    pool = connection.storagePoolLookupByName(plan["pool"])
    {"make": make, "read": read, "remove": remove}[plan["do"]](connection, pool, plan)
    connection.close()


def make(connection: Any, pool: Any, plan: dict[str, Any]) -> None:
    """Base volumes first, then each guest with its volumes."""

    def volume(one: dict[str, Any]) -> None:
        made = pool.createXML(one["xml"], 0)
        if one["content"]:
            _upload(connection, made, Path(one["content"]).read_bytes())

    def guest(one: dict[str, Any]) -> None:
        for each in one["volumes"]:
            volume(each)
        defined = connection.defineXML(one["xml"])
        if plan["start"]:
            defined.create()

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(volume, plan["base"]))
        list(threads.map(guest, plan["guests"]))


def read(connection: Any, pool: Any, plan: dict[str, Any]) -> None:
    """State and definition of every guest, and every volume."""
    for domain, _ in connection.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE, 0):
        domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    for volume in pool.listAllVolumes():
        volume.XMLDesc()


def remove(connection: Any, pool: Any, plan: dict[str, Any]) -> None:
    """Each guest that the plan names with the volumes of its name, then the other volumes."""

    def guest(name: str) -> None:
        connection.lookupByName(name).undefine()
        for volume in volumes:
            if volume.name().startswith(f"{name}-"):
                volume.delete()

    volumes = [volume for volume in pool.listAllVolumes() if not volume.name().startswith(".")]
    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(guest, plan["names"]))
    for volume in volumes:
        if not volume.name().startswith(tuple(f"{name}-" for name in plan["names"])):
            volume.delete()


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
