"""Ownership marks: how an object on a node says which operation of Kiln made it and whether that operation finished."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Phase = Literal["creating", "done"]


@dataclass(frozen=True)
class Holder:
    """The process that a ``creating`` mark belongs to.

    ``machine`` and ``boot`` are the machine and boot ids of the machine Kiln ran on, ``pid`` and ``started`` (clock
    ticks since boot, proc(5) field 22) name the process, ``expires`` is the UTC time in seconds since the epoch after
    which the operation cannot be running any more, for readers on other machines.
    """

    machine: str
    boot: str
    pid: int
    started: int
    expires: int


@dataclass(frozen=True)
class Mark:
    """Who made an object. ``urn`` is a hint for people, never proof of ownership.

    ``role`` says what the object is to its owner: ``image``, ``disk``, ``root``, ``seed``, ``kernel``, ``initrd``,
    ``server``, ``network``, ``snapshot``, ``pool``. ``digest`` is the verified digest of an image's content (see
    ``transfer.digest``). ``info`` holds what else belongs to the object and has no place of its own on the node (an
    image's kernel command line).
    ``made`` is when the operation claimed the object, in UTC seconds since the epoch; None in marks older than that.
    """

    operation: str
    phase: Phase
    urn: str = ""
    role: str = ""
    digest: str = ""
    holder: Holder | None = None
    info: Mapping[str, str] = field(default_factory=dict)
    made: int | None = None
