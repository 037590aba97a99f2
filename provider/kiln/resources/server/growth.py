"""What a guest can grow to: what a program may state, and what a definition says of it. Pure."""

from __future__ import annotations

from kiln.framework.errors import InputError
from kiln.framework.units import Size
from kiln.framework.values import UNKNOWN
from kiln.ports.domains import Domain, Sizes
from kiln.resources.server.model import ServerInputs

_MIB = 1024


def check_sizes(inputs: ServerInputs) -> None:
    """Refuse less than there is to be, and memory that a guest which can grow does not have. Raises InputError."""
    memory, most = inputs.memory, inputs.max_memory
    if memory is not UNKNOWN and most is not None and most is not UNKNOWN:
        for path, size in (("memory", memory), ("maxMemory", most)):
            if size.kib % _MIB:
                raise InputError(path, f"{size} is not a whole number of MiB", action="round it, or state no maxMemory")
        if memory.kib > most.kib:
            raise InputError("memory", f"{memory} is more than 'maxMemory', {most}", action=_raising("maxMemory"))
    vcpus, limit = inputs.vcpus, inputs.max_vcpus
    if vcpus is not UNKNOWN and limit is not None and limit is not UNKNOWN and vcpus > limit:
        raise InputError("vcpus", f"{vcpus} are more than 'maxVcpus', {limit}", action=_raising("maxVcpus"))


def most_memory(inputs: ServerInputs) -> tuple[str, Size]:
    """The property that says the most memory the guest can have, and what it says."""
    return ("memory", inputs.memory) if inputs.max_memory is None else ("maxMemory", inputs.max_memory)


def most_vcpus(inputs: ServerInputs) -> tuple[str, int]:
    """The property that says the most virtual CPUs the guest can have, and what it says."""
    return ("vcpus", inputs.vcpus) if inputs.max_vcpus is None else ("maxVcpus", inputs.max_vcpus)


def same_memory(one: int, other: int) -> bool:
    """Whether two sizes in KiB are the same to QEMU, which gives whole MiB."""
    return abs(one - other) < _MIB


def defined_sizes(domain: Domain) -> Sizes:
    """What a definition says. Memory in KiB."""
    memory = domain.memory if domain.current_memory is None else domain.current_memory
    vcpus = domain.vcpus if domain.current_vcpus is None else domain.current_vcpus
    if domain.sizes is not None and memory == domain.sizes.memory:
        memory = domain.memory  # which it could own
    return _told(Sizes(memory, vcpus, domain.max_memory, domain.vcpus), domain.sizes)


def live_sizes(domain: Domain) -> Sizes | None:
    """What the guest has while it runs, None for one that does not. Memory in KiB, as defined where QEMU rounds it."""
    if (live := domain.live) is None:
        return None
    defined = domain.memory if domain.current_memory is None else domain.current_memory
    memory = defined if same_memory(live.memory, defined) else live.memory
    return _told(Sizes(memory, live.vcpus, live.max_memory, live.max_vcpus), live.sizes)


def runs_with(domain: Domain, field: str, wanted: Size | int | None) -> bool:
    """Whether a running guest has the size ``wanted``, of a field of ``Sizes``."""
    has = getattr(live_sizes(domain), field, None)
    if isinstance(wanted, Size) and has is not None:
        return same_memory(has, wanted.kib)
    return bool(has == wanted)


def _told(seen: Sizes, asked: Sizes | None) -> Sizes:
    """The sizes in the words of a program: what the guest can grow to as it was ``asked`` for, where it still fits, and
    else only where that is more than it has. The definition of a guest that has all its memory says nothing of it."""
    memory = seen.max_memory
    vcpus = seen.max_vcpus if seen.max_vcpus is not None and seen.max_vcpus > seen.vcpus else None
    if asked is not None:
        if memory is None and asked.max_memory is not None and asked.max_memory <= asked.memory:
            memory = asked.max_memory
        if seen.max_vcpus == (asked.max_vcpus or asked.vcpus):
            vcpus = asked.max_vcpus
    return Sizes(seen.memory, seen.vcpus, memory, vcpus)


def _raising(path: str) -> str:
    return f"raise {path} too, which restarts the guest"
