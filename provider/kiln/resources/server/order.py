"""The order of a server's disks. Hard disks and CDs sit on buses of their own, so that nothing in the guest, nor in its
definition, tells how a program mixed them: only the order among each kind counts. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from kiln.ports.domains import Domain


def cds_of(domain: Domain, ids: Sequence[str]) -> frozenset[str]:
    """Those of a guest's disks that are CDs, by the names of their volumes."""
    names = {disk.path.rpartition("/")[2] for disk in domain.disks if disk.device == "cdrom" and disk.path is not None}
    return frozenset(id for id in ids if id.rpartition("/")[2] in names)


def same_order(old: Sequence[str], new: Sequence[str], cds: Collection[str]) -> bool:
    """Whether two lists have the same disks, the hard ones in the same order and the CDs too."""

    def kind(ids: Sequence[str], *, cd: bool) -> list[str]:
        return [id for id in ids if (id in cds) == cd]

    return all(kind(old, cd=cd) == kind(new, cd=cd) for cd in (False, True))
