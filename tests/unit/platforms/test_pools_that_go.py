"""Pools of others that stop or go while all volumes are looked at."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from kiln.framework.context import Context
from kiln.framework.errors import KilnError
from kiln.platforms.libvirt.codes import ErrorCode
from kiln.platforms.libvirt.connection import Link
from kiln.platforms.libvirt.contents import Contents
from kiln.platforms.libvirt.xml.pool import directory_pool
from kiln.platforms.libvirt.xml.volume import volume

from tests.unit.platforms.fake_libvirt import FakeError

CTX = Context()


class FakePool:
    """A ``virStoragePool`` with one volume at first, or with an error instead; ``reads`` are the volumes read."""

    def __init__(self, name: str, error: FakeError | None = None) -> None:
        self._name = name
        self._error = error
        self.names = [f"in-{name}"]
        self.reads: list[str] = []

    def name(self) -> str:
        return self._name

    def XMLDesc(self, _flags: int) -> str:
        return directory_pool(self._name, f"/{self._name}")

    def listVolumes(self) -> list[str]:
        if self._error is not None:
            raise self._error
        return list(self.names)

    def listAllVolumes(self, _flags: int) -> list[Any]:
        return [self.storageVolLookupByName(name) for name in self.listVolumes()]

    def storageVolLookupByName(self, name: str) -> Any:
        return SimpleNamespace(name=lambda: name, XMLDesc=lambda _flags: self._read(name))

    def _read(self, name: str) -> str:
        self.reads.append(name)
        return volume(name, format="raw", virtual_size=512)


def contents(link: Link, *pools: FakePool) -> Contents:
    """What is read of a node with these pools."""
    handle = link.open(CTX).handle
    handle.listAllStoragePools = lambda _flags: list(pools)
    handle.storagePoolLookupByName = {pool.name(): pool for pool in pools}.__getitem__
    return Contents(link)


@pytest.mark.parametrize("code", [ErrorCode.OPERATION_INVALID, ErrorCode.NO_STORAGE_POOL])
def test_a_pool_that_stops_or_goes_meanwhile_has_no_volumes(link: Link, code: ErrorCode) -> None:
    gone = FakePool("theirs", FakeError(code, "storage pool 'theirs' is not active"))
    found = contents(link, FakePool("a"), gone, FakePool("b")).now(CTX)
    assert [str(one.ref) for one in found] == ["a/in-a", "b/in-b"]


def test_only_what_is_new_is_read_when_it_is_asked_again_what_there_is(link: Link) -> None:
    pool = FakePool("a")
    found = contents(link, pool)
    assert [one.ref.name for one in found.now(CTX)] == ["in-a"]
    pool.names.append("new")
    assert [one.ref.name for one in found.now(CTX)] == ["in-a", "new"]
    assert pool.reads == ["in-a", "new"]


def test_any_other_error_is_told(link: Link) -> None:
    with pytest.raises(KilnError):
        contents(link, FakePool("theirs", FakeError(ErrorCode.INTERNAL_ERROR))).now(CTX)
