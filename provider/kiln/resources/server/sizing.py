"""Memory and virtual CPUs of a guest that runs: what can be changed while it does, and how. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from kiln.framework.model import Impact
from kiln.framework.plan import Change
from kiln.framework.units import Size
from kiln.framework.values import UNKNOWN
from kiln.ports.domains import Domain, Live
from kiln.resources.server.growth import defined_sizes, same_memory
from kiln.resources.server.model import ServerInputs

MODULE = 128 << 10
"""KiB of which the size of a memory module is a multiple: Linux on x86 and ARM takes no less (its memory section)."""
LEFT = 8
"""A guest gives memory back only when an eighth of what it is left with would still be free."""
_MIB = 1024


@dataclass(frozen=True)
class PlugMemory:
    """A memory module of ``size`` KiB that the guest is given."""

    size: int

    def __str__(self) -> str:
        return f"plug {Size.of(self.size * 1024)} of memory"


@dataclass(frozen=True)
class Balloon:
    """The KiB that the guest is to own of what is plugged into it."""

    size: int

    def __str__(self) -> str:
        return f"balloon to {Size.of(self.size * 1024)}"


@dataclass(frozen=True)
class PlugVcpus:
    """The number of virtual CPUs that the guest is to have."""

    count: int

    def __str__(self) -> str:
        return f"plug virtual CPUs up to {self.count}"


Resize: TypeAlias = PlugMemory | Balloon | PlugVcpus


def may_shrink(domain: Domain, new: ServerInputs) -> bool:
    """Whether the guest has to be asked what it can spare."""
    live = domain.live
    if live is None or live.max_memory is None or new.memory is UNKNOWN:
        return False
    return new.memory.kib < live.memory and not same_memory(new.memory.kib, live.memory)


def weigh_size(change: Change, live: Live, new: ServerInputs, spare: int | None) -> Change:
    """A change of ``memory`` or ``vcpus`` with what it does to this running guest; any other as it is."""
    if change.field not in ("memory", "vcpus") or UNKNOWN in (new.memory, new.vcpus):
        return change
    obstacle = _obstacles(live, new.memory.kib, new.vcpus, spare)[change.field]
    return replace(change, impact=Impact.LIVE) if obstacle is None else replace(change, reason=obstacle)


def resizable(domain: Domain, new: ServerInputs, spare: int | None) -> set[str]:
    """Which of ``memory`` and ``vcpus`` the guest can get while it runs on; none of one that does not run."""
    return _without_obstacle(domain.live, new.memory.kib, new.vcpus, spare)


def resizable_as_defined(domain: Domain) -> set[str]:
    """Which of ``memory`` and ``vcpus`` the guest can get by its definition while it runs on. What it can spare is not
    asked for: it would be another time after time."""
    defined = defined_sizes(domain)
    return _without_obstacle(domain.live, defined.memory, defined.vcpus, None)


def resizes(domain: Domain, new: ServerInputs, fields: set[str]) -> Sequence[Resize]:
    """The changes of ``fields`` that a running guest needs, in the order to make them."""
    found: list[Resize] = []
    live, wanted = domain.live, new.memory.kib
    if live is None:
        return found
    if "memory" in fields and not same_memory(wanted, live.memory):
        if wanted > live.installed:
            found.append(PlugMemory(wanted - live.installed))
        if wanted < live.installed or not same_memory(live.memory, live.installed):
            found.append(Balloon(wanted))
    if "vcpus" in fields and new.vcpus > live.vcpus:
        found.append(PlugVcpus(new.vcpus))
    return found


def _without_obstacle(live: Live | None, memory: int, vcpus: int, spare: int | None) -> set[str]:
    if live is None:
        return set()
    return {field for field, obstacle in _obstacles(live, memory, vcpus, spare).items() if obstacle is None}


def _obstacles(live: Live, wanted: int, vcpus: int, spare: int | None) -> dict[str, str | None]:
    """Why the guest must be restarted for ``memory`` and ``vcpus``: None when it need not, "" when it is evident."""
    memory = _growing(live, wanted) if wanted > live.memory else _shrinking(live, wanted, spare)
    return {
        "memory": None if same_memory(wanted, live.memory) else memory,
        "vcpus": None if live.vcpus <= vcpus <= live.max_vcpus else "",
    }


def _growing(live: Live, wanted: int) -> str | None:
    more = wanted - live.installed
    if more <= 0:
        return None  # it has only to take again what it gave back
    if live.max_memory is None or wanted > live.max_memory:
        return ""
    if more % MODULE:
        return f"a running guest is given multiples of {Size.of(MODULE * 1024)}"
    return None if live.memory_slots else "no memory slot is free"


def _shrinking(live: Live, wanted: int, spare: int | None) -> str | None:
    if live.max_memory is None:
        return ""
    if spare is None:
        return "the guest does not say what it can spare"
    if spare < live.memory - wanted + wanted // LEFT:
        return f"the guest can spare too little of it, {Size.of(spare // _MIB * _MIB * 1024)}"
    return None
