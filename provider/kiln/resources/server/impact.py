"""What a change does to this guest, as it is now: its plan says whether it runs on, restarts or is lost. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from kiln.framework.model import Impact
from kiln.framework.plan import Change
from kiln.framework.units import Size
from kiln.framework.values import UNKNOWN
from kiln.ports.domains import Domain, Live, PowerState
from kiln.resources import cloning
from kiln.resources.server.model import ServerInputs, ServerState
from kiln.resources.server.order import same_order
from kiln.resources.server.pending import has_already, pending
from kiln.resources.server.sizing import weigh_size
from kiln.resources.server.storage import root_ref

_RESUMED = "resumed from its saved memory"


@dataclass(frozen=True)
class Now:
    """The guest before the change: whether it is on, the image of a root disk that is there and not attached, how many
    devices its bus takes, the size of its root disk if that was looked at, what the node told of it if that was asked,
    and the memory in KiB that it can spare if that was; ``saved``: it is off, and its memory is kept; ``cds``: those of
    its disks that are CDs."""

    active: bool
    detached_root: str | None = None
    free_slots: int | None = None
    root_size: Size | None = None
    domain: Domain | None = None
    spare: int | None = None
    saved: bool = False
    cds: frozenset[str] = frozenset()

    @classmethod
    def of(cls, state: PowerState) -> Now:
        """A guest of which no more is known than its power state."""
        return cls(state in ("running", "paused"), saved=state == "saved")

    @property
    def live(self) -> Live | None:
        """What it has while it runs, None where that is not known."""
        return self.domain.live if self.domain is not None else None


def crowded(old: ServerInputs, new: ServerInputs, free_slots: int | None) -> bool:
    """Whether the disks and interfaces that come may be more than the guest's bus takes while it runs. Every disk
    counts, since a plan does not know which of those to come hold an ISO."""
    if free_slots is None:
        return False
    disks = 0 if new.disks is UNKNOWN else len(set(new.disks or []) - set(old.disks or []))
    nics = 0 if new.networks is UNKNOWN else len(new.networks or []) - len(old.networks or [])
    return disks + max(0, nics) > free_slots


def weigh(changes: Sequence[Change], state: ServerState, new: ServerInputs, now: Now) -> tuple[Change, ...]:
    """The changes with the impact that they have on this guest, and why, without what is so already.

    Raises:
        InputError: the root disk would shrink, and no other takes its place.
    """
    if new.disks is not UNKNOWN and same_order(state.disks or [], new.disks or [], now.cds):
        changes = [change for change in changes if change.field != "disks"]
    others = [change for change in changes if change.field not in ("disk_size", "first_boot")]
    weighed = [_weigh(change, state, new, now) for change in (*others, *_renamed(state, new))]
    first_boot = [change for change in changes if change.field == "first_boot"]
    replaced = any(change.impact is Impact.REPLACE for change in weighed)
    if replaced:
        weighed += first_boot  # another guest is told it in any case
    else:
        weighed += [_weigh(change, state, new, now) for change in _as_asked(first_boot, new)]
    root = now.root_size or state.root_disk_size
    sized = [change for change in changes if change.field == "disk_size" and new.disk_size not in (None, root)]
    if sized and not any(change.impact is Impact.REPLACE for change in weighed):
        _refuse_shrinking(state.disk_size, root, new.disk_size)
        sized = [cloning.told_of_shrinking(change, root, new.disk_size) for change in sized]
    replaced = any(change.impact is Impact.REPLACE for change in weighed)
    return (*weighed, *sized, *(() if replaced else _waited(changes, state, new, now)))


def _waited(changes: Sequence[Change], state: ServerState, new: ServerInputs, now: Now) -> Iterator[Change]:
    """What waits for a restart, where that is allowed now and none of the ``changes``."""
    if new.restart_policy != "allowed" or not state.pending_restart:
        return
    changed = {change.path[0] for change in changes}
    waits = pending(now.domain, new, state.pending_restart) if now.domain is not None else state.pending_restart
    waits = [name for name in waits if name in state.pending_restart and name not in changed]
    if waits:
        change = Change(("pendingRestart",), "delete", Impact.RESTART, "restart_policy", waits)
        yield _weigh_restart(change, new, now)


def _renamed(state: ServerState, new: ServerInputs) -> list[Change]:
    """What it takes to give a guest that somebody renamed its own name back."""
    if state.renamed is None:
        return []
    change = Change(("renamed",), "delete", Impact.LIVE, "renamed", state.renamed, None)
    if new.name != state.name:
        return [replace(change, reason="the program has another name for it")]
    return [replace(change, impact=Impact.RESTART, reason="it was renamed on the node, and is renamed back")]


def _as_asked(first_boot: Sequence[Change], new: ServerInputs) -> Sequence[Change]:
    """Changes of what a guest was told at its first boot, with what the program wants to come of them."""
    if new.on_first_boot_change == "ignore":
        return []
    if new.on_first_boot_change == "replace":
        return first_boot
    reason = "cloud-init runs again, as in a new instance"
    return [replace(change, impact=Impact.RESTART, reason=reason) for change in first_boot]


def _weigh(change: Change, state: ServerState, new: ServerInputs, now: Now) -> Change:
    if change.field == "image" and now.detached_root is not None and change.new == now.detached_root:
        change = replace(change, impact=Impact.RESTART, reason="the root disk is attached again")
    if change.field == "name" and now.domain is not None and now.domain.name == new.name:
        return replace(change, impact=Impact.LIVE, reason="it has that name on the node already")
    if change.impact is Impact.REPLACE:
        return replace(change, reason=_loss(change, state, now))
    if change.field == "power_state":
        return replace(change, reason=_powered(new, now))
    if change.field in ("disks", "networks") and now.active and crowded(state, new, now.free_slots):
        change = replace(change, impact=Impact.RESTART, reason="no PCI slot is free")
    if now.live is not None and new.power_state == "running" and not has_already(now.domain, new, change.field):
        change = weigh_size(change, now.live, new, now.spare)
    if change.impact is Impact.RESTART:
        return _weigh_restart(change, new, now)
    return change


def _weigh_restart(change: Change, new: ServerInputs, now: Now) -> Change:
    """Only a guest that is on, and stays on, and may be, is restarted."""
    resumed = now.saved and new.power_state == "running"
    off = "" if now.active or resumed else "the guest is off, and has it when it starts"
    if now.saved and off:
        off = "the guest is saved, and has it when it next boots"
    stops = "the guest has it when it starts again" if new.power_state == "stopped" else ""
    if off or stops:
        return replace(change, impact=Impact.LIVE, reason=_joined(change.reason, off or stops))
    if has_already(now.domain, new, change.field):
        return replace(change, impact=Impact.LIVE, reason=_joined(change.reason, "the guest runs with it"))
    if new.restart_policy == "deferred":
        until = "until the guest is off" if change.field in ("name", "renamed") else "for the next start of the guest"
        return replace(change, impact=Impact.DEFERRED, reason=_joined(change.reason, f"waits {until}"))
    return replace(change, reason=_joined(change.reason, _RESUMED if resumed else "", _graceful(new)))


def _powered(new: ServerInputs, now: Now) -> str:
    """How the guest gets to the power state that is asked for, where that is not evident."""
    if new.power_state == "stopped":
        return _graceful(new) if now.active else ""
    return _RESUMED if now.saved else ""


def _refuse_shrinking(before: Size | None, root: Size | None, asked: Size | None) -> None:
    """Refuse a size that is larger than the one stated ``before``, and yet smaller than the root disk. One that is
    smaller than before is refused by a check, and is what a refresh comes with to be told of a root disk that grew."""
    lower = isinstance(before, Size) and isinstance(asked, Size) and asked.bytes < before.bytes
    if not lower:
        cloning.refuse_shrinking("diskSize", "the root disk", root, asked)


def _joined(*reasons: str) -> str:
    return ", ".join(filter(None, reasons))


def _graceful(new: ServerInputs) -> str:
    return f"graceful shutdown, forced after {new.shutdown_timeout} s"


def _loss(change: Change, state: ServerState, now: Now) -> str:
    """What a replacement costs. A state without an image knows the size of a root disk that the guest had."""
    lost, root = "", root_ref(state)
    if state.image is not None or now.detached_root is not None:
        lost = f"the root disk '{root}' and what is on it are lost"
    elif state.root_disk_size is not None:
        lost = f"the guest has lost its root disk '{root}' already"
    return "; ".join(filter(None, (change.reason, lost)))
