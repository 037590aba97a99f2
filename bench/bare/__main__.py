"""Makes volumes, defines guests and starts them with libvirt-python and ten threads: ``python -m bench.bare PLAN``."""

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
    """Carry out the plan: base volumes first, then each guest with its volumes."""
    plan = json.loads(Path(sys.argv[1]).read_text())
    connection = libvirt.open(plan["uri"])
    pool = connection.storagePoolLookupByName(plan["pool"])

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
    connection.close()


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
