"""What lies in a pool under a temporary name: files where the pool is within reach, else volumes that libvirt knows."""

from __future__ import annotations

from collections.abc import Sequence

from kiln.framework.context import Context
from kiln.framework.errors import KilnError
from kiln.platforms.libvirt import files
from kiln.platforms.libvirt.codes import ErrorCode
from kiln.platforms.libvirt.connection import Link, Opened
from kiln.platforms.libvirt.faults import tolerating
from kiln.platforms.libvirt.marks import temporary
from kiln.platforms.libvirt.pools import Pools, known
from kiln.platforms.libvirt.xml.volume import told_change, told_volume
from kiln.ports.volumes import TEMPORARY_PREFIX, Temporary, VolumeRef


class Temporaries:
    """Temporary volumes and files by pool."""

    def __init__(self, link: Link, pools: Pools) -> None:
        self._link = link
        self._pools = pools

    def all(self, ctx: Context, pool: str) -> Sequence[Temporary]:
        """All of a pool. Raises NotFound when the pool is not there, KilnError when it cannot be looked into."""
        directory = self._pools.local_directory(ctx, pool)
        if directory is None:
            self._pools.refresh(ctx, pool)
            return self._link.run(ctx, f"list pool '{pool}'", lambda opened: _known(opened, pool))
        try:
            changes = files.changes(directory, TEMPORARY_PREFIX)
        except OSError as error:
            raise KilnError(
                f"could not list pool '{pool}'", cause=str(error), action="let this user read its directory"
            ) from error
        return [
            Temporary(VolumeRef(pool, name), str(directory / name), changed)
            for name, changed in changes.items()
            if temporary(name)
        ]


def _known(opened: Opened, pool: str) -> list[Temporary]:
    found = []
    for volume in known(opened, pool).handle.listAllVolumes(0):
        if temporary(volume.name()):
            with tolerating(ErrorCode.NO_STORAGE_VOL):  # gone since it was listed
                document = volume.XMLDesc(0)
                told = told_volume(document, pool)
                found.append(Temporary(told.ref, told.path, told_change(document)))
    return found
