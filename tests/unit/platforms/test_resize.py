"""Waiting for a guest's balloon, as libvirt tells of it."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from kiln.framework.context import Context
from kiln.framework.errors import KilnError
from kiln.platforms.libvirt import resize
from kiln.platforms.libvirt.connection import Link

MIB = 1 << 10


class Ballooning:
    """A guest of 512 MiB that does what it is asked if ``willing``, which its definition shows two looks later."""

    def __init__(self, *, willing: bool) -> None:
        self.asked: list[int] = []
        self._willing = willing
        self._shown = [512 * MIB]

    def name(self) -> str:
        return "web"

    def setMemoryFlags(self, size: int, flags: int) -> None:
        self.asked.append(size)
        if self._willing:
            self._shown += [self._shown[-1], size]

    def memoryStats(self) -> dict[str, int]:
        return {"actual": self.asked[-1] if self.asked else 512 * MIB}

    def XMLDesc(self, flags: int) -> str:
        shown = self._shown.pop(0) if len(self._shown) > 1 else self._shown[0]
        return f"<domain><currentMemory unit='KiB'>{shown}</currentMemory></domain>"


class DirectLink:
    """A link to a node with one guest."""

    def __init__(self, guest: Ballooning) -> None:
        self._opened = SimpleNamespace(handle=SimpleNamespace(lookupByUUIDString=lambda _uuid: guest))

    def run(self, ctx: Context, doing: object, work: Callable[[Any], Any]) -> Any:
        return work(self._opened)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resize, "_POLL_SECONDS", 0.0)


def test_a_balloon_is_where_it_shall_be_once_the_definition_says_so() -> None:
    guest = Ballooning(willing=True)
    resize.balloon(Context(), cast(Link, DirectLink(guest)), "uuid", 256 * MIB)
    assert guest.XMLDesc(0) == f"<domain><currentMemory unit='KiB'>{256 * MIB}</currentMemory></domain>"
    assert guest.asked == [256 * MIB]


def test_a_guest_that_keeps_its_memory_is_asked_for_what_it_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resize, "BALLOON_SECONDS", 0.0)
    guest = Ballooning(willing=False)
    with pytest.raises(KilnError, match="could not change the memory of guest 'web'"):
        resize.balloon(Context(), cast(Link, DirectLink(guest)), "uuid", 256 * MIB)
    assert guest.asked == [256 * MIB, 512 * MIB]
