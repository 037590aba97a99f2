"""Refusing to take a snapshot that libvirt cannot keep inside the guest's disks, or that nobody could go back to."""

from __future__ import annotations

from kiln.framework.errors import InputError
from kiln.ports.domains import Domain
from kiln.resources.names import listed
from kiln.resources.snapshot.model import SnapshotInputs


def runs(domain: Domain) -> bool:
    """Whether a guest has memory that a snapshot could hold, and a revert would discard."""
    return domain.state in ("running", "paused")


def refuse_unfit(domain: Domain, inputs: SnapshotInputs) -> None:
    """Refuse a snapshot of this guest, as it is now. Raises InputError at ``memory`` or ``server``."""
    if inputs.memory is False and runs(domain):
        raise InputError(
            "memory",
            f"the guest '{domain.name}' runs, and a snapshot of it holds its memory",
            cause="libvirt keeps no snapshot of the disks alone inside the disks of a guest that runs",
            action="leave 'memory' out, or shut the guest down first (the server's 'powerState')",
        )
    if inputs.memory is True and not runs(domain):
        raise InputError(
            "memory",
            f"the guest '{domain.name}' is {domain.state} and has no memory to keep",
            action="leave 'memory' out, or start the guest first (the server's 'powerState')",
        )
    refuse_unsettled(domain, "server")
    if runs(domain) and domain.firmware == "efi":
        raise InputError(
            "server",
            f"no snapshot of '{domain.name}' can be taken while it runs",
            cause="libvirt keeps no memory of a guest with UEFI firmware inside its disks",
            action="shut the guest down first (the server's 'powerState')",
        )
    _refuse_disks(domain)


def refuse_unsettled(domain: Domain, path: str) -> None:
    """Refuse what can neither be kept nor be reverted under: saved memory, and a guest that has no definition. Raises
    InputError at ``path``."""
    if domain.state == "saved":
        raise InputError(
            path,
            f"the memory of guest '{domain.name}' is saved, and goes with its disks as they are now",
            action="start the guest, or drop its memory with virsh managedsave-remove, and run again",
        )
    if domain.transient:
        raise InputError(
            path,
            f"the guest '{domain.name}' was undefined while it ran, and is gone when it stops",
            action="run `pulumi refresh` and `pulumi up`, which define its server again, and then this",
        )


def not_qcow2(domain: Domain) -> list[str]:
    """The targets of the hard disks that hold no snapshots."""
    disks = (domain.live or domain).disks
    return [disk.target for disk in disks if disk.device == "disk" and disk.format != "qcow2"]


def _refuse_disks(domain: Domain) -> None:
    if not any(disk.device == "disk" for disk in (domain.live or domain).disks):
        raise InputError("server", f"the guest '{domain.name}' has no disk that a snapshot could be kept in")
    if raw := not_qcow2(domain):
        raise InputError(
            "server",
            f"the guest '{domain.name}' has disks that hold no snapshots: {listed(raw)}",
            cause="libvirt keeps a snapshot inside every disk of the guest, which only the format qcow2 can",
            action="give the server disks with 'format' qcow2, or take those from its 'disks'",
        )
