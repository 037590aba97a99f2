"""What volumes are built on: chains downwards and overlays upwards. Reading runs on worker threads."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from kiln.framework.errors import Refused
from kiln.platforms.libvirt.codes import ErrorCode
from kiln.platforms.libvirt.connection import Opened
from kiln.platforms.libvirt.faults import code_of, tolerating
from kiln.platforms.libvirt.marks import hidden
from kiln.platforms.libvirt.xml.volume import told_volume
from kiln.ports.volumes import Volume, VolumeRef

LONGEST = 64


def volumes_of(pool: Any, name: str) -> list[Volume]:
    """All volumes of a ``virStoragePool`` but Kiln's own bookkeeping."""
    found = []
    for volume in pool.listAllVolumes(0):
        if not hidden(volume.name()):
            with tolerating(ErrorCode.NO_STORAGE_VOL):  # gone since it was listed
                found.append(told_volume(volume.XMLDesc(0), name))
    return found


def at(opened: Opened, path: str) -> Volume:
    """The volume stored at ``path``."""
    found = opened.handle.storageVolLookupByPath(path)
    return told_volume(found.XMLDesc(0), found.storagePoolLookupByVolume().name())


def chain(opened: Opened, top: Volume) -> Sequence[Volume]:
    """``top`` and everything it is an overlay of.

    Raises:
        Refused: a file of the chain is no volume of the node, or the chain does not end.
    """
    found = [top]
    while (below := found[-1].backing) is not None:
        if len(found) >= LONGEST or any(below == volume.path for volume in found):
            raise Refused(f"the chain of files under volume '{top.ref}' does not end", action="recreate the volume")
        try:
            found.append(at(opened, below))
        except Exception as error:
            if code_of(error) != ErrorCode.NO_STORAGE_VOL:
                raise
            raise Refused(
                f"volume '{found[-1].ref}' is an overlay of {below}, which is in no storage pool of the node",
                action="put that file into a pool, or recreate the volume; no guest is given a file that is in no pool",
            ) from error
    return tuple(found)


def built_on(path: str, volumes: Iterable[Volume]) -> Sequence[VolumeRef]:
    """The volumes that have the file ``path`` in their backing chain, near ones first."""
    above = defaultdict(list)
    for volume in volumes:
        if volume.backing is not None:
            above[volume.backing].append(volume)
    found: dict[VolumeRef, None] = {}
    paths = [path]
    for each in paths:
        for volume in above.pop(each, ()):
            found[volume.ref] = None
            paths.append(volume.path)
    return tuple(found)
