"""Guests as errors call them: by name, which the UUID that Kiln goes by leads to only once libvirt was asked."""

from __future__ import annotations

from typing import Any

from kiln.platforms.libvirt.connection import Opened


class Guest:
    """The guest with a UUID; its text is its quoted name as soon as it has been found, else the UUID."""

    def __init__(self, uuid: str) -> None:
        self._uuid = uuid
        self._name: str | None = None

    def find(self, opened: Opened) -> Any:
        """Its ``virDomain``. Runs on a worker thread. Raises libvirtError."""
        domain = opened.handle.lookupByUUIDString(self._uuid)
        self._name = str(domain.name())  # the handle knows it: nothing is asked for it
        return domain

    def __str__(self) -> str:
        return self._uuid if self._name is None else f"'{self._name}'"


class Doing:
    """What is being done to a guest, a verb phrase that is put into words when somebody asks: "start guest 'web'"."""

    def __init__(self, before: str, guest: Guest, after: str = "") -> None:
        self._before, self._guest, self._after = before, guest, after

    def __str__(self) -> str:
        return f"{self._before} guest {self._guest}{self._after}"
